package source_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

const canary = "sk-canary-7f3a/9b+secret"

// keyring is a credential store that knows one organisation.
type keyring struct{}

func (keyring) Resolve(_ context.Context, org, provider string) (string, error) {
	if org != "acme" || provider == "UNKNOWN" {
		return "", errors.New("no row for " + canary)
	}
	return canary, nil
}

func TestMain(m *testing.M) {
	beam.Init()
	source.QuickRetries()
	source.UseSecrets(keyring{})
	source.UseGuard(source.Guard{AllowLoopback: true})
	os.Exit(m.Run())
}

var collected = struct {
	sync.Mutex
	pages  map[string][]row.Page
	onPage map[string]func(row.Page)
}{pages: map[string][]row.Page{}, onPage: map[string]func(row.Page){}}

func init() { register.DoFn1x0[row.Page](&collect{}) }

// collect is a sink for tests: it keeps pages by the name of the test.
type collect struct{ Test string }

func (c *collect) ProcessElement(page row.Page) {
	collected.Lock()
	collected.pages[c.Test] = append(collected.pages[c.Test], page)
	onPage := collected.onPage[c.Test]
	collected.Unlock()
	if onPage != nil {
		onPage(page)
	}
}

// job is one step to run through a real pipeline.
type job struct {
	processor string
	config    any      // marshalled to JSON, then read as a document would be
	days      []string // one unit each; default one day
	schema    row.Schema
	shards    int
	org       string
	runner    string // default prism
}

func (j job) build(t testing.TB) (*beam.Pipeline, error) {
	t.Helper()
	processor, ok := registry.Lookup(j.processor)
	if !ok {
		t.Fatalf("no processor %q", j.processor)
	}
	j.schema = j.columns(t)
	if j.days == nil {
		j.days = []string{"2025-03-01"}
	}
	build := registry.Build{Step: registry.Step[any]{
		ID: "fetch_it", Org: cmp.Or(j.org, "acme"), RunID: "run", Schema: j.schema, Config: j.readConfig(t, processor), Shards: max(1, j.shards),
	}}
	for _, text := range j.days {
		day, err := civil.ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		build.Units = append(build.Units, row.Unit{ID: "unit-" + text, Start: day, End: day.AddDays(1)})
		build.UnitConfigs = append(build.UnitConfigs, build.Step.Config)
	}
	p, s := beam.NewPipelineWithRoot()
	pages, err := processor.Build(s.Scope("fetch_it"), beam.PCollection{}, build)
	if err == nil {
		beam.ParDo0(s, &collect{Test: t.Name()}, pages)
	}
	return p, err
}

// columns are those that a plan gives the step.
func (j job) columns(t testing.TB) row.Schema {
	t.Helper()
	processor, _ := registry.Lookup(j.processor)
	if j.schema != nil {
		return j.schema
	}
	if ref := processor.Output.SchemaRef; ref != "" {
		return shippedSchema(t, ref)
	}
	schema := row.Schema{
		{Name: "org_slug", Type: row.TypeString, Required: true},
		{Name: "usage_date", Type: row.TypeDate},
		{Name: "raw_data", Type: row.TypeString},
		{Name: "extracted_at", Type: row.TypeTimestamp},
	}
	config := j.readConfig(t, processor).(*source.APIConfig)
	for _, name := range slices.Sorted(maps.Keys(config.Transform.AddFields)) {
		schema = append(schema, row.Field{Name: name, Type: row.TypeString})
	}
	return schema
}

func (j job) readConfig(t testing.TB, processor *registry.Processor) any {
	t.Helper()
	text, err := json.Marshal(j.config)
	if err != nil {
		t.Fatal(err)
	}
	config := processor.NewConfig()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(config); err != nil {
		t.Fatalf("config: %v", err)
	}
	if v, ok := config.(registry.Validator); ok {
		if err := v.Validate(); err != nil {
			t.Fatalf("config: %v", err)
		}
	}
	return config
}

