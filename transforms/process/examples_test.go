package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/process"
	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

const configs = "../../configs"

// inputs are the schemas of the rows that each processor's examples put in.
var inputs = map[string]string{
	"openai.cost": "openai/cost/openai_usage_daily_raw",
}

type example struct {
	Name    string                 `yaml:"name"`
	Config  map[string]any         `yaml:"config"`
	In      []map[string]yaml.Node `yaml:"in"`
	Want    []map[string]yaml.Node `yaml:"want"`
	Rejects []rejectExample        `yaml:"rejects"`
	Error   string                 `yaml:"error"`
}

type rejectExample struct {
	Index   int64  `yaml:"index"`
	Code    string `yaml:"code"`
	Reason  string `yaml:"reason"`
	Payload string `yaml:"payload"`
}

var runStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	process.UsePrices(sync.OnceValues(readPrices))
	beam.Init()
	os.Exit(m.Run())
}

func readPrices() (*pricing.Table, error) {
	return pricing.ParseFS(os.DirFS(filepath.Join(configs, "pricing")))
}

func TestEveryProcessorHasExamplesThatHold(t *testing.T) {
	names := registry.Names()
	if len(names) == 0 {
		t.Fatal("no processor is registered")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			p, _ := registry.Lookup(name)
			for _, e := range examplesOf(t, name) {
				t.Run(e.Name, func(t *testing.T) { e.check(t, p) })
			}
		})
	}
}

func examplesOf(t *testing.T, name string) []example {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatalf("processor %s needs examples: %v", name, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var list []example
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("testdata/%s.yaml has no example", name)
	}
	return list
}

func (e example) check(t *testing.T, p *registry.Processor) {
	in, out := declared(t, inputs[p.Name]), declared(t, p.Output.SchemaRef)
	config, err := e.config(p)
	if err == nil {
		var page row.Page
		if page, err = runPage(t, direct.Execute, p, config, pageOf(t, in, e.In)); err == nil {
			e.compare(t, out, page)
		}
	}
	if got := fmt.Sprint(err); (err != nil || e.Error != "") && got != e.Error {
		t.Errorf("got error %q, want %q", got, e.Error)
	}
}

func (e example) config(p *registry.Processor) (any, error) {
	config := p.NewConfig()
	data, err := json.Marshal(e.Config)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(config); err != nil {
		return nil, err
	}
	if v, ok := config.(registry.Validator); ok {
		return config, v.Validate()
	}
	return config, nil
}

func (e example) compare(t *testing.T, schema row.Schema, page row.Page) {
	t.Helper()
	if len(page.Rows) != len(e.Want) {
		t.Fatalf("got %d rows, want %d; rejects: %+v", len(page.Rows), len(e.Want), page.Rejects)
	}
	for i, want := range e.Want {
		for name, node := range want {
			place := schema.Index(name)
			if place < 0 {
				t.Fatalf("want names an unknown column %s", name)
			}
			cell := page.Rows[i].Cells[place]
			if cell.IsNull() != (node.Tag == "!!null") || !cell.IsNull() && cell.Text() != node.Value {
				t.Errorf("row %d, %s: got %#v, want %s", i, name, cell, node.Value)
			}
		}
	}
	if len(page.Rejects) != len(e.Rejects) {
		t.Fatalf("got rejects %+v, want %d", page.Rejects, len(e.Rejects))
	}
	for i, want := range e.Rejects {
		got := page.Rejects[i]
		if got.Index != want.Index || got.Code != want.Code || got.Reason != want.Reason || got.Step != "price" || want.Payload != "" && got.Payload != want.Payload {
			t.Errorf("reject %d: got %+v, want %+v", i, got, want)
		}
	}
}

func declared(t testing.TB, ref string) row.Schema {
	t.Helper()
	dir, name := filepath.Split(ref)
	data, err := os.ReadFile(filepath.Join(configs, dir, "schemas", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Fields row.Schema `json:"fields"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Fields
}

func pageOf(t *testing.T, schema row.Schema, rows []map[string]yaml.Node) row.Page {
	t.Helper()
	page := row.Page{Position: row.Position{Unit: "u", Partition: "usage/completions", Index: 3, First: "a", Next: "b"}, Requests: 1}
	for _, values := range rows {
		cells := make([]row.Cell, len(schema))
		for name, node := range values {
			place := schema.Index(name)
			if place < 0 {
				t.Fatalf("in names an unknown column %s", name)
			}
			cells[place] = cellOf(t, schema[place].Type, node.Value)
		}
		page.Rows = append(page.Rows, row.Row{Cells: cells})
	}
	return page
}

func cellOf(t *testing.T, typ row.Type, text string) row.Cell {
	t.Helper()
	var cell row.Cell
	var err error
	switch typ {
	case row.TypeString:
		return row.String(text)
	case row.TypeBool:
		var v bool
		v, err = strconv.ParseBool(text)
		cell = row.Bool(v)
	case row.TypeInt64:
		var v int64
		v, err = strconv.ParseInt(text, 10, 64)
		cell = row.Int64(v)
	case row.TypeDate:
		var v civil.Date
		v, err = civil.ParseDate(text)
		cell = row.Date(v)
	default:
		err = errors.New("unexpected type " + typ.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return cell
}

// collectFn keeps the pages that reach it: both runners work in this process.
type collectFn struct{ ID string }

var (
	collectMu sync.Mutex
	collected = map[string][]row.Page{}
)

func init() { register.DoFn1x0[row.Page](&collectFn{}) }

// ProcessElement keeps the page.
func (f *collectFn) ProcessElement(p row.Page) {
	collectMu.Lock()
	defer collectMu.Unlock()
	collected[f.ID] = append(collected[f.ID], p)
}

type execute func(ctx context.Context, p *beam.Pipeline) (beam.PipelineResult, error)

// runPage runs one page through the processor on a real runner and checks that its
// position comes out as it went in.
func runPage(t *testing.T, run execute, p *registry.Processor, config any, page row.Page) (row.Page, error) {
	t.Helper()
	pipeline, s := beam.NewPipelineWithRoot()
	out, err := p.Build(s, beam.Create(s, page), registry.Build{
		Step: registry.Step[any]{
			ID: "price", Org: "acme", Provider: p.Provider, RunID: "run", Now: runStart.UnixMicro(),
			Input: declared(t, inputs[p.Name]), Schema: declared(t, p.Output.SchemaRef), Config: config,
		},
	})
	if err != nil {
		return row.Page{}, err
	}
	beam.ParDo0(s, &collectFn{ID: t.Name()}, out)
	if _, err := run(t.Context(), pipeline); err != nil {
		return row.Page{}, err
	}
	collectMu.Lock()
	defer collectMu.Unlock()
	pages := collected[t.Name()]
	delete(collected, t.Name())
	if len(pages) != 1 || pages[0].Position != page.Position || pages[0].Requests != page.Requests {
		t.Fatalf("got pages %+v, want one at %+v", pages, page.Position)
	}
	return pages[0], nil
}

func TestExamplesNameWhatTheyShow(t *testing.T) {
	seen := map[string]bool{}
	for name := range inputs {
		for _, e := range examplesOf(t, name) {
			if strings.TrimSpace(e.Name) == "" || seen[e.Name] {
				t.Errorf("%s: example name %q is empty or taken", name, e.Name)
			}
			seen[e.Name] = true
		}
	}
}
