package configs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cloudact/convergence/configs"
)

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func TestOnlyItsOwnOrgSeesADocument(t *testing.T) {
	const schema = `{"fields": [{"name": "a", "type": "STRING"}]}`
	c, err := configs.Open(configs.Shipped(), fstest.MapFS{
		"orgs/acme/openai/cost/usage_cost.yml":    text("acme's"),
		"orgs/acme/openai/cost/schemas/own.json":  text(schema),
		"orgs/acme/mine/daily.yml":                text("acme's own"),
		"orgs/acme/system/providers.yml":          text("never read"),
		"orgs/acme/organizations/org_quotas.json": text("never read"),
		"globex/openai/cost/usage_cost.yml":       text("globex's"), // the predecessor's place
		"globex/weekly/x.yml":                     text("globex's own"),
		"orgs/globex/weekly/x.yml":                text("globex's new"),
		"gcp/cost/extra.yml":                      text("everybody's"), // the slug is a provider
		"claude/x/y.yml":                          text("everybody's"), // an alias of one
		"my-api/x/y.yml":                          text("everybody's"), // no slug
		"orgs/gcp/gcp/cost/extra.yml":             text("the org gcp's"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Orgs(), " "); got != "acme gcp globex" {
		t.Errorf("orgs are %s", got)
	}
	shared := c.List()
	for _, id := range []string{"gcp/cost/extra", "claude/x/y", "my-api/x/y"} {
		if !slices.Contains(shared, id) {
			t.Errorf("%s is not shared", id)
		}
	}
	for org, want := range map[string]map[string]string{
		"acme":    {"openai/cost/usage_cost": "acme's", "mine/daily": "acme's own", "weekly/x": "", "gcp/cost/extra": "everybody's"},
		"globex":  {"openai/cost/usage_cost": "globex's", "weekly/x": "globex's new", "mine/daily": ""},
		"gcp":     {"gcp/cost/extra": "the org gcp's", "mine/daily": ""},
		"initech": {"mine/daily": "", "weekly/x": "", "globex/weekly/x": "", "orgs/acme/mine/daily": ""},
	} {
		for id, text := range want {
			f, ok := c.For(org).ByPath(id)
			if ok != (text != "") || ok && string(f.Text) != text {
				t.Errorf("%s sees %s as %q", org, id, f.Text)
			}
			if ok && (f.Org != "") == (text == "everybody's") || f.Org != "" && f.Org != org {
				t.Errorf("%s of %s belongs to %q", id, org, f.Org)
			}
		}
	}
	if f, _ := c.ByPath("openai/cost/usage_cost"); f.Org != "" || len(f.Text) < 100 {
		t.Error("an org's document replaced the shared one")
	}
	if _, ok := c.For("acme").Table("openai/cost/own"); !ok {
		t.Error("acme does not see its own schema")
	}
	if _, ok := c.For("globex").Table("openai/cost/own"); ok {
		t.Error("globex sees acme's schema")
	}
	if _, ok := c.For("acme").Providers().Lookup("openai"); !ok {
		t.Error("an org's file replaced the providers")
	}
}

func TestALibraryIsReadAgainWhenAFileChanges(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "openai", "cost", "own.yml")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write("one", now)
	l, err := configs.NewLibrary(func() time.Time { return now }, configs.Shipped(), os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	find := func() (string, error) {
		c, err := l.Catalog()
		f, _ := c.Find("openai", "cost", "own")
		return string(f.Text), err
	}
	first, _ := l.Catalog()
	write("two", now.Add(time.Minute))
	if got, err := find(); got != "one" || err != nil {
		t.Errorf("within a second it is %q, %v", got, err)
	}
	now = now.Add(2 * time.Second)
	if got, err := find(); got != "two" || err != nil {
		t.Errorf("after a change it is %q, %v", got, err)
	}
	schemas := filepath.Join(dir, "openai", "cost", "schemas")
	if err := os.MkdirAll(schemas, 0o755); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(schemas, "t.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if got, err := find(); got != "two" || err == nil {
		t.Errorf("with a broken schema it is %q, %v", got, err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if got, err := find(); got != "two" || err != nil {
		t.Errorf("after it was mended it is %q, %v", got, err)
	}
	if again, _ := l.Catalog(); again == first {
		t.Error("the catalogue is the first one still")
	}
}
