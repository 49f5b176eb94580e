package configs_test

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/configs"
)

func file(text string) configs.File { return configs.File{Name: "p.yml", Text: []byte(text)} }

func TestParseRefusesWhatCannotBeAPipeline(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"nothing", "", "p.yml:1:1: the document is empty"},
		{"a list", "- a\n", "p.yml:1:1: the document must be a mapping of keys to values"},
		{"two documents", "a: 1\n---\nb: 2\n", "p.yml:2:1: a second document starts here; a file holds one pipeline"},
		{"duplicate key", "a: 1\nb:\n  c: 1\n  c: 2\n", "p.yml:4:3: b.c: is given twice, first on line 3"},
		{"tab", "a:\n\tb: 1\n", "p.yml:2:1: a tab cannot indent; use spaces"},
		{"NUL", "a: 1\nb: \x00\n", "p.yml:2:4: control character 0x00 is not allowed"},
		{"broken UTF-8", "a: \xff\n", "p.yml:1:4: byte 0xff is not UTF-8"},
		{"alias", "a: &x 1\nb: *x\n", "p.yml:1:4: a: anchor &x is not allowed; write the value out where it is needed\np.yml:2:4: b: alias *x is not allowed; write the value out"},
		{"merge key", "a:\n  <<: {b: 1}\n", "p.yml:2:3: a: merge keys are not allowed; write the values out"},
		{"own tag", "a: !secret x\n", "p.yml:1:4: a: tag !secret is not allowed"},
		{"deep nesting", "a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "p.yml:1:68: values are nested more than 64 deep"},
		{"open quote", "a: \"x\nb: 1\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree, problems := configs.Parse(file(c.text))
			if tree != nil || len(problems) == 0 {
				t.Fatal("it was accepted")
			}
			if got := problems.Error(); c.want != "" && got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestParseRefusesAnAliasBombAtOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 9; i++ {
		n, p := string(rune('0'+i)), string(rune('0'+i-1))
		b.WriteString("a" + n + ": &a" + n + " [" + strings.Repeat("*a"+p+", ", 8) + "*a" + p + "]\n")
	}
	if _, problems := configs.Parse(file(b.String())); len(problems) == 0 || !strings.Contains(problems.Error(), "alias *a7 is not allowed") {
		t.Errorf("problems are %v", problems)
	}
}

func TestParseRefusesALargeDocument(t *testing.T) {
	_, problems := configs.Parse(file(strings.Repeat("# comment\n", 1<<17)))
	if len(problems) != 1 || !strings.Contains(problems.Error(), "at most 1048576 are read") {
		t.Errorf("problems are %v", problems)
	}
}

func TestADocumentOfTenMegabytesIsRefusedBeforeItIsParsed(t *testing.T) {
	text := []byte("steps: [" + strings.Repeat("{a: [[[[[[x]]]]]]}, ", 10<<20/20) + "]")
	allocated := testing.AllocsPerRun(1, func() {
		_, problems := configs.Parse(configs.File{Name: "big.yml", Text: text})
		if want := "big.yml: the document has 10485769 bytes; at most 1048576 are read"; problems.Error() != want {
			t.Errorf("problems are %v", problems)
		}
	})
	if allocated > 50 {
		t.Errorf("%v allocations: the document was read", allocated)
	}
}

func FuzzParseAndNormalise(f *testing.F) {
	shipped, err := configs.Open(configs.Shipped())
	if err != nil {
		f.Fatal(err)
	}
	for _, id := range shipped.List() {
		doc, _ := shipped.ByPath(id)
		f.Add(doc.Text)
	}
	f.Add([]byte("steps: [{name: a, destination: t, config: {transformation: {sql: x}}}, {id: b, step: c}]"))
	f.Add([]byte("steps: {a: [}\n\t- "))
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, problems := configs.Parse(configs.File{Name: "f", Text: text})
		if tree == nil {
			if len(problems) == 0 {
				t.Fatal("refused without a reason")
			}
			return
		}
		before, err := configs.JSON(tree.Root)
		if err != nil {
			t.Fatalf("a tree has no JSON form: %v", err)
		}
		canonical, _ := configs.Normalise(tree)
		after, err := configs.JSON(tree.Root)
		if err != nil || string(before) != string(after) {
			t.Fatal("Normalise changed its input")
		}
		scope := configs.NewScope(canonical, configs.SampleEnvironment())
		resolved, _ := configs.ResolveDocument(scope)
		if _, problems := configs.NewValidator(nil).Document(canonical, resolved); strings.Contains(problems.Error(), "panic") {
			t.Fatal(problems)
		}
	})
}
