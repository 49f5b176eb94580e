package process_test

import (
	"context"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

// repeatFn emits one page of its size N times, made once.
type repeatFn struct {
	Pages, Rows int
	page        row.Page
}

func init() { register.DoFn2x0[[]byte, func(row.Page)](&repeatFn{}); register.Emitter1[row.Page]() }

// repeatSchema is set by the benchmark: the DoFn runs in its process.
var repeatSchema row.Schema

// ProcessElement emits the pages.
func (f *repeatFn) ProcessElement(_ []byte, emit func(row.Page)) {
	var b testing.B
	for range f.Rows {
		f.page.Rows = append(f.page.Rows, usageRow(&b, repeatSchema, "gpt-4o-2024-08-06", 12_345, 678))
	}
	for range f.Pages {
		emit(f.page)
	}
}

// dropFn ends the graph.
type dropFn struct{ Rows int }

func init() { register.DoFn1x0[row.Page](&dropFn{}) }

// ProcessElement drops the page.
func (f *dropFn) ProcessElement(p row.Page) { f.Rows += len(p.Rows) }

func BenchmarkOpenAICost(b *testing.B) {
	const rows = 1000
	p := openAICost(b)
	repeatSchema = declared(b, inputs["openai.cost"])
	pipeline, s := beam.NewPipelineWithRoot()
	pages := beam.ParDo(s, &repeatFn{Pages: b.N, Rows: rows}, beam.Impulse(s))
	out, err := p.Build(s, pages, registry.Build{Step: registry.Step[any]{
		ID: "price", Org: "acme", Now: runStart.UnixMicro(), Input: repeatSchema, Schema: declared(b, p.Output.SchemaRef), Config: p.NewConfig(),
	}})
	if err != nil {
		b.Fatal(err)
	}
	beam.ParDo0(s, &dropFn{}, out)
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := direct.Execute(context.Background(), pipeline); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
