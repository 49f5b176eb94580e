package bigquery_test

import (
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/googleapi"
)

var allTypes = bq.Schema{
	{Name: "i", Type: bq.IntegerFieldType},
	{Name: "f", Type: bq.FloatFieldType},
	{Name: "b", Type: bq.BooleanFieldType},
	{Name: "s", Type: bq.StringFieldType},
	{Name: "by", Type: bq.BytesFieldType},
	{Name: "n", Type: bq.NumericFieldType},
	{Name: "bn", Type: bq.BigNumericFieldType},
	{Name: "d", Type: bq.DateFieldType},
	{Name: "dt", Type: bq.DateTimeFieldType},
	{Name: "t", Type: bq.TimeFieldType},
	{Name: "ts", Type: bq.TimestampFieldType},
	{Name: "j", Type: bq.JSONFieldType},
	{Name: "a", Type: bq.IntegerFieldType, Repeated: true},
	{Name: "r", Type: bq.RecordFieldType, Schema: bq.Schema{{Name: "x", Type: bq.StringFieldType}, {Name: "y", Type: bq.NumericFieldType, Repeated: true}}},
	{Name: "rr", Type: bq.RecordFieldType, Repeated: true, Schema: bq.Schema{{Name: "k", Type: bq.StringFieldType}, {Name: "v", Type: bq.StringFieldType}}},
}

const allTypesRow = `{"i":"-9223372036854775808","f":1.5,"b":true,"s":"ü\n\"","by":"Af8=","n":"12345678901234567890.123456789","bn":0.000000000000000001,` +
	`"d":"2024-02-29","dt":"2024-02-29T12:30:00.000001","t":"23:59:59.999999","ts":"2024-01-02 03:04:05.123456 UTC","j":{"b":12345678901234567890,"a":["<x>",1.0]},` +
	`"a":[1,2],"r":{"x":"y","y":["0.1","-0.000000001"]},"rr":[{"v":"2","k":"1"},{"k":"3"}]}`

func TestLoadIsExactForEveryType(t *testing.T) {
	c := start(t)
	table := c.Dataset("fin").Table("types")
	must(t, table.Create(t.Context(), &bq.TableMetadata{Schema: allTypes}))
	status := mustLoad(t, table, allTypesRow+"\n{}\n")
	stats := status.Statistics.Details.(*bq.LoadStatistics)
	if stats.OutputRows != 2 || stats.InputFileBytes != int64(len(allTypesRow)+4) {
		t.Fatalf("got %+v", stats)
	}
	for name, got := range map[string][][]bq.Value{
		"tabledata.list": readAll(t, table.Read(t.Context())), "query": rows(t, c, "SELECT * FROM fin.types ORDER BY i DESC"),
	} {
		full := got[0]
		if full[0] == nil {
			full = got[1]
		}
		numeric, _ := new(big.Rat).SetString("12345678901234567890.123456789")
		if full[5].(*big.Rat).Cmp(numeric) != 0 {
			t.Errorf("%s: numeric %v", name, full[5])
		}
		text := fmt.Sprint(full[0], full[1], full[2], full[3], full[4], full[6].(*big.Rat).FloatString(18), full[7], full[8].(civil.DateTime), full[9], full[10], full[11], full[12])
		want := "-9223372036854775808 1.5 trueü\n\"[1 255]0.0000000000000000012024-02-29 2024-02-29T12:30:00.000001000 23:59:59.999999000 2024-01-02 03:04:05.123456 +0000 UTC{\"a\":[\"<x>\",1.0],\"b\":12345678901234567890}[1 2]"
		if text != want {
			t.Errorf("%s:\n got %q\nwant %q", name, text, want)
		}
		record := full[13].([]bq.Value)
		if record[0] != "y" || len(record[1].([]bq.Value)) != 2 || record[1].([]bq.Value)[1].(*big.Rat).FloatString(9) != "-0.000000001" {
			t.Errorf("%s: record %v", name, record)
		}
		if fmt.Sprint(full[14]) != "[[1 2] [3 <nil>]]" {
			t.Errorf("%s: repeated record %v", name, full[14])
		}
	}
}

