package remote

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/testing/lab"
)

// The drawing of a job in docs/deploying.md names the parts that the graph has.
func TestTheDrawingIsTheGraph(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/deploying.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, _ := strings.Cut(string(text), "```text\n")
	drawing, _, _ = strings.Cut(drawing, "```")
	var drawn []string
	step := ""
	for line := range strings.Lines(drawing) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(line, " ") {
			step = name
			drawn = append(drawn, step)
			continue
		}
		drawn = append(drawn, step+"/"+name)
	}
	cmd := exec.Command(lab.Binary, "graph", "openai/cost/usage_cost", "--format", "json")
	cmd.Env = lab.Environ(t.TempDir())
	out, err := cmd.Output()
	var graph struct {
		Transforms []struct{ Name string }
	}
	if err == nil {
		err = json.Unmarshal(out, &graph)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var parts []string
	for _, transform := range graph.Transforms {
		names := strings.Split(transform.Name, "/")
		parts = append(parts, names[0])
		if len(names) > 2 {
			parts = append(parts, names[0]+"/"+names[1])
		}
	}
	slices.Sort(parts)
	slices.Sort(drawn)
	if diff := cmp.Diff(slices.Compact(parts), drawn); diff != "" {
		t.Errorf("the graph (-) and its drawing (+): %s", diff)
	}
}
