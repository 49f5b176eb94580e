package compile_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/testing/golden"
	"github.com/cloudact/convergence/transforms/source"
)

// A golden file is a document, a line of dashes, and its graph or its errors.
const (
	dashes  = "----------\n"
	shipped = "shipped-"
)

var now = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	flag.Parse()
	source.UseOrigins(func(string) string { return "https://api.openai.com/v1" })
	beam.Init()
	os.Exit(m.Run())
}

func catalog(t testing.TB) *configs.Catalog {
	t.Helper()
	c, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func planOf(t testing.TB, f configs.File) (*plan.Plan, error) {
	t.Helper()
	return plan.New(plan.Deps{Catalog: catalog(t), Processors: compile.Processors()}).Plan(context.Background(), plan.Request{
		Source: f, Org: "acme", Env: "development", Project: "platform", Dataset: "acme_local",
		Location: "US", RunID: "0b5c1f0e-0000-5000-8000-000000000000", Now: now,
	})
}

func graphOf(t testing.TB, f configs.File) (compile.Graph, error) {
	t.Helper()
	p, err := planOf(t, f)
	if err != nil {
		return compile.Graph{}, err
	}
	dlq, _ := catalog(t).Table("system/" + compile.DeadLetterTable)
	pipeline, err := compile.Pipeline(p, compile.Options{Now: now, Deadline: now.Add(time.Hour), DeadLetters: dlq})
	if err != nil {
		return compile.Graph{}, err
	}
	return compile.Describe(pipeline)
}

// printed is what the second half of a golden file holds.
func printed(t testing.TB, f configs.File) string {
	t.Helper()
	g, err := graphOf(t, f)
	if err != nil {
		return err.Error() + "\n"
	}
	return g.Text()
}

func TestEveryShippedPipelineHasItsGoldenGraph(t *testing.T) {
	c := catalog(t)
	files := map[string]bool{}
	for _, id := range c.List() {
		f, _ := c.ByPath(id)
		_, err := planOf(t, f)
		if err != nil && strings.Contains(err.Error(), " is not part of this version; available: ") {
			continue // a run needs a processor that is not built, and says so
		}
		name := shipped + strings.ReplaceAll(id, "/", "-") + ".golden"
		files[name] = true
		t.Run(id, func(t *testing.T) {
			if _, err := graphOf(t, f); err != nil {
				t.Fatalf("it does not compile: %v", err)
			}
			golden.Equal(t, filepath.Join("testdata", name), string(f.Text)+dashes+printed(t, f))
		})
	}
	if len(files) < 6 {
		t.Errorf("only %d shipped pipelines have a graph", len(files))
	}
	present, err := filepath.Glob("testdata/" + shipped + "*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range present {
		if !files[filepath.Base(name)] {
			t.Errorf("%s belongs to no shipped pipeline: delete it", name)
		}
	}
}

func TestDocumentsCompileToTheirGraphOrErrors(t *testing.T) {
	names, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), ".golden")
		if strings.HasPrefix(base, shipped) {
			continue
		}
		cases++
		t.Run(base, func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			document, _, _ := strings.Cut(string(text), dashes)
			got := printed(t, configs.File{Name: "p.yml", Text: []byte(document), ID: "openai/cost/p"})
			golden.Equal(t, name, document+dashes+got)
			if invalid := !strings.HasPrefix(got, "Impulse"); invalid != strings.HasPrefix(base, "invalid-") {
				t.Errorf("files whose name begins with invalid- hold errors, others a graph; this one prints\n%s", got)
			}
		})
	}
	if cases < 20 {
		t.Errorf("only %d documents are compiled", cases)
	}
}
