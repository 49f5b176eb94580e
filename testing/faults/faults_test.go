package faults_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudact/convergence/testing/faults"
)

const base = "/bigquery/v2/projects/p/"

func insert(id, labels, sql string) string {
	return fmt.Sprintf(`{"configuration":{"labels":{%s},"query":{"query":%q}},"jobReference":{"jobId":%q,"projectId":"p"}}`, labels, sql, id)
}

func upload(id string) string {
	return "--b\r\nContent-Type: application/json\r\n\r\n" + insert(id, "", "") + "\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n{\"jobReference\":{\"jobId\":\"reg_no\"}}\r\n--b--"
}

func TestEveryCallIsNamedByWhatItIsFor(t *testing.T) {
	for _, c := range []struct {
		method, path, kind, body string
		want                     string
		mutates                  bool
	}{
		{"GET", base + "datasets/d/tables/_stg_a_1", "", "", faults.Read, false},
		{"POST", base + "queries", "", `{"query":"\n SELECT 1;"}`, faults.Read, false},
		{"POST", base + "queries", "", `{"query":"WITH a AS (SELECT 1) SELECT * FROM a"}`, faults.Read, false},
		{"POST", base + "queries", "", `{"query":"SELECT 1; DROP TABLE t"}`, "", true},
		{"POST", base + "queries", "", `{"query":"MERGE INTO org_integration_credentials USING x"}`, faults.Credential, true},
		{"POST", base + "queries", "", "no JSON", "", true},
		{"POST", base + "jobs", "", insert("reg_1", `"owner":"o"`, "SELECT 1"), faults.Register, true},
		{"POST", base + "jobs", "", insert("sql_1", "", "SELECT 1"), faults.SQL, true},
		{"POST", base + "jobs", "", insert("dlq_1", "", "INSERT INTO t"), faults.DeadLetters, true},
		{"POST", base + "jobs", "", insert("pub_1", `"content":"c"`, "BEGIN TRANSACTION"), faults.Publish, true},
		{"POST", base + "jobs", "", insert("pub_1", `"fence":"1"`, "SELECT 1"), faults.Fence, true},
		{"POST", base + "jobs", "", insert("x", "", "INSERT INTO `organizations.org_meta_run_events`\n (a)"), faults.EventsAppend, true},
		{"POST", base + "jobs", "", insert("x", "", "BEGIN TRANSACTION; DELETE FROM `p.o.org_meta_pipeline_runs` WHERE a"), faults.Project, true},
		{"POST", base + "jobs", "", insert("x", "", "DELETE FROM `o.another`"), "", true},
		{"POST", base + "jobs", "", `{"configuration":{"query":{"query":"SELECT 1","destinationTable":{}}}}`, "", true},
		{"POST", base + "jobs/load_1/cancel", "", "", faults.CancelJob, true},
		{"POST", "/upload" + base + "jobs", "multipart/related; boundary=b", upload("load_1"), faults.Load, true},
		{"POST", base + "datasets", "", "{}", faults.DatasetCreate, true},
		{"POST", base + "datasets/d/tables", "", `{"tableReference":{"tableId":"_stg_u_1"}}`, faults.StageCreate, true},
		{"POST", base + "datasets/d/tables", "", `{"tableReference":{"tableId":"usage"}}`, faults.TableCreate, true},
		{"PATCH", base + "datasets/d/tables/_stg_u_1", "", "{}", faults.StageRenew, true},
		{"PATCH", base + "datasets/d/tables/usage", "", "{}", faults.TableAlter, true},
		{"DELETE", base + "datasets/d/tables/_stg_u_1", "", "", faults.StageDrop, true},
		{"DELETE", base + "datasets/d/tables/usage", "", "", "", true},
		{"POST", base + "datasets/d/tables/org_meta_run_events/insertAll", "", "{}", faults.EventsStream, true},
		{"POST", base + "datasets/d/tables/usage/insertAll", "", "{}", faults.RowsStream, true},
		{"DELETE", base + "datasets/d", "", "", "", true},
		{"POST", "/elsewhere", "", "", "", true},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set("Content-Type", c.kind)
		op, mutates := faults.Warehouse(r, []byte(c.body))
		if op != c.want || mutates != c.mutates {
			t.Errorf("%s %s %s is %q, mutating %t; want %q, %t", c.method, c.path, c.body, op, mutates, c.want, c.mutates)
		}
	}
}

func TestPointsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range faults.Points() {
		if seen[p.String()] {
			t.Errorf("%s is there twice", p)
		}
		seen[p.String()] = true
	}
	if len(seen) == 0 || len(seen)%2 != 0 {
		t.Errorf("%d points", len(seen))
	}
}

// served is a server behind a plan, which counts the calls that reach it.
type served struct {
	plan  faults.Plan
	calls atomic.Int32
	url   string
}

func serve(t *testing.T) *served {
	s := &served{}
	server := httptest.NewServer(s.plan.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		w.Header().Set("X-From", "the server")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.Copy(w, r.Body)
	}), faults.Warehouse))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// post sends a job and returns what came back, "cut" for a broken connection.
func (s *served) post(t *testing.T, id string) string {
	t.Helper()
	body := insert(id, "", "SELECT 1")
	answer, err := http.Post(s.url+base+"jobs", "application/json", strings.NewReader(body))
	if errors.Is(err, io.EOF) {
		return "cut"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(b, []byte(body)) && answer.Header.Get("X-From") == "the server" {
		b = []byte("echo")
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, b)
}

func TestFaultsAreBeforeOrAfterTheCall(t *testing.T) {
	const echo, failed = "202 echo", `503 {"error":{"code":503,"message":"injected fault","errors":[{"reason":"backendError","domain":"global","message":"injected fault"}]}}`
	hooked := 0
	fail, hook := faults.Fail(503, "backendError"), func() { hooked++ }
	for _, c := range []struct {
		name  string
		rule  faults.Rule
		want  []string // of three posts: reg_1, reg_1, load_1
		calls int
	}{
		{"no rule", faults.Rule{Op: faults.Publish, Do: fail}, []string{echo, echo, echo}, 3},
		{"fail before", faults.Rule{Op: faults.Register, When: faults.Before, Nth: 1, Do: fail}, []string{failed, echo, echo}, 2},
		{"fail after", faults.Rule{Op: faults.Register, When: faults.After, Nth: 2, Do: fail}, []string{echo, failed, echo}, 3},
		{"cut before", faults.Rule{When: faults.Before, Nth: 3, Do: faults.Cut()}, []string{echo, echo, "cut"}, 2},
		{"cut after", faults.Rule{Op: faults.Mutating, When: faults.After, Do: faults.Cut()}, []string{"cut", "cut", "cut"}, 3},
		{"cut the first answers", faults.Rule{When: faults.After, First: true, Do: faults.Cut()}, []string{"cut", echo, "cut"}, 3},
		{"kill", faults.Rule{Op: faults.Load, When: faults.Before, Do: faults.Kill(hook)}, []string{echo, echo, "cut"}, 2},
		{"hook", faults.Rule{Op: faults.Load, When: faults.After, Do: faults.Hook(hook)}, []string{echo, echo, echo}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			s.plan.Set(c.rule)
			for i, id := range []string{"reg_1", "reg_1", "load_1"} {
				if got := s.post(t, id); got != c.want[i] {
					t.Errorf("post %d of %s answered %s, want %s", i+1, id, got, c.want[i])
				}
			}
			if int(s.calls.Load()) != c.calls || s.plan.Total() != 3 || s.plan.Hit() == (c.name == "no rule") {
				t.Errorf("%d calls reached the server, want %d; %d counted; hit: %t", s.calls.Load(), c.calls, s.plan.Total(), s.plan.Hit())
			}
		})
	}
	if hooked != 2 {
		t.Errorf("the hooks ran %d times", hooked)
	}
}

func TestAGateHoldsUntilItIsOpen(t *testing.T) {
	s := serve(t)
	gate := faults.NewGate()
	s.plan.Set(faults.Rule{Op: faults.Load, When: faults.Before, Do: gate.Pause()})
	answered := make(chan string)
	go func() { answered <- s.post(t, "load_1") }()
	<-gate.Arrived()
	if s.calls.Load() != 0 {
		t.Error("the call went through the gate")
	}
	gate.Open()
	if got := <-answered; got != "202 echo" {
		t.Errorf("answered %s", got)
	}
}

func TestSlowTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if faults.Slow(time.Minute)(t.Context(), nil) || time.Since(begun) != time.Minute {
			t.Errorf("went on after %s", time.Since(begun))
		}
	})
}

func TestAnUnnamedCallIsTold(t *testing.T) {
	s := serve(t)
	request, err := http.NewRequest(http.MethodDelete, s.url+base+"datasets/d", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := s.plan.Unnamed(); len(got) != 1 || !strings.HasPrefix(got[0], "DELETE "+base+"datasets/d") {
		t.Errorf("unnamed: %q", got)
	}
}
