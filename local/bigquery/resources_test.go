package bigquery_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/local/bigquery"
)

func TestDatasetLifeCycle(t *testing.T) {
	c := start(t)
	d := c.Dataset("raw")
	must(t, d.Create(t.Context(), &bq.DatasetMetadata{Description: "first", Location: "EU", Labels: map[string]string{"a": "1"}, DefaultTableExpiration: time.Hour}))
	wantError(t, d.Create(t.Context(), nil), http.StatusConflict, "duplicate")
	m, err := d.Metadata(t.Context())
	must(t, err)
	if m.Location != "EU" || m.Labels["a"] != "1" || m.DefaultTableExpiration != time.Hour || m.ETag == "" || m.CreationTime.IsZero() {
		t.Fatalf("got %+v", m)
	}
	update := bq.DatasetMetadataToUpdate{Description: "second"}
	update.DeleteLabel("a")
	update.SetLabel("b", "2")
	m2, err := d.Update(t.Context(), update, m.ETag)
	must(t, err)
	if m2.Description != "second" || m2.Labels["a"] != "" || m2.Labels["b"] != "2" || m2.ETag == m.ETag {
		t.Fatalf("got %+v", m2)
	}
	_, err = d.Update(t.Context(), bq.DatasetMetadataToUpdate{Name: "n"}, m.ETag)
	wantError(t, err, http.StatusBadRequest, "failedPrecondition")
	must(t, d.Table("x").Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{{Name: "a", Type: bq.IntegerFieldType}}}))
	e := readError(t, d.Delete(t.Context()), http.StatusBadRequest, "resourceInUse")
	if e.Message != "Dataset p-1:raw is still in use" {
		t.Fatalf("got %q", e.Message)
	}
	must(t, d.DeleteWithContents(t.Context()))
	_, err = d.Metadata(t.Context())
	if e := readError(t, err, http.StatusNotFound, "notFound"); e.Message != "Not found: Dataset p-1:raw" {
		t.Fatalf("got %q", e.Message)
	}
}

func TestListsAreServedInPages(t *testing.T) {
	c := start(t)
	for _, name := range []string{"a", "b", "C", "c"} {
		must(t, c.Dataset("fin").Table(name).Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{{Name: "a", Type: bq.IntegerFieldType}}}))
	}
	it := c.Dataset("fin").Tables(t.Context())
	it.PageInfo().MaxSize = 3
	var names []string
	for {
		table, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		must(t, err)
		names = append(names, table.TableID)
	}
	if got := strings.Join(names, " "); got != "C a b c" {
		t.Fatalf("got %q: table names are case-sensitive and sorted", got)
	}
}

func TestTableKeepsItsDefinition(t *testing.T) {
	c := start(t)
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	table := c.Dataset("fin").Table("costs")
	must(t, table.Create(t.Context(), &bq.TableMetadata{
		Description: "d", Labels: map[string]string{"team": "x"}, ExpirationTime: expires,
		Schema: bq.Schema{
			{Name: "at", Type: bq.TimestampFieldType, Required: true},
			{Name: "tags", Type: bq.RecordFieldType, Repeated: true, Schema: bq.Schema{{Name: "k", Type: bq.StringFieldType}}},
		},
		TimePartitioning: &bq.TimePartitioning{Type: bq.HourPartitioningType, Field: "at"},
		Clustering:       &bq.Clustering{Fields: []string{"at"}},
	}))
	m, err := table.Metadata(t.Context())
	must(t, err)
	if m.TimePartitioning.Type != bq.HourPartitioningType || m.Clustering.Fields[0] != "at" || !m.ExpirationTime.Equal(expires) ||
		!m.Schema[0].Required || !m.Schema[1].Repeated || m.Schema[1].Schema[0].Name != "k" || m.Labels["team"] != "x" || m.Type != bq.RegularTable {
		t.Fatalf("got %+v", m)
	}
}

