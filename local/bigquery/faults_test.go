package bigquery_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// startFaulty runs a server that misbehaves as the result is told.
func startFaulty(t testing.TB) (*bq.Client, *bigquery.Faults) {
	t.Helper()
	faults := &bigquery.Faults{}
	return startWith(t, bigquery.Config{Faults: faults}), faults
}

var refusal = &wire.Error{HTTPStatus: http.StatusForbidden, Reason: "accessDenied", Message: "Access Denied"}

// everyCall makes a call of each method of the API.
func everyCall(ctx context.Context, c *bq.Client) map[string]func() error {
	dataset, table := c.Dataset("fin"), c.Dataset("fin").Table("costs")
	next := func(it interface{ Next() (*bq.Table, error) }) error { _, err := it.Next(); return err }
	query := func() *bq.Query { q := c.Query("SELECT 1"); q.JobID = "slow"; return q }
	return map[string]func() error{
		"datasets.insert": func() error { return c.Dataset("other").Create(ctx, nil) },
		"datasets.get":    func() error { _, err := dataset.Metadata(ctx); return err },
		"datasets.list":   func() error { _, err := c.Datasets(ctx).Next(); return err },
		"datasets.patch": func() error {
			_, err := dataset.Update(ctx, bq.DatasetMetadataToUpdate{Description: "x"}, "")
			return err
		},
		"datasets.delete": func() error { return c.Dataset("other").Delete(ctx) },
		"tables.insert":   func() error { return dataset.Table("other").Create(ctx, nil) },
		"tables.get":      func() error { _, err := table.Metadata(ctx); return err },
		"tables.list":     func() error { return next(dataset.Tables(ctx)) },
		"tables.patch": func() error {
			_, err := table.Update(ctx, bq.TableMetadataToUpdate{Description: "x"}, "")
			return err
		},
		"tables.delete":       func() error { return table.Delete(ctx) },
		"tabledata.list":      func() error { var row []bq.Value; return table.Read(ctx).Next(&row) },
		"tabledata.insertAll": func() error { return table.Inserter().Put(ctx, batch(map[string]bq.Value{"k": "a"})) },
		"jobs.query":          func() error { _, err := c.Query("SELECT 1").Read(ctx); return err },
		"jobs.insert":         func() error { _, err := query().Run(ctx); return err },
		"jobs.get":            func() error { _, err := c.JobFromID(ctx, "old"); return err },
		"jobs.list":           func() error { _, err := c.Jobs(ctx).Next(); return err },
		"jobs.getQueryResults": func() error {
			job, err := c.JobFromID(ctx, "old")
			if err == nil {
				_, err = job.Read(ctx)
			}
			return err
		},
		"jobs.cancel": func() error {
			job, err := c.JobFromID(ctx, "old")
			if err == nil {
				err = job.Cancel(ctx)
			}
			return err
		},
		"jobs.upload": func() error {
			source := bq.NewReaderSource(strings.NewReader(`{"k":"a"}`))
			source.SourceFormat = bq.JSON
			_, err := table.LoaderFrom(source).Run(ctx)
			return err
		},
	}
}

func TestEveryMethodCanFailBeforeItActs(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	old := c.Query("SELECT 1")
	old.JobID = "old"
	_, err := old.Run(t.Context())
	must(t, err)
	for method, call := range everyCall(t.Context(), c) {
		t.Run(method, func(t *testing.T) {
			fault := faults.Inject(bigquery.Fault{Method: method, Error: refusal})
			defer faults.Clear()
			wantError(t, call(), http.StatusForbidden, "accessDenied")
			if fault.Struck() != 1 {
				t.Errorf("struck %d times", fault.Struck())
			}
		})
	}
	if n := count(t, table); n != 0 {
		t.Errorf("%d rows of refused calls", n)
	}
	for _, id := range []string{"slow"} {
		_, err := c.JobFromID(t.Context(), id)
		wantError(t, err, http.StatusNotFound, "notFound")
	}
}

func TestTheClientSurvivesPassingErrors(t *testing.T) {
	for name, e := range map[string]*wire.Error{
		"backendError": wire.BackendError(), "rateLimitExceeded": wire.RateLimitExceeded(),
		"internalError": wire.InternalError(), "jobRateLimitExceeded": wire.JobRateLimitExceeded(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, faults := startFaulty(t)
			table := createTable(t, c, "costs")
			fault := faults.Inject(bigquery.Fault{Method: "jobs.query", Text: "INSERT", Error: e})
			rows(t, c, "INSERT INTO fin.costs (k) VALUES ('a')")
			if n := count(t, table); n != 1 || fault.Calls() != 2 {
				t.Fatalf("%d rows after %d calls", n, fault.Calls())
			}
		})
	}
}

func TestFaultStrikesTheNthCall(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	fault := faults.Inject(bigquery.Fault{Method: "tabledata.insertAll", Table: "costs", Nth: 2, Times: 2, Error: refusal})
	var failed []int
	for i := range 5 {
		if err := table.Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "a"})); err != nil {
			failed = append(failed, i)
		}
	}
	if len(failed) != 2 || failed[0] != 1 || failed[1] != 2 || fault.Calls() != 5 || fault.Struck() != 2 {
		t.Fatalf("calls %v failed, %d struck", failed, fault.Struck())
	}
	if n := count(t, table); n != 3 {
		t.Fatalf("%d rows", n)
	}
}

