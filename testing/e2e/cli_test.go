package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/testing/lab"
)

// commands are all of them; the two of the flag library are not ours.
var commands = []string{
	"", "serve", "run", "validate", "graph", "sql", "report", "credentials", "credentials set", "credentials list", "credentials delete", "credentials validate", "preview",
	"processors", "language", "init", "doctor", "local", "job", "version",
	"backfill", "runs", "state", "state show", "state reset", "dlq", "dlq list", "dlq replay",
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	for _, name := range commands {
		help := w.ok(append(strings.Fields(name), "--help")...)
		example := regexp.MustCompile(`(?m)^Examples:\n((?:  .+\n)+)`).FindStringSubmatch(help)
		if example == nil || !strings.Contains(example[1], strings.TrimSpace("convergence "+name)) {
			t.Errorf("%q has no example:\n%s", name, help)
		}
	}
	listed := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(w.ok("--help"), -1)
	if len(listed) < 10 {
		t.Errorf("--help lists %v", listed)
	}
	for _, c := range listed {
		if name := c[1]; name != "completion" && name != "help" && name != "convergence" && !slices.Contains(commands, name) {
			t.Errorf("command %s is not among the tested", name)
		}
	}
	if _, err := os.Stat(w.data); err == nil {
		t.Error("help made the data directory")
	}
}

func TestCommandsThatOnlyLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	for _, c := range []struct {
		args []string
		want string // a pattern of what is printed
	}{
		{[]string{"version"}, `^convergence \S+ \(go\d\S+, \w+/\w+, Beam v2\.\d+\.\d+\)\n$`},
		{[]string{"validate", usageCost, "openai/cost/usage_extract"}, `^2 valid\n$`},
		{[]string{"graph", usageCost}, `(?s)^Impulse +extract_usage/\S+\n.*ParDo +extract_usage/Fetch/\S+\n.* transform_cost/`},
		{[]string{"graph", usageCost, "--format", "dot"}, `(?s)^digraph pipeline \{\n.*"extract_usage/\S+" -> "extract_usage/.*\}\n$`},
		{[]string{"graph", usageCost, "--format", "mermaid"}, `(?s)^flowchart LR\n  t0\["extract_usage/\S+"\]\n.* --> `},
		{[]string{"processors"}, `(?m)^openai\.usage +source +Fetches `},
		{[]string{"processors", "openai.usage"}, `(?s)^openai\.usage \(source\)\n.*destination_table`},
		{[]string{"processors", "openai.usage", "--format", "md"}, `^## openai\.usage\n`},
		{[]string{"processors", "--format", "md"}, `(?m)^## generic\.api_extractor$`},
		{
			[]string{"run", usageCost, "--org", "acme", "--from", "2026-08-19", "--to", "2026-08-20", "--dry-run"},
			`^openai/cost/usage_cost from 2026-08-19 to 2026-08-20 would run:\n  extract_usage +openai\.usage +-> acme_local\.openai_usage_daily_raw \(2 slices\)\n  transform_cost +openai\.cost +-> acme_local\.openai_cost_daily \(2 slices\)\n$`,
		},
	} {
		got := w.run(c.args...)
		if got.code != 0 || got.stderr != "" || !regexp.MustCompile(c.want).MatchString(got.stdout) {
			t.Errorf("convergence %s: exit code %d, want %s in\n%s%s", strings.Join(c.args, " "), got.code, c.want, got.stdout, got.stderr)
		}
	}
	for _, args := range [][]string{
		{"version", "--output", "json"},
		{"graph", usageCost, "--format", "json"},
		{"processors", "--output", "json"},
		{"processors", "openai.usage", "--format", "jsonschema"},
		{"run", usageCost, "--dry-run", "--output", "json"},
	} {
		if text := w.ok(args...); !json.Valid([]byte(text)) {
			t.Errorf("convergence %s printed no JSON: %s", strings.Join(args, " "), text)
		}
	}
	if _, err := os.Stat(w.data); err == nil {
		t.Error("looking made the data directory")
	}
}