func TestPatchAddsNullableColumnsAndRefusesTheRest(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(2, "2025-11-03"))
	m, err := table.Metadata(t.Context())
	must(t, err)
	added := append(append(bq.Schema{}, m.Schema...), &bq.FieldSchema{Name: "extra", Type: bq.RecordFieldType, Schema: bq.Schema{{Name: "x", Type: bq.IntegerFieldType}}})
	m2, err := table.Update(t.Context(), bq.TableMetadataToUpdate{Schema: added}, m.ETag)
	must(t, err)
	if len(m2.Schema) != 4 {
		t.Fatalf("got %d fields", len(m2.Schema))
	}
	_, err = table.Update(t.Context(), bq.TableMetadataToUpdate{Name: "y"}, m.ETag)
	wantError(t, err, http.StatusBadRequest, "failedPrecondition")
	nested := append(bq.Schema{}, m2.Schema...)
	nested[3] = &bq.FieldSchema{Name: "extra", Type: bq.RecordFieldType, Schema: bq.Schema{{Name: "x", Type: bq.IntegerFieldType}, {Name: "y", Type: bq.StringFieldType}}}
	_, err = table.Update(t.Context(), bq.TableMetadataToUpdate{Schema: nested}, "")
	must(t, err)
	mustLoad(t, table, `{"k":"new","extra":{"x":1,"y":"two"}}`)
	got := rows(t, c, "SELECT extra.y FROM fin.costs WHERE k = 'new'")
	if len(got) != 1 || got[0][0] != "two" {
		t.Fatalf("got %v", got)
	}
	for _, tc := range []struct {
		schema bq.Schema
		want   string
	}{
		{m.Schema[1:], "Provided Schema does not match Table p-1:fin.costs. Field d is missing in new schema"},
		{
			append(append(bq.Schema{}, nested...), &bq.FieldSchema{Name: "req", Type: bq.StringFieldType, Required: true}),
			"Provided Schema does not match Table p-1:fin.costs. Cannot add required fields to an existing schema. (field: req)",
		},
		{
			append(bq.Schema{{Name: "d", Type: bq.DateFieldType, Required: true}}, nested[1:]...),
			"Provided Schema does not match Table p-1:fin.costs. Field d has changed mode from NULLABLE to REQUIRED",
		},
	} {
		_, err := table.Update(t.Context(), bq.TableMetadataToUpdate{Schema: tc.schema}, "")
		if e := readError(t, err, http.StatusBadRequest, "invalid"); e.Message != tc.want {
			t.Errorf("got %q, want %q", e.Message, tc.want)
		}
	}
}

func TestRequiredColumnMayBecomeNullable(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	m, err := table.Metadata(t.Context())
	must(t, err)
	m.Schema[1].Required = false
	_, err = table.Update(t.Context(), bq.TableMetadataToUpdate{Schema: m.Schema}, "")
	must(t, err)
	mustLoad(t, table, `{"n":"1"}`)
}

func TestExpiredTableIsGone(t *testing.T) {
	now := time.Now()
	c := startWith(t, bigquery.Config{Clock: func() time.Time { return now }})
	table := c.Dataset("fin").Table("stage")
	create := func() error {
		return table.Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{{Name: "a", Type: bq.IntegerFieldType}}, ExpirationTime: now.Add(time.Minute)})
	}
	must(t, create())
	mustLoad(t, table, `{"a":1}`)
	now = now.Add(2 * time.Minute)
	_, err := table.Metadata(t.Context())
	wantError(t, err, http.StatusNotFound, "notFound")
	must(t, create())
	if n := count(t, table); n != 0 {
		t.Fatalf("the new table has %d rows of the old one", n)
	}
}

func TestTableDataIsReadInPages(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(25, "2025-11-03"))
	it := table.Read(t.Context())
	it.PageInfo().MaxSize = 10
	got := readAll(t, it)
	if len(got) != 25 || got[24][1] != "k24" {
		t.Fatalf("got %d rows, last %v", len(got), got[len(got)-1])
	}
}

func TestUnknownMethodsAreRefusedByName(t *testing.T) {
	url := bigquery.RunT(t)
	response, err := http.Get(url + "/bigquery/v2/projects/p-1/datasets/fin/models")
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Fatalf("got %d", response.StatusCode)
	}
}