func TestLostAnswerOfInsertAllIsOneRow(t *testing.T) {
	for name, lost := range map[string]bigquery.Fault{
		"status": {Error: wire.BackendError()}, "connection": {Cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, faults := startFaulty(t)
			table := createTable(t, c, "costs")
			lost.Method, lost.After = "tabledata.insertAll", true
			fault := faults.Inject(lost)
			row := []bq.ValueSaver{streamed{id: "one", row: map[string]bq.Value{"k": "a"}}}
			err := table.Inserter().Put(t.Context(), row)
			if lost.Cut { // which the client does not repeat by itself
				if err == nil {
					t.Fatal("the answer was not lost")
				}
				err = table.Inserter().Put(t.Context(), row)
			}
			must(t, err)
			if n := count(t, table); n != 1 || fault.Calls() != 2 {
				t.Fatalf("%d rows after %d calls", n, fault.Calls())
			}
		})
	}
}

func TestLostAnswerOfAQueryRunsItOnce(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	fault := faults.Inject(bigquery.Fault{Method: "jobs.query", Text: "INSERT", After: true, Error: wire.BackendError()})
	rows(t, c, "INSERT INTO fin.costs (k) VALUES ('a')")
	if n := count(t, table); n != 1 || fault.Calls() != 2 {
		t.Fatalf("%d rows after %d calls", n, fault.Calls())
	}
}

func TestLostAnswerOfAJobIsFoundByItsID(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	faults.Inject(bigquery.Fault{Method: "jobs.upload", Job: "load_", After: true, Cut: true})
	named := func(l *bq.Loader) { l.JobID = "load_1" }
	if _, err := load(t, table, ndjson(3, "2025-11-03"), named); err == nil {
		t.Fatal("the answer was not lost")
	}
	job, err := c.JobFromIDLocation(t.Context(), "load_1", "US")
	must(t, err)
	if status := job.LastStatus(); !status.Done() || status.Statistics.Details.(*bq.LoadStatistics).OutputRows != 3 {
		t.Fatalf("got %+v", status)
	}
	_, err = load(t, table, ndjson(3, "2025-11-03"), named)
	wantError(t, err, http.StatusConflict, "duplicate")

	// A query job is submitted again by the client itself, which meets its own.
	faults.Inject(bigquery.Fault{Method: "jobs.insert", Job: "pub_", After: true, Error: wire.BackendError()})
	q := c.Query("DELETE FROM fin.costs WHERE k = 'k0'")
	q.JobID = "pub_1"
	_, err = q.Run(t.Context())
	wantError(t, err, http.StatusConflict, "duplicate")
	if n := count(t, table); n != 2 {
		t.Fatalf("%d rows", n)
	}
}

func TestLostAnswerOfTheLastChunkOfAnUpload(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	fault := faults.Inject(bigquery.Fault{Method: "jobs.upload", Job: "big", Nth: 3, After: true, Error: wire.BackendError()})
	big := `{"k":"` + strings.Repeat("x", 17<<20) + `"}`
	mustLoad(t, table, big, func(l *bq.Loader) { l.JobID = "big" })
	if n := count(t, table); n != 1 || fault.Calls() != 4 {
		t.Fatalf("%d rows after %d calls", n, fault.Calls())
	}
}

