package bigquery_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

func batch(rows ...map[string]bq.Value) []bq.ValueSaver {
	var out []bq.ValueSaver
	for _, r := range rows {
		out = append(out, streamed{row: r})
	}
	return out
}

// firstRowError is what insertAll says about the first row that it refused.
func firstRowError(err error) string {
	var multi bq.PutMultiError
	if !errors.As(err, &multi) {
		return ""
	}
	return fmt.Sprint(multi[0].Errors)
}

func TestInsertAllStoresAllRowsOrNone(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	good, bad := map[string]bq.Value{"k": "a"}, map[string]bq.Value{"k": "b", "n": "1.0000000001"}
	err := table.Inserter().Put(t.Context(), batch(good, bad, good))
	var multi bq.PutMultiError
	if !errors.As(err, &multi) || len(multi) != 3 {
		t.Fatalf("got %v", err)
	}
	for _, rowErr := range multi {
		var e *bq.Error
		if !errors.As(rowErr.Errors[0], &e) {
			t.Fatalf("got %v", rowErr.Errors)
		}
		if rowErr.RowIndex == 1 && (e.Reason != "invalid" || e.Location != "n" || e.Message != "Invalid NUMERIC value: 1.0000000001") {
			t.Errorf("bad row: %+v", e)
		}
		if rowErr.RowIndex != 1 && e.Reason != "stopped" {
			t.Errorf("good row: %+v", e)
		}
	}
	if n := count(t, table); n != 0 {
		t.Fatalf("%d rows", n)
	}
	inserter := table.Inserter()
	inserter.SkipInvalidRows = true
	err = inserter.Put(t.Context(), batch(good, bad, good))
	if !errors.As(err, &multi) || len(multi) != 1 || multi[0].RowIndex != 1 {
		t.Fatalf("got %v", err)
	}
	if n := count(t, table); n != 2 {
		t.Fatalf("%d rows", n)
	}
}

func TestInsertAllRefusesMissingAndUnknownFields(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	for _, tc := range []struct {
		row  map[string]bq.Value
		want string
	}{
		{map[string]bq.Value{"n": "1"}, "Missing required field: k."},
		{map[string]bq.Value{"k": "a", "other": 1}, "No such field: other."},
		{map[string]bq.Value{"k": "a", "d": "yesterday"}, "Could not parse 'yesterday' as DATE for field d"},
	} {
		err := table.Inserter().Put(t.Context(), batch(tc.row))
		if !strings.Contains(firstRowError(err), tc.want) {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
	inserter := table.Inserter()
	inserter.IgnoreUnknownValues = true
	must(t, inserter.Put(t.Context(), batch(map[string]bq.Value{"k": "a", "other": 1})))
	err := c.Dataset("fin").Table("nope").Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "a"}))
	wantError(t, err, http.StatusNotFound, "notFound")
}

func TestInsertAllTakesEveryType(t *testing.T) {
	c := start(t)
	table := c.Dataset("fin").Table("types")
	must(t, table.Create(t.Context(), &bq.TableMetadata{Schema: allTypes}))
	at := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	must(t, table.Inserter().Put(t.Context(), batch(map[string]bq.Value{
		"i": 1, "f": 1.5, "b": true, "by": []byte{1, 255}, "n": "0.25", "ts": at, "j": `{"a": [1]}`, "a": []int{1, 2},
		"r": map[string]any{"x": "y", "y": []string{"0.1"}}, "rr": []map[string]any{{"k": "1", "v": "2"}},
	})))
	got := rows(t, c, "SELECT `by`, ts, TO_JSON_STRING(j), a, r.x, (SELECT v FROM UNNEST(rr)) FROM fin.types")
	if want := "[[1 255] 2024-01-02 03:04:05.000006 +0000 UTC {\"a\":[1]} [1 2] y 2]"; fmt.Sprint(got[0]) != want {
		t.Fatalf("got  %v\nwant %s", got[0], want)
	}
}

func TestInsertIDsAreForgottenAfterTheWindow(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	c := startWith(t, bigquery.Config{InsertIDWindow: time.Minute, Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	table := createTable(t, c, "costs")
	put := func() {
		must(t, table.Inserter().Put(t.Context(), []bq.ValueSaver{streamed{id: "same", row: map[string]bq.Value{"k": "a"}}}))
	}
	put()
	put()
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	put()
	if n := count(t, table); n != 2 {
		t.Fatalf("%d rows, want one for each window", n)
	}
}

func TestInsertIDsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bq.db")
	row := []bq.ValueSaver{streamed{id: "same", row: map[string]bq.Value{"k": "a"}}}
	first := startProcess(t, path)
	c := newClient(t, first.url)
	must(t, c.Dataset("fin").Create(t.Context(), nil))
	must(t, createTable(t, c, "costs").Inserter().Put(t.Context(), row))
	first.kill(t)
	c = newClient(t, startProcess(t, path).url)
	table := c.Dataset("fin").Table("costs")
	must(t, table.Inserter().Put(t.Context(), row))
	if n := count(t, table); n != 1 {
		t.Fatalf("%d rows, want 1", n)
	}
}

func TestInsertAllIntoAPartition(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	day := c.Dataset("fin").Table("costs$20251103")
	must(t, day.Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "a", "d": "2025-11-03"})))
	err := day.Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "a", "d": "2025-11-04"}))
	if !strings.Contains(firstRowError(err), "different partitions") {
		t.Fatalf("got %v", err)
	}
	if n := count(t, table); n != 1 {
		t.Fatalf("%d rows", n)
	}
}
