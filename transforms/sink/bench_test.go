package sink_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
	"github.com/cloudact/convergence/transforms/source"
)

const (
	benchRows = 200_000
	benchPage = 1000
)

// cpuTime is what this process has used: client, Beam, API and warehouse together.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchRecord is about 300 bytes of JSON.
func benchRecord(i int) string {
	return fmt.Sprintf(`{"usage_date":"2025-11-01","model":"model-%07d-%s","cost":"%d.125","raw":{"input_tokens":%d,"output_tokens":%d,"project":"proj_%d"}}`,
		i, strings.Repeat("x", 130), i%1000, i, i/2, i%17)
}

// benchAPI serves the records in pages that were made beforehand.
func benchAPI(b *testing.B) string {
	b.Helper()
	pages := make([]string, benchRows/benchPage)
	for at := range pages {
		var records []string
		for i := at * benchPage; i < (at+1)*benchPage; i++ {
			records = append(records, benchRecord(i))
		}
		next := "null"
		if at+1 < len(pages) {
			next = strconv.Quote(strconv.Itoa(at + 1))
		}
		pages[at] = fmt.Sprintf(`{"data":[%s],"next":%s}`, strings.Join(records, ","), next)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(pages[at]))
	}))
	b.Cleanup(server.Close)
	return server.URL
}

// extractOnce fetches the API into the table of the options and returns the result.
func extractOnce(b *testing.B, api string, o sink.Options) sink.StepResult {
	b.Helper()
	processor, ok := registry.Lookup("generic.api_extractor")
	if !ok {
		b.Fatal("the binary has no generic.api_extractor")
	}
	config := processor.NewConfig()
	text := fmt.Sprintf(`{"url":%q,"data_path":"data","pagination":{"type":"cursor","param":"cursor","response_path":"next","limit":%d},"rate_limit":{"requests_per_second":0},"transform":{"flatten":true}}`, api, benchPage)
	if err := json.Unmarshal([]byte(text), config); err != nil {
		b.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	adopted, err := sink.Adopt(s, o)
	if err != nil {
		b.Fatal(err)
	}
	pages, err := processor.Build(s, beam.PCollection{}, registry.Build{
		Step:  registry.Step[any]{ID: o.Step, Org: o.Org, RunID: o.RunID, Schema: o.Table.Schema, Shards: 1, Config: config, Starts: sink.Starts(s, adopted)},
		Units: o.Units, UnitConfigs: []any{config},
	})
	if err != nil {
		b.Fatal(err)
	}
	results, err := sink.Write(s, sink.Input{Pages: pages, Adopted: adopted}, o)
	if err != nil {
		b.Fatal(err)
	}
	return runBench(b, p, s, results)
}

func runBench(b *testing.B, p *beam.Pipeline, s beam.Scope, results beam.PCollection) sink.StepResult {
	b.Helper()
	key := fmt.Sprint(b.Name(), time.Now().UnixNano())
	beam.ParDo0(s, &collectFn{Test: key}, results)
	if _, err := beam.Run(b.Context(), "prism", p); err != nil {
		b.Fatal(err)
	}
	collected.Lock()
	defer collected.Unlock()
	r := collected.results[key][0]
	if r.State != sink.StateCompleted || r.Published != benchRows {
		b.Fatalf("result is %+v", r)
	}
	return r
}

// benchTable is a table that nobody has written to.
func benchTable(_ *testing.B, name string) sink.Options {
	o := options(sink.ModeReplacePartition, dayUnit(1, 1))
	o.Table.Project, o.Table.Name = "acme-bench", name
	o.Units[0].ID = fmt.Sprintf("%024x", time.Now().UnixNano())
	o.Deadline = time.Time{}
	return o
}

func benchClient(b *testing.B) *bigquery.Client {
	b.Helper()
	w := warehouse{shared.address()}
	sink.UseWarehouse(w)
	source.UseGuard(source.Guard{AllowLoopback: true})
	c, err := w.Client(b.Context(), "acme-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	_ = c.Dataset(dataset).Create(b.Context(), &bigquery.DatasetMetadata{Location: "US"}) // may be there
	return c
}

// BenchmarkExtractToBigQuery fetches 200,000 records of about 300 bytes from a loopback
// API into the embedded BigQuery, exactly once. The CPU is that of client, API and server.
func BenchmarkExtractToBigQuery(b *testing.B) {
	benchClient(b)
	api := benchAPI(b)
	before, n := cpuTime(b), 0
	for b.Loop() {
		extractOnce(b, api, benchTable(b, fmt.Sprint("extract_", time.Now().UnixNano())))
		n++
	}
	spent := (cpuTime(b) - before).Seconds()
	b.ReportMetric(float64(n*benchRows)/spent, "rows/CPU-s")
}

// BenchmarkStagingAgainstPlainLoad compares rows that are staged in chunks and published
// with the same rows in one load job, in one run. The rows are there before either is
// measured: as text for the load, as pages for the stage, which still has to encode them.
func BenchmarkStagingAgainstPlainLoad(b *testing.B) {
	c := benchClient(b)
	schema := usageSchema()
	var lines strings.Builder
	made := make([]row.Row, benchRows)
	for i := range made {
		made[i] = usageRow(1, fmt.Sprintf("model-%d-%s", i, strings.Repeat("x", 180)), strconv.Itoa(i))
		lines.Write(append(schema.AppendJSON(nil, made[i]), '\n'))
	}
	var plain, staged time.Duration
	for b.Loop() {
		before := cpuTime(b)
		loadPlain(b, c, lines.String())
		plain += cpuTime(b) - before

		before = cpuTime(b)
		o := benchTable(b, fmt.Sprint("staged_", time.Now().UnixNano()))
		p, s := beam.NewPipelineWithRoot()
		madePages = partition(o.Units[0], "a", benchPage, made...)
		pages := beam.ParDo(s, emitMade, beam.Impulse(s))
		results, err := sink.Write(s, sink.Input{Pages: pages}, o)
		if err != nil {
			b.Fatal(err)
		}
		runBench(b, p, s, results)
		staged += cpuTime(b) - before
	}
	b.ReportMetric(staged.Seconds()/plain.Seconds(), "staged/plain")
	b.ReportMetric(staged.Seconds()/float64(b.N), "staged-CPU-s")
	b.ReportMetric(plain.Seconds()/float64(b.N), "plain-CPU-s")
}

// madePages are what emitMade emits in the same process.
var madePages []row.Page

func init() { register.Function2x0(emitMade) }

func emitMade(_ []byte, emit func(row.Page)) {
	for _, p := range madePages {
		emit(p)
	}
}

func loadPlain(b *testing.B, c *bigquery.Client, lines string) {
	b.Helper()
	from := bigquery.NewReaderSource(strings.NewReader(lines))
	from.SourceFormat = bigquery.JSON
	from.Schema = bigquery.Schema{
		{Name: "usage_date", Type: bigquery.DateFieldType},
		{Name: "model", Type: bigquery.StringFieldType},
		{Name: "cost", Type: bigquery.NumericFieldType},
		{Name: "raw", Type: bigquery.JSONFieldType},
	}
	job, err := c.Dataset(dataset).Table(fmt.Sprint("plain_", time.Now().UnixNano())).LoaderFrom(from).Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	st, err := job.Wait(b.Context())
	if err != nil || st.Err() != nil {
		b.Fatal(err, st.Err())
	}
}
