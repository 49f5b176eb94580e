package plan_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
)

// allBuilt shows planned processors as built ones, so that documents which need them can
// be planned and compared.
type allBuilt struct{ configs.Processors }

func (a allBuilt) Lookup(name string) (configs.Processor, bool) {
	p, ok := a.Processors.Lookup(name)
	if !ok {
		return nil, false
	}
	return builtProcessor{p}, true
}

type builtProcessor struct{ configs.Processor }

func (builtProcessor) Planned() bool { return false }

// Output gives rows that have no columns yet a mode that needs none.
func (p builtProcessor) Output() configs.Output {
	out := p.Processor.Output()
	if p.Processor.Planned() && out.SchemaRef == "" && out.WriteMode == "replace_partition" {
		out.WriteMode = "overwrite"
	}
	return out
}

// A file of spellings is a document in canonical spelling and, each behind a line of
// dashes, documents that say the same. A line "# id: x/y/z" gives them their path; with
// "# config differs" they hold different keys that lead to the same graph.
func TestEverySpellingPlansAsTheCanonicalOne(t *testing.T) {
	files, err := filepath.Glob("testdata/spellings/*.yml")
	if err != nil || len(files) < 12 {
		t.Fatalf("there are %d files of spellings: %v", len(files), err)
	}
	p := plan.New(plan.Deps{Catalog: catalog(t), Processors: allBuilt{compile.Processors()}})
	id := regexp.MustCompile(`(?m)^# id: (\S+)$`)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yml"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			file := configs.File{Name: "p.yml", ID: "openai/cost/p"}
			if m := id.FindSubmatch(text); m != nil {
				file.ID = string(m[1])
			}
			documents := strings.Split(string(text), dashes)
			if len(documents) < 2 {
				t.Fatal("there is nothing to compare with")
			}
			want := ""
			for i, document := range documents {
				file.Text = []byte(document)
				if problems := p.Validate(context.Background(), file); problems.Err() != nil {
					t.Errorf("document %d is refused:\n%v", i, problems.Err())
					continue
				}
				r := request(file)
				r.ProjectID, r.AdminEmail = "customer-project", "admin@example.com"
				planned, err := p.Plan(context.Background(), r)
				var refused configs.Problems
				if errors.As(err, &refused) && notInThisVersion(refused) {
					if got := withoutPlaces(refused); i == 0 {
						want = got
					} else if got != want {
						t.Errorf("document %d is refused differently:\n%s\nwant\n%s", i, got, want)
					}
					continue
				}
				if err != nil {
					t.Errorf("document %d has no plan:\n%v", i, err)
					continue
				}
				planned.Warnings = nil
				if s := planned.Schedule; s != nil {
					planned.Schedule = &configs.Schedule{Cron: s.CronText(), Timezone: s.Timezone}
				}
				for _, s := range planned.Steps { // the hash stands for the config
					if strings.Contains(string(text), "# config differs\n") {
						s.ConfigHash = ""
					}
					slices.Sort(s.DependsOn)
					s.Config = nil
					for i := range s.Units {
						s.Units[i].Config = nil
					}
				}
				got := asJSON(t, planned)
				if i == 0 {
					want = got
				} else if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("document %d plans differently (-canonical +spelling):\n%s", i, diff)
				}
			}
		})
	}
}

// notInThisVersion reports whether nothing but a part of the language that is not built
// keeps a document from running.
func notInThisVersion(problems configs.Problems) bool {
	return !slices.ContainsFunc(problems, func(p configs.Problem) bool {
		return p.Severity == configs.SeverityError && !strings.Contains(p.Message, "is not part of this version")
	})
}

func withoutPlaces(problems configs.Problems) string {
	out := ""
	for _, p := range problems {
		p.Line, p.Col = 0, 0
		out += p.String() + "\n"
	}
	return out
}