// onPage has the sink of the test's next run call back with each page before it takes
// the following one.
func onPage(t testing.TB, call func(row.Page)) {
	t.Helper()
	collected.Lock()
	defer collected.Unlock()
	collected.onPage[t.Name()] = call
}

// run runs the step and returns its pages by unit, partition and index.
func (j job) run(t testing.TB) []row.Page {
	t.Helper()
	p, err := j.build(t)
	if err != nil {
		t.Fatal(err)
	}
	result, err := beam.Run(context.Background(), cmp.Or(j.runner, "prism"), p)
	if err != nil {
		t.Fatalf("the job failed: %v", err)
	}
	collected.Lock()
	defer collected.Unlock()
	pages := collected.pages[t.Name()]
	delete(collected.pages, t.Name())
	slices.SortStableFunc(pages, func(a, b row.Page) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Index, b.Index))
	})
	checkChains(t, pages)
	checkCounters(t, result, pages)
	for _, page := range pages {
		if text, _ := row.EncodePage(page); bytes.Contains(text, []byte(canary)) {
			t.Errorf("page %s/%d holds the secret", page.Partition, page.Index)
		}
		if page.Body != nil {
			t.Errorf("page %s/%d still has its body", page.Partition, page.Index)
		}
	}
	return pages
}

// checkChains demands what a sink relies on: contiguous pages from "" to an end.
func checkChains(t testing.TB, pages []row.Page) {
	t.Helper()
	for i, page := range pages {
		first := i == 0 || pages[i-1].Unit != page.Unit || pages[i-1].Partition != page.Partition
		last := i == len(pages)-1 || pages[i+1].Unit != page.Unit || pages[i+1].Partition != page.Partition
		if first && (page.First != "" || page.Index != 0) {
			t.Errorf("%s starts at page %d, cursor %q", page.Partition, page.Index, page.First)
		}
		if !first && (page.First != pages[i-1].Next || page.Index != pages[i-1].Index+1) {
			t.Errorf("%s: page %d does not follow page %d", page.Partition, page.Index, pages[i-1].Index)
		}
		if ended := page.Last || page.Failure != nil; ended != last {
			t.Errorf("%s: page %d: last %t, failure %v", page.Partition, page.Index, page.Last, page.Failure)
		}
	}
}

// checkCounters demands that what a user reads as metrics is what the pages say.
func checkCounters(t testing.TB, result beam.PipelineResult, pages []row.Page) {
	t.Helper()
	want := map[string]int64{}
	for _, page := range pages {
		want["decoded_rows"] += int64(len(page.Rows))
		want["requests"] += page.Requests
		want["retries"] += max(0, page.Requests-1)
		if page.Failure == nil || len(page.Failure.Message) > 0 && page.Last {
			want["fetched_pages"]++
		}
	}
	got := map[string]int64{}
	for _, c := range result.Metrics().AllMetrics().Counters() {
		if c.Key.Namespace == "fetch_it" {
			got[c.Key.Name] += c.Committed
		}
	}
	for _, name := range []string{"decoded_rows", "fetched_pages", "requests", "retries"} {
		if got[name] != want[name] {
			t.Errorf("counter %s is %d, want %d", name, got[name], want[name])
		}
	}
}

func shippedSchema(t testing.TB, ref string) row.Schema {
	t.Helper()
	provider, name := filepath.Dir(ref), filepath.Base(ref)
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", provider, "schemas", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Fields row.Schema }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Fields
}

func wantFailure(t *testing.T, pages []row.Page, code string, parts ...string) {
	t.Helper()
	if len(pages) == 0 || pages[len(pages)-1].Failure == nil {
		t.Fatalf("no failure in %d pages, want %s", len(pages), code)
	}
	got := pages[len(pages)-1].Failure
	if got.Code != code {
		t.Errorf("failure %s: %s; want code %s", got.Code, got.Message, code)
	}
	for _, part := range parts {
		if !strings.Contains(got.Message, part) {
			t.Errorf("failure %q does not say %q", got.Message, part)
		}
	}
}
