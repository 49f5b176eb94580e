package bigquery

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Tester is what RunT needs of a *testing.T.
type Tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// RunT starts an in-memory server for the length of a test and returns its
// URL. The client takes option.WithEndpoint(url + "/bigquery/v2/") and
// option.WithHTTPClient(&http.Client{}).
func RunT(t Tester) string {
	t.Helper()
	return RunConfigT(t, Config{})
}

// RunConfigT is RunT with a configuration.
func RunConfigT(t Tester, cfg Config) string {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("starting the local BigQuery: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening for the local BigQuery: %v", err)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		err := server.Close()
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatalf("closing the local BigQuery: %v", err)
		}
	})
	return "http://" + listener.Addr().String()
}
