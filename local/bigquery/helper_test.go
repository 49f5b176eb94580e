package bigquery_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/local/bigquery"
)

const project = "p-1"

func newClient(t testing.TB, url string) *bq.Client {
	t.Helper()
	c, err := bq.NewClient(t.Context(), project, option.WithEndpoint(url+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// start runs a server with dataset "fin" and returns a client of it.
func start(t testing.TB) *bq.Client {
	t.Helper()
	return startWith(t, bigquery.Config{})
}

func startWith(t testing.TB, cfg bigquery.Config) *bq.Client {
	t.Helper()
	c := newClient(t, bigquery.RunConfigT(t, cfg))
	must(t, c.Dataset("fin").Create(t.Context(), nil))
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// createTable makes fin.<name>(d DATE, k STRING, n NUMERIC) partitioned by d.
func createTable(t testing.TB, c *bq.Client, name string) *bq.Table {
	t.Helper()
	table := c.Dataset("fin").Table(name)
	must(t, table.Create(t.Context(), &bq.TableMetadata{
		Schema: bq.Schema{
			{Name: "d", Type: bq.DateFieldType}, {Name: "k", Type: bq.StringFieldType, Required: true}, {Name: "n", Type: bq.NumericFieldType},
		},
		TimePartitioning: &bq.TimePartitioning{Field: "d"},
	}))
	return table
}

// load runs a load job of NDJSON and waits for it.
func load(t testing.TB, table *bq.Table, text string, options ...func(*bq.Loader)) (*bq.JobStatus, error) {
	t.Helper()
	source := bq.NewReaderSource(strings.NewReader(text))
	source.SourceFormat = bq.JSON
	loader := table.LoaderFrom(source)
	for _, o := range options {
		o(loader)
	}
	job, err := loader.Run(t.Context())
	if err != nil {
		return nil, err
	}
	return job.Wait(t.Context())
}

func mustLoad(t testing.TB, table *bq.Table, text string, options ...func(*bq.Loader)) *bq.JobStatus {
	t.Helper()
	status, err := load(t, table, text, options...)
	must(t, err)
	must(t, status.Err())
	return status
}

// rows reads a query's rows through the fast path.
func rows(t testing.TB, c *bq.Client, sql string, params ...bq.QueryParameter) [][]bq.Value {
	t.Helper()
	q := c.Query(sql)
	q.Parameters = params
	it, err := q.Read(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return readAll(t, it)
}

func readAll(t testing.TB, it *bq.RowIterator) [][]bq.Value {
	t.Helper()
	var out [][]bq.Value
	for {
		var row []bq.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out
		}
		must(t, err)
		out = append(out, row)
	}
}

func count(t testing.TB, table *bq.Table) int64 {
	t.Helper()
	m, err := table.Metadata(t.Context())
	must(t, err)
	return int64(m.NumRows)
}

// wantError checks the HTTP status and reason of an error of the API.
func wantError(t testing.TB, err error, status int, reason string) {
	t.Helper()
	_ = readError(t, err, status, reason)
}

// readError is wantError that returns the error.
func readError(t testing.TB, err error, status int, reason string) *googleapi.Error {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want status %d reason %s", err, status, reason)
	}
	if e.Code != status || len(e.Errors) == 0 || e.Errors[0].Reason != reason {
		t.Fatalf("got status %d %v, want %d %s", e.Code, e, status, reason)
	}
	return e
}

// outcome is the error of a job, however the client reports it.
func outcome(status *bq.JobStatus, err error) error {
	if err == nil && status != nil {
		return status.Err()
	}
	return err
}

// wantJobError checks the reason of a failed job.
func wantJobError(t testing.TB, err error, reason, part string) {
	t.Helper()
	var e *bq.Error
	if api := apiError(err); api != nil {
		// Wait of a query job reports the error of reading its results.
		e = &bq.Error{Reason: api.Errors[0].Reason, Message: api.Message}
	} else if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a job error %s", err, reason)
	}
	if e.Reason != reason || !strings.Contains(e.Message, part) {
		t.Fatalf("got job error %s %q, want %s %q", e.Reason, e.Message, reason, part)
	}
}

func runScript(ctx context.Context, c *bq.Client, sql string) (*bq.JobStatus, error) {
	job, err := c.Query(sql).Run(ctx)
	if err != nil {
		return nil, err
	}
	return job.Wait(ctx)
}

func apiError(err error) *googleapi.Error {
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