func TestBadRowsAreNamedAndNothingIsLoaded(t *testing.T) {
	c := start(t)
	table := c.Dataset("fin").Table("types")
	schema := append(bq.Schema{{Name: "req", Type: bq.StringFieldType, Required: true}}, allTypes...)
	must(t, table.Create(t.Context(), &bq.TableMetadata{Schema: schema}))
	for _, tc := range []struct{ row, want string }{
		{`{"req":"a","i":1.5}`, `Could not convert value to integer. Field: i; Value: 1.5; line_number: 2`},
		{`{"req":"a","i":"9223372036854775808"}`, `Could not convert value to integer. Field: i`},
		{`{"req":"a","n":"1.0000000001"}`, `Invalid NUMERIC value: 1.0000000001`},
		{`{"req":"a","n":100000000000000000000000000000}`, `Invalid NUMERIC value: 100000000000000000000000000000`},
		{`{"req":"a","unknown":1}`, `No such field: unknown.`},
		{`{"req":"a","r":{"z":1}}`, `No such field: r.z.`},
		{`{"i":1}`, `Missing required field: req.`},
		{`{"req":null}`, `Only optional fields can be set to NULL. Field: req; Value: NULL`},
		{`{"req":"a","d":"2024-02-30"}`, `column_name: "d" column_type: DATE value: "2024-02-30"`},
		{`{"req":"a","ts":"2024-01-02"}`, `Could not parse '2024-01-02' as a timestamp.`},
		{`{"req":"a","a":1}`, `Nonrepeated value specified for repeated field: a.`},
		{`{"req":"a","a":[1,null]}`, `Field: a; Value: NULL`},
		{`{"req":"a","r":"x"}`, `This field: r is not a record.`},
		{`{"req":"a","s":["x"]}`, `Array specified for non-repeated field: s.`},
		{`{"req":"a","f":true}`, `Could not convert value to float. Field: f; Value: true`},
		{`{"req":"a"`, `Parser error`},
	} {
		status, err := load(t, table, "{\"req\":\"good\"}\n"+tc.row+"\n")
		must(t, err)
		wantJobError(t, outcome(status, nil), "invalid", "too many errors, giving up. Rows: 2; errors: 1; max bad: 0")
		if len(status.Errors) < 2 || !strings.Contains(status.Errors[1].Message, tc.want) || !strings.Contains(status.Errors[1].Message, "line_number: 2") {
			t.Errorf("%s: got %v, want %q", tc.row, status.Errors, tc.want)
		}
	}
	if n := count(t, table); n != 0 {
		t.Fatalf("failed loads left %d rows", n)
	}
}

func TestMaxBadRecordsSkipsThem(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	text := "{\"k\":\"a\"}\n{\"n\":\"1\"}\n{\"k\":\"b\",\"n\":\"x\"}\n{\"k\":\"c\"}\n"
	status := mustLoad(t, table, text, func(l *bq.Loader) { l.Src.(*bq.ReaderSource).MaxBadRecords = 2 })
	if n := count(t, table); n != 2 || len(status.Errors) != 2 {
		t.Fatalf("%d rows, warnings %v", n, status.Errors)
	}
	status, err := load(t, table, text, func(l *bq.Loader) { l.Src.(*bq.ReaderSource).MaxBadRecords = 1 })
	must(t, err)
	wantJobError(t, outcome(status, nil), "invalid", "errors: 2; max bad: 1")
}

func TestIgnoreUnknownValuesDropsThem(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, `{"k":"a","zzz":{"deep":[1,2]}}`, func(l *bq.Loader) { l.Src.(*bq.ReaderSource).IgnoreUnknownValues = true })
	if n := count(t, table); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

