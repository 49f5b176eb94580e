// Package conformance compares the embedded BigQuery with answers that others
// recorded: Google's compliance tests of GoogleSQL and queries run on the real
// service. It is tests only and speaks to the server through its REST API; it
// must not know how a query is translated.
//
// testdata/right.txt lists every case that is answered rightly and may only
// grow; testdata/differences.txt names, with the reason, every case whose
// answer is wrong. -update writes the first and docs/conformance.md.
package conformance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	update = flag.Bool("update", false, "write testdata/right.txt and docs/conformance.md")
	report = flag.String("report", "", "write every outcome with its details to this file")
	only   = flag.String("only", "", "run the cases whose id matches, and compare with no list")
)

// class says how an answer compares with the expected one.
type class string

const (
	right       class = "right"       // the same rows, or an error where one is expected
	unsupported class = "unsupported" // refused as not supported, by name
	refused     class = "refused"     // refused by the analysis of the SQL
	failed      class = "failed"      // an error while running instead of rows
	wrong       class = "wrong"       // other rows
	missed      class = "missed"      // rows instead of an error
)

// outcome is the result of one case.
type outcome struct {
	id, source, area string
	class            class
	detail           string
}

func readCases[T any](name string) ([]T, error) {
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		return nil, err
	}
	plain, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var cases []T
	dec := json.NewDecoder(plain)
	dec.UseNumber()
	for dec.More() {
		var c T
		if err := dec.Decode(&c); err != nil {
			return nil, err
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// errorOutcome judges the answer to a case that must fail.
func errorOutcome(got *answer, want string) outcome {
	switch {
	case got.Error == nil:
		return outcome{class: missed, detail: fmt.Sprintf("want %s\n got %s", want, show(got))}
	case got.Error.unsupported():
		return outcome{class: unsupported, detail: got.Error.Message}
	case got.Error.Code >= 500 || got.Error.reason() == "jobInternalError":
		return outcome{class: failed, detail: got.Error.Message}
	}
	return outcome{class: right, detail: got.Error.Message}
}

// failureOutcome judges an error where rows were expected.
func (s *service) failureOutcome(e *failure, dataset, sql string, more map[string]any) (outcome, error) {
	if e.unsupported() {
		return outcome{class: unsupported, detail: e.Message}, nil
	}
	understood, err := s.understands(dataset, sql, more)
	if err != nil {
		return outcome{}, err
	}
	if !understood {
		return outcome{class: refused, detail: e.Message}, nil
	}
	return outcome{class: failed, detail: e.Message + "\n" + sql}, nil
}

func show(got *answer) string {
	rows, err := json.Marshal(got.Rows)
	if err != nil {
		return err.Error()
	}
	text := strings.NewReplacer(`{"v":`, "", `{"f":`, "", `}`, "").Replace(string(rows))
	return text[:min(len(text), 2000)]
}

// job is a group of cases that run one after the other.
type job func(s *service) ([]outcome, error)

func allJobs(t *testing.T) []job {
	pattern := regexp.MustCompile(*only)
	files, err := complianceFiles()
	if err != nil {
		t.Fatal(err)
	}
	var jobs []job
	for _, cases := range files {
		if slices.ContainsFunc(cases, func(c complianceCase) bool { return pattern.MatchString(c.id()) }) {
			jobs = append(jobs, func(s *service) ([]outcome, error) { return s.runComplianceFile(cases) })
		}
	}
	recorded, err := readCases[recordedCase]("recorded.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	for i := range recorded {
		if c := &recorded[i]; pattern.MatchString(c.id()) {
			jobs = append(jobs, func(s *service) ([]outcome, error) { return s.runRecorded(c, i) })
		}
	}
	return jobs
}

// workers is how many groups run at a time; the analyzer takes one statement
// at a time, so more would not help.
const workers = 2

func runAll(t *testing.T, jobs []job) []outcome {
	queue := make(chan job)
	var mu sync.Mutex
	var outcomes []outcome
	var wg sync.WaitGroup
	for range workers {
		// A server of its own: a set-up there disturbs no query here.
		s := startService(t)
		wg.Go(func() {
			for j := range queue {
				list, err := j(s)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				outcomes = append(outcomes, list...)
				mu.Unlock()
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	wg.Wait()
	slices.SortFunc(outcomes, func(a, b outcome) int { return strings.Compare(a.id, b.id) })
	return outcomes
}

func TestAnswersAreThoseOfTheService(t *testing.T) {
	outcomes := runAll(t, allJobs(t))
	if *report != "" {
		writeReport(t, outcomes)
	}
	if *only != "" {
		return
	}
	known := readDifferences(t)
	if *update {
		writeFile(t, rightFile, rightText(outcomes))
		writeFile(t, tableFile, tableText(outcomes, known))
	}
	checkRatchet(t, outcomes)
	checkDifferences(t, outcomes, known)
	if have, err := os.ReadFile(tableFile); err != nil || string(have) != tableText(outcomes, known) {
		t.Errorf("%s is not what the tests find (%v); write it with -update", tableFile, err)
	}
}

func writeReport(t *testing.T, outcomes []outcome) {
	var b strings.Builder
	for _, o := range outcomes {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", o.class, o.id, strings.ReplaceAll(o.detail, "\n", "\n\t\t"))
	}
	writeFile(t, *report, b.String())
}

func writeFile(t *testing.T, name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readLines returns the lines of a list that are no comment.
func readLines(t *testing.T, name string) []string {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		if line := scanner.Text(); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}
