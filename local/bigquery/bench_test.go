package bigquery_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

var benchSchema = bq.Schema{
	{Name: "usage_date", Type: bq.DateFieldType},
	{Name: "service", Type: bq.StringFieldType},
	{Name: "sku", Type: bq.StringFieldType},
	{Name: "region", Type: bq.StringFieldType},
	{Name: "cost", Type: bq.NumericFieldType},
	{Name: "quantity", Type: bq.IntegerFieldType},
	{Name: "created", Type: bq.TimestampFieldType},
	{Name: "tags", Type: bq.RecordFieldType, Repeated: true, Schema: bq.Schema{
		{Name: "key", Type: bq.StringFieldType}, {Name: "value", Type: bq.StringFieldType},
	}},
}

// BenchmarkLoad loads 200,000 rows, about 38 MB, of NDJSON.
func BenchmarkLoad(b *testing.B) {
	var text bytes.Buffer
	const n = 200_000
	for i := range n {
		fmt.Fprintf(&text, `{"usage_date":"2025-11-%02d","service":"service-%d","sku":"sku-%d","region":"eu-west-%d","cost":"%d.%06d","quantity":%d,"created":"2025-11-03T04:05:06.123456Z","tags":[{"key":"team","value":"t%d"}]}`+"\n",
			i%28+1, i%20, i%300, i%4, i%1000, i, i, i%50)
	}
	c := startWith(b, bigquery.Config{Path: filepath.Join(b.TempDir(), "bq.db")})
	table := c.Dataset("fin").Table("bench")
	must(b, table.Create(b.Context(), &bq.TableMetadata{Schema: benchSchema}))
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		mustLoad(b, table, text.String())
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkInsertAll streams rows with insertIds, 500 a call.
func BenchmarkInsertAll(b *testing.B) {
	c := startWith(b, bigquery.Config{Path: filepath.Join(b.TempDir(), "bq.db")})
	table := c.Dataset("fin").Table("bench")
	must(b, table.Create(b.Context(), &bq.TableMetadata{Schema: benchSchema}))
	const size = 500
	next := 0
	for b.Loop() {
		rows := make([]bq.ValueSaver, size)
		for i := range rows {
			rows[i] = streamed{id: fmt.Sprint("id-", next), row: map[string]bq.Value{
				"usage_date": "2025-11-03", "service": "service", "sku": "sku", "region": "eu", "cost": "1.25", "quantity": next, "created": "2025-11-03T04:05:06Z",
			}}
			next++
		}
		must(b, table.Inserter().Put(b.Context(), rows))
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkQueryFloor is the least a query costs, through the real client.
func BenchmarkQueryFloor(b *testing.B) {
	c := startWith(b, bigquery.Config{Path: filepath.Join(b.TempDir(), "bq.db")})
	table := createTable(b, c, "costs")
	mustLoad(b, table, ndjson(100, "2025-11-03"))
	for b.Loop() {
		rows(b, c, "SELECT k, SUM(n) AS total FROM fin.costs WHERE d = '2025-11-03' GROUP BY k ORDER BY total LIMIT 10")
	}
}
