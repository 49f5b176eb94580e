package bigquery_test

import (
	"fmt"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

func TestIngestionTimeIsAColumnOfQueries(t *testing.T) {
	now := time.Date(2025, 11, 5, 13, 14, 15, 0, time.UTC)
	c := startWith(t, bigquery.Config{StreamingBuffer: time.Hour, Clock: func() time.Time { return now }})
	table := c.Dataset("fin").Table("events")
	must(t, table.Create(t.Context(), &bq.TableMetadata{
		Schema: bq.Schema{{Name: "k", Type: bq.StringFieldType}}, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType},
	}))
	mustLoad(t, table, `{"k":"now"}`)
	mustLoad(t, c.Dataset("fin").Table("events$20251103"), `{"k":"old"}`)
	must(t, table.Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "streamed"})))
	must(t, c.Dataset("fin").Table("events$20251104").Inserter().Put(t.Context(), batch(map[string]bq.Value{"k": "into"})))
	got := rows(t, c, "SELECT *, _PARTITIONDATE AS d, _PARTITIONTIME AS p FROM fin.events ORDER BY k")
	want := "[[into 2025-11-04 2025-11-04 00:00:00 +0000 UTC] [now 2025-11-05 2025-11-05 00:00:00 +0000 UTC] " +
		"[old 2025-11-03 2025-11-03 00:00:00 +0000 UTC] [streamed 2025-11-05 2025-11-05 00:00:00 +0000 UTC]]"
	if fmt.Sprint(got) != want {
		t.Fatalf("got  %v\nwant %s", got, want)
	}
	rows(t, c, "DELETE FROM fin.events WHERE _PARTITIONTIME = TIMESTAMP '2025-11-05' AND k = 'now'")
	rows(t, c, "ALTER TABLE fin.events ADD COLUMN n INT64")
	mustLoad(t, c.Dataset("fin").Table("events$20251103"), `{"k":"new","n":7}`)
	got = rows(t, c, "SELECT k, n FROM fin.events WHERE _PARTITIONDATE = '2025-11-03' ORDER BY k")
	if want := "[[new 7] [old <nil>]]"; fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s", got, want)
	}
	// The rows that were streamed are not there for a copy yet.
	status, err := copyInto(t, c, "copied", "", "events")
	must(t, outcome(status, err))
	got = rows(t, c, "SELECT _PARTITIONDATE AS d, COUNT(*) FROM fin.copied GROUP BY d ORDER BY d")
	if want := "[[2025-11-03 2]]"; fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}