func TestVariablesReachTheGraph(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	if err := os.WriteFile(filepath.Join(w.dir, "p.yml"), []byte(documents["unset_variable.yml"].text), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := w.ok("graph", "p.yml", "--var", "region=eu"); !strings.Contains(text, "extract/Fetch/") {
		t.Errorf("the graph is\n%s", text)
	}
}

func TestARunFromTheCommandLineAndItsReports(t *testing.T) {
	t.Parallel()
	acme := orgs("acme")
	w := newWorld(t, acme...)

	empty := w.ok("credentials", "list", "--org", "acme", "--output", "json")
	w.setCredentials(acme...)
	listed := w.ok("credentials", "list", "--org", "acme")
	if !strings.Contains(listed, "OPENAI") || !strings.Contains(listed, "VALID") || strings.Contains(empty, "OPENAI") {
		t.Errorf("credentials list printed\n%s, before\n%s", listed, empty)
	}

	ran := w.run("run", usageCost, "--org", "acme", "--from", "2026-08-19", "--to", "2026-08-20")
	if ran.code != 0 || !regexp.MustCompile(`(?m)^run [0-9a-f-]{36} completed in [0-9.]+m?s$`).MatchString(ran.stdout) {
		t.Fatalf("run: exit code %d\n%s%s", ran.code, ran.stdout, ran.stderr)
	}
	for _, step := range []string{"extract_usage", "transform_cost"} {
		if !regexp.MustCompile(`(?m)^  `+step+` +COMPLETED: \d+ rows published$`).MatchString(ran.stderr) || !regexp.MustCompile(`│ `+step+` +│ COMPLETED │`).MatchString(ran.stdout) {
			t.Errorf("run says nothing of %s:\n%s%s", step, ran.stdout, ran.stderr)
		}
	}
	for line := range strings.Lines(ran.stderr) {
		if !strings.HasPrefix(line, "  ") && !runLine.MatchString(line) {
			t.Errorf("progress holds the line %s", line)
		}
	}
	logs, err := filepath.Glob(filepath.Join(w.data, "runs", "*", "job.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs of the run: %v, %v", logs, err)
	}
	if text, err := os.ReadFile(logs[0]); err != nil || !strings.Contains(string(text), "job-001") {
		t.Errorf("the runner's log is not in %s: %v\n%s", logs[0], err, text)
	}
	checkBill(t, w, "acme")
	checkFormats(t, w)
	checkReports(t, w)

	direct := w.ok("run", usageCost, "--org", "acme", "--from", "2026-08-19", "--to", "2026-08-20", "--runner", "direct", "--output", "json")
	if !json.Valid([]byte(direct)) {
		t.Errorf("run --output json printed %s", direct)
	}
	checkBill(t, w, "acme")

	w.ok("credentials", "delete", "OPENAI", "--org", "acme")
	if again := w.run("credentials", "delete", "OPENAI", "--org", "acme"); again.code != 1 || again.stderr != "convergence: acme has no active credential of OPENAI\n" {
		t.Errorf("deleting twice: %d %s", again.code, again.stderr)
	}
	if left := w.ok("credentials", "list", "--org", "acme"); strings.Contains(left, "OPENAI") {
		t.Errorf("credentials list after delete:\n%s", left)
	}
	if without := w.run("run", usageCost, "--org", "acme", "--date", "2026-08-19"); without.code != 1 || !strings.Contains(without.stderr, "organisation acme for provider OPENAI") {
		t.Errorf("run without its credential: %d %s", without.code, without.stderr)
	}
}

// checkFormats asks for every kind of value in every format.
func checkFormats(t *testing.T, w *world) {
	t.Helper()
	const query = `SELECT 7 AS i, NUMERIC '1.250000001' AS n, 'a,"b"' AS s, TRUE AS b, DATE '2026-08-19' AS d,
		TIMESTAMP '2026-08-19 01:02:03.5+00' AS t, CAST(NULL AS STRING) AS x, [1, 2] AS l, b'\xff\x00' AS y`
	for format, want := range map[string]string{
		"csv":  "i,n,s,b,d,t,x,l,y\n7,1.250000001,\"a,\"\"b\"\"\",true,2026-08-19,2026-08-19 01:02:03.5 UTC,,\"[1, 2]\",/wA=\n",
		"json": `{"b":true,"d":"2026-08-19","i":7,"l":"[1, 2]","n":"1.250000001","s":"a,\"b\"","t":"2026-08-19 01:02:03.5 UTC","x":null,"y":"/wA="}` + "\n",
	} {
		if diff := cmp.Diff(want, w.ok("sql", "--output", format, query)); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
	table := w.ok("sql", query)
	for _, cell := range []string{" i ", " 1.250000001 ", ` a,"b" `, " NULL ", " [1, 2] ", " 2026-08-19 01:02:03.5 UTC "} {
		if !strings.Contains(table, cell) {
			t.Errorf("the table lacks %q:\n%s", cell, table)
		}
	}
	if done := w.ok("sql", "--org", "acme", "CREATE TABLE notes (id INT64)"); done != "done\n" {
		t.Errorf("DDL printed %q", done)
	}
	wrong := w.run("sql", "--org", "acme", "SELECT nothing FROM notes")
	if wrong.code != 1 || strings.Count(wrong.stderr, "\n") != 1 || !strings.Contains(wrong.stderr, "Unrecognized name: nothing") {
		t.Errorf("wrong SQL: exit code %d\n%s", wrong.code, wrong.stderr)
	}
}

func checkReports(t *testing.T, w *world) {
	t.Helper()
	whole := w.ok("report", "--org", "acme", "--output", "csv", "--by", "day")
	for _, by := range []string{"model", "project", "key", "user"} {
		if text := w.ok("report", "--org", "acme", "--by", by); strings.Count(text, "┌") != 2 {
			t.Errorf("report by %s has no two tables:\n%s", by, text)
		}
	}
	for _, day := range []string{"2026-08-19", "2026-08-20"} {
		if !strings.Contains(whole, day) {
			t.Errorf("the report lacks %s:\n%s", day, whole)
		}
	}
	if one := w.ok("report", "--org", "acme", "--output", "csv", "--by", "day", "--from", "2026-08-20"); strings.Contains(one, "2026-08-19") || !strings.Contains(one, "2026-08-20") {
		t.Errorf("the report from the second day is\n%s", one)
	}
}

func TestLocalServesOtherClientsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, orgs("acme")...)
	cmd, out, ended := w.background("local")
	var record struct {
		BigQuery string `json:"bigquery_url"`
	}
	lab.Eventually(w.t, "the embedded BigQuery tells its address", func() bool {
		b, err := os.ReadFile(filepath.Join(w.data, "server.json"))
		return err == nil && json.Unmarshal(b, &record) == nil
	})
	if record.BigQuery == "" {
		t.Fatalf("server.json names no address; it said %s", out)
	}
	response, err := http.Post(record.BigQuery+"/bigquery/v2/projects/local-dev-project/queries", "application/json", strings.NewReader(`{"query": "SELECT 40 + 2 AS answer", "useLegacySql": false}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(text), `"v":"42"`) {
		t.Errorf("%s: %s %v", response.Status, text, err)
	}
	if answer := w.ok("sql", "--output", "csv", "SELECT 1 AS one"); answer != "one\n1\n" {
		t.Errorf("sql beside it printed %q", answer)
	}
	if second := w.run("local"); second.code != 1 || !strings.Contains(second.stderr, "a server is already running on this data directory") {
		t.Errorf("a second one: %d %s", second.code, second.stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Ctrl-C ended it with %v: %s", err, out)
	}
	if !strings.Contains(out.String(), "embedded BigQuery and KMS for "+w.data+"; Ctrl-C ends them\n") {
		t.Errorf("it said %s", out)
	}
}