func TestCreateAndWriteDispositions(t *testing.T) {
	c := start(t)
	missing := c.Dataset("fin").Table("new")
	status, err := load(t, missing, `{"k":"a"}`, func(l *bq.Loader) { l.CreateDisposition = bq.CreateNever })
	must(t, err)
	wantJobError(t, outcome(status, nil), "notFound", "Not found: Table p-1:fin.new")
	withSchema := func(l *bq.Loader) {
		l.Src.(*bq.ReaderSource).Schema = bq.Schema{{Name: "k", Type: bq.StringFieldType}}
	}
	mustLoad(t, missing, `{"k":"a"}`, withSchema)
	mustLoad(t, missing, `{"k":"b"}`)
	status, err = load(t, missing, `{"k":"c"}`, func(l *bq.Loader) { l.WriteDisposition = bq.WriteEmpty })
	must(t, err)
	wantJobError(t, outcome(status, nil), "duplicate", "Already Exists: Table p-1:fin.new")
	mustLoad(t, missing, `{"k":"c"}`, func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate })
	if n := count(t, missing); n != 1 {
		t.Fatalf("%d rows after WRITE_TRUNCATE", n)
	}
}

func TestSchemaUpdateOptionsAddFields(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	m, err := table.Metadata(t.Context())
	must(t, err)
	wider := func(l *bq.Loader) {
		l.Src.(*bq.ReaderSource).Schema = append(append(bq.Schema{}, m.Schema...), &bq.FieldSchema{Name: "region", Type: bq.StringFieldType})
	}
	status, err := load(t, table, `{"k":"a","region":"eu"}`, wider)
	must(t, err)
	wantJobError(t, outcome(status, nil), "invalid", "Cannot add fields (field: region)")
	mustLoad(t, table, `{"k":"a","region":"eu"}`, wider, func(l *bq.Loader) { l.SchemaUpdateOptions = []string{"ALLOW_FIELD_ADDITION"} })
	got := rows(t, c, "SELECT region FROM fin.costs")
	if len(got) != 1 || got[0][0] != "eu" {
		t.Fatalf("got %v", got)
	}
}

func TestPartitionDecoratorReplacesOnlyThatPartition(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	mustLoad(t, table, ndjson(3, "2025-11-03")+ndjson(4, "2025-11-04"))
	day := c.Dataset("fin").Table("costs$20251103")
	truncate := func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate }
	mustLoad(t, day, ndjson(1, "2025-11-03"), truncate)
	if n := count(t, table); n != 5 {
		t.Fatalf("%d rows, want 1 + 4", n)
	}
	status, err := load(t, day, ndjson(1, "2025-11-03")+ndjson(1, "2025-11-05"), truncate)
	must(t, err)
	wantJobError(t, outcome(status, nil), "invalid", "too many errors")
	if !strings.Contains(status.Errors[1].Message, "Some rows belong to different partitions rather than destination partition 20251103") {
		t.Fatalf("got %v", status.Errors)
	}
	if n := count(t, table); n != 5 {
		t.Fatalf("%d rows after a failed load, want 5", n)
	}
	status, err = load(t, c.Dataset("fin").Table("costs$202511"), ndjson(1, "2025-11-03"))
	must(t, err)
	wantJobError(t, outcome(status, nil), "invalid", "Invalid time partition decorator 202511")
}

func TestDecoratorsOfEveryGranularity(t *testing.T) {
	c := start(t)
	for _, tc := range []struct {
		kind      bq.TimePartitioningType
		decorator string
		inside    string
		outside   string
	}{
		{bq.HourPartitioningType, "2025110313", "2025-11-03 13:59:59", "2025-11-03 14:00:00"},
		{bq.DayPartitioningType, "20251103", "2025-11-03 23:59:59", "2025-11-04 00:00:00"},
		{bq.MonthPartitioningType, "202511", "2025-11-30 23:59:59", "2025-12-01 00:00:00"},
		{bq.YearPartitioningType, "2025", "2025-12-31 23:59:59", "2026-01-01 00:00:00"},
	} {
		name := "by" + string(tc.kind)
		table := c.Dataset("fin").Table(name)
		must(t, table.Create(t.Context(), &bq.TableMetadata{
			Schema:           bq.Schema{{Name: "ts", Type: bq.TimestampFieldType}},
			TimePartitioning: &bq.TimePartitioning{Type: tc.kind, Field: "ts"},
		}))
		mustLoad(t, table, fmt.Sprintf("{\"ts\":%q}\n{\"ts\":%q}\n", tc.inside, tc.outside))
		mustLoad(t, c.Dataset("fin").Table(name+"$"+tc.decorator), "", func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate })
		got := rows(t, c, "SELECT FORMAT_TIMESTAMP('%Y-%m-%d %H:%M:%S', ts) FROM fin."+name)
		if len(got) != 1 || got[0][0] != tc.outside {
			t.Errorf("%s: got %v, want the row outside", tc.kind, got)
		}
	}
}

