package bigquery_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	bq "cloud.google.com/go/bigquery"
)

func TestConcurrentDeleteAndInsertTransactionsDoNotDouble(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	publish := `BEGIN TRANSACTION;
DELETE FROM fin.costs WHERE d BETWEEN '2025-11-01' AND '2025-11-30';
INSERT INTO fin.costs (d, k, n) SELECT DATE '2025-11-03', CAST(x AS STRING), 1.5 FROM UNNEST(GENERATE_ARRAY(1, 10)) AS x;
COMMIT TRANSACTION;`
	publish = strings.ReplaceAll(publish, "1.5 FROM", "NUMERIC '1.5' FROM")
	const publishers, times = 4, 5
	var group sync.WaitGroup
	var mu sync.Mutex
	committed, aborted := 0, 0
	for range publishers {
		group.Go(func() {
			for range times {
				status, err := runScript(t.Context(), c, publish)
				if err == nil {
					err = status.Err()
				}
				mu.Lock()
				if err == nil {
					committed++
				} else if strings.Contains(err.Error(), "Transaction is aborted due to concurrent update against table p-1:fin.costs") {
					aborted++
				} else {
					t.Errorf("publish: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("%d committed, %d aborted", committed, aborted)
	if committed == 0 {
		t.Fatal("no transaction committed")
	}
	if n := count(t, table); n != 10 {
		t.Fatalf("table has %d rows after %d publishes of the same 10", n, committed)
	}
}

func TestTransactionThatMeetsAnotherIsAborted(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(50, "2025-11-03"))
	script := func(from string) string {
		return `BEGIN TRANSACTION; DELETE FROM fin.costs WHERE TRUE; INSERT INTO fin.costs (d, k) SELECT DATE '2025-11-03', CAST(x AS STRING) FROM UNNEST(GENERATE_ARRAY(1, ` + from + `)) AS x; COMMIT TRANSACTION;`
	}
	var group sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		group.Go(func() {
			status, err := runScript(t.Context(), c, script("50"))
			if err == nil {
				err = status.Err()
			}
			results[i] = err
		})
	}
	group.Wait()
	if n := count(t, table); n != 50 {
		t.Fatalf("%d rows, want 50; results %v", n, results)
	}
}

func ndjson(n int, day string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"d\":%q,\"k\":\"k%d\",\"n\":\"%d.25\"}\n", day, i, i)
	}
	return b.String()
}

func TestSameLoadJobIDLoadsOnce(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	withID := func(l *bq.Loader) { l.JobID = "load_abc" }
	mustLoad(t, table, ndjson(3, "2025-11-03"), withID)
	_, err := load(t, table, ndjson(3, "2025-11-03"), withID)
	e := readError(t, err, http.StatusConflict, "duplicate")
	if e.Message != "Already Exists: Job p-1:US.load_abc" {
		t.Fatalf("got %q", e.Message)
	}
	if n := count(t, table); n != 3 {
		t.Fatalf("%d rows, want 3", n)
	}
	job, err := c.JobFromIDLocation(t.Context(), "load_abc", "US")
	must(t, err)
	status, err := job.Wait(t.Context())
	must(t, err)
	if got := status.Statistics.Details.(*bq.LoadStatistics).OutputRows; got != 3 {
		t.Fatalf("recorded %d output rows, want 3", got)
	}
}

func TestSameLoadJobIDAtTheSameTimeLoadsOnce(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	var group sync.WaitGroup
	won := make(chan bool, 8)
	for range cap(won) {
		group.Go(func() {
			status, err := load(t, table, ndjson(100, "2025-11-03"), func(l *bq.Loader) { l.JobID = "load_same" })
			won <- err == nil && status.Err() == nil
		})
	}
	group.Wait()
	close(won)
	winners := 0
	for w := range won {
		if w {
			winners++
		}
	}
	if n := count(t, table); n != 100 || winners != 1 {
		t.Fatalf("%d rows by %d winners, want 100 by 1", n, winners)
	}
}

type streamed struct {
	id  string
	row map[string]bq.Value
}

func (s streamed) Save() (map[string]bq.Value, string, error) { return s.row, s.id, nil }

func TestInsertAllDropsRowsWithAKnownInsertID(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	put := func(ids ...string) {
		var batch []bq.ValueSaver
		for _, id := range ids {
			batch = append(batch, streamed{id: id, row: map[string]bq.Value{"k": "x", "n": "1.5"}})
		}
		must(t, table.Inserter().Put(t.Context(), batch))
	}
	put("a", "b")
	put("b", "c")
	put("d", "d")
	put(bq.NoDedupeID, bq.NoDedupeID)
	if n := count(t, table); n != 6 {
		t.Fatalf("%d rows, want a, b, c, d and two without an id", n)
	}
}

func TestNoQueryReachesFilesOrSettings(t *testing.T) {
	c := start(t)
	createTable(t, c, "costs")
	outside := t.TempDir()
	for _, sql := range []string{
		"COPY (SELECT 1) TO '" + outside + "/x.csv'",
		"SELECT * FROM read_csv('/etc/passwd')",
		"SELECT * FROM '/etc/passwd'",
		"SELECT read_text('/etc/passwd')",
		"SELECT * FROM fin.costs, read_text('/etc/passwd')",
		"ATTACH '" + outside + "/z.db'",
		"INSTALL httpfs",
		"LOAD httpfs",
		"SET enable_external_access = true",
		"SET lock_configuration = false",
		"PRAGMA memory_limit='1GB'",
		"SELECT getenv('HOME')",
		"EXPORT DATA OPTIONS(uri='file:///tmp/x*', format='CSV') AS SELECT 1",
		"LOAD DATA INTO fin.costs FROM FILES(format='CSV', uris=['file:///etc/passwd'])",
	} {
		_, err := c.Query(sql).Read(t.Context())
		if err == nil {
			t.Errorf("%s was accepted", sql)
			continue
		}
		if e := apiError(err); e == nil || e.Code < 400 || e.Code > 499 {
			t.Errorf("%s: got %v, want a 4xx", sql, err)
		}
	}
}

func TestCancelledContextLeavesNoHalfTransaction(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runScript(ctx, c, "BEGIN TRANSACTION; DELETE FROM fin.costs WHERE TRUE; COMMIT TRANSACTION;"); err == nil {
		t.Fatal("a cancelled call succeeded")
	}
	mustLoad(t, table, ndjson(1, "2025-11-03"))
}
