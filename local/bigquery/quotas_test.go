package bigquery_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudact/convergence/local/bigquery"
)

func TestQueueOfMutatingStatementsIsBounded(t *testing.T) {
	faults := &bigquery.Faults{}
	c := startWith(t, bigquery.Config{Faults: faults, DMLLimits: bigquery.DMLLimits{Running: 2, Queued: 20}})
	createTable(t, c, "costs")
	rows(t, c, "INSERT INTO fin.costs (k, n) VALUES ('total', 0)")
	gate, reached := make(chan struct{}), make(chan struct{})
	faults.Inject(bigquery.Fault{Method: "jobs.insert", Job: "holder", Statement: 3, Until: gate, Reached: func() { close(reached) }})
	var group sync.WaitGroup
	group.Go(func() {
		q := c.Query("BEGIN TRANSACTION; UPDATE fin.costs SET n = n + 1 WHERE TRUE; COMMIT TRANSACTION;")
		q.JobID = "holder"
		if _, err := q.Run(t.Context()); err != nil {
			t.Errorf("holder: %v", err)
		}
	})
	<-reached
	const statements = 30
	results := make(chan error, statements)
	for range statements {
		group.Go(func() {
			_, err := c.Query("UPDATE fin.costs SET n = n + 1 WHERE k = 'total'").Read(t.Context())
			results <- err
		})
	}
	for range statements - 22 {
		e := readError(t, <-results, http.StatusBadRequest, "resourcesExceeded")
		if want := "Resources exceeded during query execution: Too many DML statements outstanding against table p-1:fin.costs, limit is 20"; e.Message != want {
			t.Fatalf("got  %q\nwant %q", e.Message, want)
		}
	}
	close(gate)
	for range 22 {
		must(t, <-results)
	}
	group.Wait()
	if got := rows(t, c, "SELECT CAST(n AS INT64) FROM fin.costs"); got[0][0] != int64(23) {
		t.Fatalf("got %v", got)
	}
}

func TestRateOfDMLIsBounded(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	c := startWith(t, bigquery.Config{DMLLimits: bigquery.ServiceDMLLimits, Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	createTable(t, c, "costs")
	for range 25 {
		rows(t, c, "INSERT INTO fin.costs (k) VALUES ('a')")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Query("INSERT INTO fin.costs (k) VALUES ('a')").Read(ctx)
	if !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "Exceeded rate limits: too many table dml insert operations for this table") {
		t.Fatalf("got %v", err)
	}
	job, err := c.Query("UPDATE fin.costs SET k = 'b' WHERE TRUE").Run(t.Context())
	must(t, err)
	wantJobError(t, job.LastStatus().Err(), "rateLimitExceeded", "Exceeded rate limits: too many table dml insert operations for this table")
	mu.Lock()
	now = now.Add(10 * time.Second)
	mu.Unlock()
	rows(t, c, "INSERT INTO fin.costs (k) VALUES ('a')")
}