func TestIngestionTimePartitions(t *testing.T) {
	c := start(t)
	table := c.Dataset("fin").Table("events")
	must(t, table.Create(t.Context(), &bq.TableMetadata{
		Schema: bq.Schema{{Name: "k", Type: bq.StringFieldType}}, TimePartitioning: &bq.TimePartitioning{},
	}))
	mustLoad(t, c.Dataset("fin").Table("events$20251103"), `{"k":"a"}`)
	mustLoad(t, table, `{"k":"b"}`)
	must(t, table.Inserter().Put(t.Context(), []bq.ValueSaver{streamed{row: map[string]bq.Value{"k": "c"}}}))
	mustLoad(t, c.Dataset("fin").Table("events$20251103"), "", func(l *bq.Loader) { l.WriteDisposition = bq.WriteTruncate })
	got := rows(t, c, "SELECT * FROM fin.events ORDER BY k")
	if fmt.Sprint(got) != "[[b] [c]]" {
		t.Fatalf("got %v", got)
	}
}

func TestResumableUploadInChunks(t *testing.T) {
	c := start(t)
	table := createTable(t, c, "costs")
	text := ndjson(20000, "2025-11-03")
	source := bq.NewReaderSource(strings.NewReader(text))
	source.SourceFormat = bq.JSON
	loader := table.LoaderFrom(source)
	loader.MediaOptions = []googleapi.MediaOption{googleapi.ChunkSize(googleapi.MinUploadChunkSize)}
	job, err := loader.Run(t.Context())
	must(t, err)
	status, err := job.Wait(t.Context())
	must(t, err)
	must(t, status.Err())
	if n := count(t, table); n != 20000 {
		t.Fatalf("%d rows of %d bytes", n, len(text))
	}
}

func TestLoadOfCSV(t *testing.T) {
	c := start(t)
	table := c.Dataset("fin").Table("csv")
	text := "i,s,ts\r\n1,\"a\"\"b, c\",2024-01-02T03:04:05\r\n2,,\r\n3,\"\",\"2024-01-02 03:04:05.5\"\r\n"
	mustLoad(t, table, text, func(l *bq.Loader) {
		source := l.Src.(*bq.ReaderSource)
		source.SourceFormat, source.SkipLeadingRows = bq.CSV, 1
		source.Schema = bq.Schema{{Name: "i", Type: bq.IntegerFieldType}, {Name: "s", Type: bq.StringFieldType}, {Name: "ts", Type: bq.TimestampFieldType}}
	})
	got := rows(t, c, "SELECT s, ts FROM fin.csv ORDER BY i")
	if got[0][0] != `a"b, c` || got[1][0] != nil || got[2][0] != "" || got[1][1] != nil {
		t.Fatalf("got %v", got)
	}
}

func TestLabelsOfAJobAreKept(t *testing.T) {
	c := start(t)
	q := c.Query("SELECT 1")
	q.JobID = "reg_1"
	q.Labels = map[string]string{"owner": "o1", "value": "v1"}
	_, err := q.Run(t.Context())
	must(t, err)
	_, err = q.Run(t.Context())
	wantError(t, err, http.StatusConflict, "duplicate")
	job, err := c.JobFromIDLocation(t.Context(), "reg_1", "US")
	must(t, err)
	config, err := job.Config()
	must(t, err)
	if labels := config.(*bq.QueryConfig).Labels; labels["owner"] != "o1" || labels["value"] != "v1" {
		t.Fatalf("got %v", labels)
	}
	_, err = c.JobFromIDLocation(t.Context(), "nope", "US")
	if e := readError(t, err, http.StatusNotFound, "notFound"); e.Message != "Not found: Job p-1:US.nope" {
		t.Fatalf("got %q", e.Message)
	}
}
