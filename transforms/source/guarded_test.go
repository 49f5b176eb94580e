package source_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudact/convergence/transforms/source"
)

func TestGuardedClientRefusesWhatTheGuardRefuses(t *testing.T) {
	away := httptest.NewServer(http.RedirectHandler("http://localhost:1/elsewhere", http.StatusFound))
	defer away.Close()
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer open.Close()
	for name, c := range map[string]struct {
		guard source.Guard
		url   string
		want  string // "" = allowed
	}{
		"loopback in development": {source.Guard{AllowLoopback: true}, open.URL, ""},
		"loopback otherwise":      {source.Guard{}, open.URL, "only https"},
		"another origin":          {source.Guard{AllowLoopback: true}, away.URL, "redirects must stay on the origin"},
		"plain http":              {source.Guard{AllowLoopback: true}, "http://example.com/", "only https"},
		"metadata address":        {source.Guard{AllowLoopback: true}, "https://169.254.169.254/", "not a public address"},
		"user information":        {source.Guard{}, "https://user:password@example.com/", "user information"},
	} {
		resp, err := c.guard.Client(5*time.Second).Post(c.url, "text/plain", strings.NewReader("x"))
		if err == nil {
			resp.Body.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