func TestCallWaitsAsLongAsTheFaultSays(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	gate := make(chan struct{})
	faults.Inject(bigquery.Fault{Method: "tables.get", Latency: time.Millisecond, Until: gate})
	done := make(chan error, 1)
	go func() {
		_, err := table.Metadata(t.Context())
		done <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	select {
	case err := <-done:
		t.Fatalf("answered %v before it may", err)
	case <-ctx.Done():
	}
	close(gate)
	must(t, <-done)
}

func TestJobsStayPendingOrRunningUntilPolled(t *testing.T) {
	for _, state := range []string{"PENDING", "RUNNING"} {
		t.Run(state, func(t *testing.T) {
			c, faults := startFaulty(t)
			table := createTable(t, c, "costs")
			faults.Inject(bigquery.Fault{Method: "jobs.upload", State: state, Polls: 2})
			source := bq.NewReaderSource(strings.NewReader(ndjson(3, "2025-11-03")))
			source.SourceFormat = bq.JSON
			job, err := table.LoaderFrom(source).Run(t.Context())
			must(t, err)
			for range 2 {
				status, err := job.Status(t.Context())
				must(t, err)
				if want := map[string]bq.State{"PENDING": bq.Pending, "RUNNING": bq.Running}[state]; status.State != want {
					t.Fatalf("got state %v", status.State)
				}
				if n := count(t, table); n != 0 {
					t.Fatalf("%d rows of a job that has not run", n)
				}
			}
			status, err := job.Status(t.Context())
			must(t, err)
			if n := count(t, table); n != 3 || !status.Done() || status.Err() != nil {
				t.Fatalf("%d rows, status %+v", n, status)
			}
		})
	}
}

func TestHeldQueriesAnswerOnceTheyEnd(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	faults.Inject(bigquery.Fault{Method: "jobs.query", Text: "INSERT", State: "RUNNING", Polls: 2})
	faults.Inject(bigquery.Fault{Method: "jobs.insert", State: "RUNNING", Polls: 2})
	rows(t, c, "INSERT INTO fin.costs (k) VALUES ('a'), ('b')")
	status, err := runScript(t.Context(), c, "SELECT COUNT(*) FROM fin.costs")
	must(t, outcome(status, err))
	if n := count(t, table); n != 2 {
		t.Fatalf("%d rows", n)
	}
}

func TestJobThatNeverEndsIsCancelledWithoutEffect(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	faults.Inject(bigquery.Fault{Method: "jobs.insert", State: "RUNNING", Polls: -1, Times: -1})
	q := c.Query("INSERT INTO fin.costs (k) VALUES ('a')")
	q.JobID = "pub_0"
	job, err := q.Run(t.Context())
	must(t, err)
	for range 5 {
		status, err := job.Status(t.Context())
		must(t, err)
		if status.Done() {
			t.Fatal("the job ended")
		}
	}
	_, err = q.Run(t.Context())
	wantError(t, err, http.StatusConflict, "duplicate")
	must(t, job.Cancel(t.Context()))
	status, err := job.Wait(t.Context())
	wantJobError(t, outcome(status, err), "stopped", "cancelled")

	q.JobID, q.JobTimeout = "pub_1", 20*time.Millisecond
	job, err = q.Run(t.Context())
	must(t, err)
	status, err = job.Wait(t.Context())
	wantJobError(t, outcome(status, err), "stopped", "Job timed out after 20ms")
	if n := count(t, table); n != 0 {
		t.Fatalf("%d rows", n)
	}
}

func TestJobsFailWithoutEffect(t *testing.T) {
	ref := wire.TableReference{ProjectID: project, DatasetID: "fin", TableID: "costs"}
	for name, tc := range map[string]struct {
		err          *wire.Error
		reason, part string
	}{
		"backend":       {wire.JobBackendError(), "jobBackendError", "Retrying the job"},
		"rate":          {wire.JobRateLimitExceeded(), "jobRateLimitExceeded", "exceeded rate limits"},
		"quota":         {wire.QuotaExceeded(), "quotaExceeded", "Quota exceeded"},
		"updates":       {wire.TooManyTableUpdates(), "rateLimitExceeded", "too many table update operations"},
		"serialization": {wire.SerializationFailure(ref), "invalidQuery", "Could not serialize access to table p-1:fin.costs due to concurrent update"},
		"transaction":   {wire.ConcurrentUpdate(ref), "invalidQuery", "Transaction is aborted due to concurrent update against table p-1:fin.costs"},
	} {
		t.Run(name, func(t *testing.T) {
			c, faults := startFaulty(t)
			table := createTable(t, c, "costs")
			faults.Inject(bigquery.Fault{Method: "jobs.upload", JobError: tc.err})
			faults.Inject(bigquery.Fault{Method: "jobs.insert", JobError: tc.err})
			_, err := load(t, table, ndjson(3, "2025-11-03"), func(l *bq.Loader) { l.JobID = "load_0" })
			_ = err
			job, err := c.JobFromIDLocation(t.Context(), "load_0", "US")
			must(t, err)
			wantJobError(t, job.LastStatus().Err(), tc.reason, tc.part)
			q := c.Query("INSERT INTO fin.costs (k) VALUES ('a')")
			q.JobID = "pub_0"
			job, err = q.Run(t.Context())
			must(t, err)
			wantJobError(t, job.LastStatus().Err(), tc.reason, tc.part)
			if n := count(t, table); n != 0 {
				t.Fatalf("%d rows", n)
			}
			mustLoad(t, table, ndjson(3, "2025-11-03"), func(l *bq.Loader) { l.JobID = "load_1" })
		})
	}
}

func TestTransactionAbortedInTheMiddleIsUndone(t *testing.T) {
	c, faults := startFaulty(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03"))
	ref := wire.TableReference{ProjectID: project, DatasetID: "fin", TableID: "costs"}
	const publish = "BEGIN TRANSACTION; DELETE FROM fin.costs WHERE TRUE; INSERT INTO fin.costs (k) VALUES ('x'); COMMIT TRANSACTION;"
	faults.Inject(bigquery.Fault{Method: "jobs.insert", Text: "COMMIT", Statement: 4, JobError: wire.ConcurrentUpdate(ref)})
	status, err := runScript(t.Context(), c, publish)
	wantJobError(t, outcome(status, err), "invalidQuery", "Transaction is aborted due to concurrent update")
	if n := count(t, table); n != 3 {
		t.Fatalf("%d rows after the abort", n)
	}
	status, err = runScript(t.Context(), c, publish)
	must(t, outcome(status, err))
	if n := count(t, table); n != 1 {
		t.Fatalf("%d rows after the second try", n)
	}
}
