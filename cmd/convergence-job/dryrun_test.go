package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/registry"
)

// canary stands for a secret that the environment of a launcher may hold.
const canary = "sk-admin-canary-7d1f"

// jobBinary builds the binary as it is shipped: without cgo.
func jobBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "convergence-job")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build without cgo: %v\n%s", err, out)
	}
	return path
}

// dryRun runs the binary on a machine without credentials, whose way out leads nowhere.
func dryRun(t *testing.T, binary, pipeline string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--pipeline", pipeline, "--runner", "dataflow", "--project", "p", "--region", "r",
		"--staging_location", "gs://b/s", "--dry_run")
	cmd.Env = []string{
		"HOME=" + t.TempDir(), "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1",
		"OPENAI_API_KEY=" + canary, "OPENAI_ADMIN_KEY=" + canary, "CA_ROOT_API_KEY=" + canary,
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestEveryShippedPipelineBuildsForDataflowWithoutCredentials(t *testing.T) {
	binary := jobBinary(t)
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range catalog.List() {
		t.Run(id, func(t *testing.T) {
			out, err := dryRun(t, binary, id)
			if planned := needsPlanned(t, catalog, id); planned != "" {
				if err == nil || !strings.Contains(out, planned) {
					t.Errorf("it needs what is not built, and the answer is %v\n%s", err, out)
				}
				return
			}
			if err != nil {
				t.Fatalf("dry run: %v\n%s", err, out)
			}
			if !strings.Contains(out, "pipeline "+id+" was compiled for dataflow; dry run: nothing was submitted") {
				t.Errorf("it does not say what happened:\n%s", out)
			}
			model := modelOf(t, out)
			file, _ := catalog.ByPath(id)
			checkScopes(t, catalog, file, model)
			if holds(out, model, canary) {
				t.Error("the job holds a secret of the environment")
			}
			// The org, which only the encoded functions know, must be found, or the search proves nothing.
			if !holds("", model, `"example"`) {
				t.Error("the search for secrets does not see into functions")
			}
		})
	}
}

// needsPlanned returns the first line that refuses a pipeline because it needs a
// processor that is not built, "" when it can run.
func needsPlanned(t *testing.T, catalog *configs.Catalog, id string) string {
	t.Helper()
	file, _ := catalog.ByPath(id)
	_, err := run.Plan(t.Context(), run.DryRunSpec(file, run.Dataflow, time.Now().UTC()), catalog)
	if err == nil || !strings.Contains(err.Error(), " is not part of this version; available: ") {
		return ""
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// checkScopes demands that each step is a named composite with its parts below it.
func checkScopes(t *testing.T, catalog *configs.Catalog, file configs.File, model *pipepb.Pipeline) {
	t.Helper()
	p, err := run.Plan(t.Context(), run.DryRunSpec(file, run.Dataflow, time.Now().UTC()), catalog)
	if err != nil {
		t.Fatal(err)
	}
	composites := map[string][]string{}
	for _, transform := range model.GetComponents().GetTransforms() {
		for _, sub := range transform.GetSubtransforms() {
			name := model.GetComponents().GetTransforms()[sub].GetUniqueName()
			composites[transform.GetUniqueName()] = append(composites[transform.GetUniqueName()], name)
		}
	}
	if len(p.Steps) == 0 {
		t.Fatal("the plan has no steps")
	}
	for _, step := range p.Steps {
		parts := []string{"Stage", "Publish"}
		processor, _ := registry.Lookup(step.Type)
		if processor.Kind == registry.Source {
			parts = append(parts, "Fetch", "Decode")
		}
		for _, part := range parts {
			name := step.ID + "/" + part
			if !slices.Contains(composites[step.ID], name) || len(composites[name]) == 0 {
				t.Errorf("step %s has no composite %s; it has %v", step.ID, name, composites[step.ID])
			}
		}
	}
}

// modelOf reads the pipeline proto that a dry run prints.
func modelOf(t *testing.T, output string) *pipepb.Pipeline {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(output))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		_, quoted, found := strings.Cut(lines.Text(), ` msg="components:`)
		if !found {
			continue
		}
		text, err := strconv.Unquote(`"components:` + quoted)
		if err != nil {
			t.Fatalf("read the log line of the proto: %v", err)
		}
		var model pipepb.Pipeline
		if err := prototext.Unmarshal([]byte(text), &model); err != nil {
			t.Fatalf("read the proto: %v", err)
		}
		return &model
	}
	t.Fatalf("the dry run prints no pipeline proto:\n%s", output)
	return nil
}

var base64Run = regexp.MustCompile(`[A-Za-z0-9+/]{16,}={0,2}`)

// holds looks for a text in what a dry run prints and in the functions within the
// proto, which are base64 of JSON.
func holds(output string, model *pipepb.Pipeline, text string) bool {
	if strings.Contains(output, text) {
		return true
	}
	for _, transform := range model.GetComponents().GetTransforms() {
		payload := transform.GetSpec().GetPayload()
		if bytes.Contains(payload, []byte(text)) {
			return true
		}
		if containsEncoded(payload, text, 2) {
			return true
		}
	}
	return false
}

// containsEncoded looks for a text within base64, and within base64 in that. A run of its
// letters may begin with some that do not belong to it.
func containsEncoded(b []byte, text string, depth int) bool {
	if depth == 0 {
		return false
	}
	for _, letters := range base64Run.FindAll(b, -1) {
		for skip := range 4 {
			decoded := make([]byte, len(letters))
			n, _ := base64.StdEncoding.Decode(decoded, letters[skip:]) // what precedes an error is decoded
			if bytes.Contains(decoded[:n], []byte(text)) || containsEncoded(decoded[:n], text, depth-1) {
				return true
			}
		}
	}
	return false
}
