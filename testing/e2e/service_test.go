package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// service is a running `convergence serve --local`.
type service struct {
	*lab.Service
	w    *world
	keys map[string]string // API key by organisation
}

// serve starts the service on a free port and waits until it is ready.
func (w *world) serve(organisations ...string) *service {
	w.t.Helper()
	args := []string{"serve", "--local", "--addr", "127.0.0.1:0"}
	for _, org := range organisations {
		args = append(args, "--org", org)
	}
	cmd := w.command(context.Background(), invocation{environ: []string{"LOG_LEVEL=DEBUG", "RATE_LIMIT_ENABLED=false"}, args: args})
	s := &service{Service: lab.Serve(w.t, cmd), w: w}
	b, err := os.ReadFile(filepath.Join(w.data, "keys.json"))
	if err == nil {
		err = json.Unmarshal(b, &s.keys)
	}
	if err != nil {
		w.t.Fatalf("read the development keys: %v", err)
	}
	lab.Eventually(w.t, "the service is ready", func() bool {
		health, err := s.as("").Ready(context.Background())
		return err == nil && health.Status == "ready"
	})
	return s
}

// as returns a client of an organisation, "" for nobody.
func (s *service) as(org string) *client.Client {
	return client.New(client.Config{BaseURL: s.URL, Key: s.keys[org], Poll: lab.Glance * 4})
}

var (
	shipped  = client.Pipeline{Provider: "openai", Domain: "cost", Name: "usage_cost"}
	bothDays = client.RunOptions{StartDate: "2026-08-19", EndDate: "2026-08-20", TriggerBy: "e2e"}
)

// start posts a run of both days.
func (s *service) start(org string) client.Started {
	s.w.t.Helper()
	started, err := s.as(org).Run(context.Background(), org, shipped, bothDays)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return started
}

// startAfter posts a run of both days after an equal one has ended. The service knows the
// end of a run a moment before it has written it to its tables, and until then answers
// with that run.
func (s *service) startAfter(org string, ended ...string) client.Started {
	s.w.t.Helper()
	var started client.Started
	lab.Eventually(s.w.t, "the run that has ended is written", func() bool {
		started = s.start(org)
		return !slices.Contains(ended, started.ID)
	})
	return started
}

// projected waits until the central tables say how a run has ended.
func (w *world) projected(run client.Run) {
	w.t.Helper()
	lab.Eventually(w.t, "run "+run.ID+" is in the central tables", func() bool {
		rows := w.rows(run.Org, "SELECT status FROM organizations.org_meta_pipeline_runs WHERE pipeline_logging_id = '"+run.ID+"'")
		return len(rows) > 0 && rows[0]["status"] == string(run.Status)
	})
}

// wait waits for the end of a run.
func (s *service) wait(org, id string) client.Run {
	s.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	run, err := s.as(org).Wait(ctx, id, nil)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return run
}

// completed waits for a run that has to complete.
func (s *service) completed(org, id string) client.Run {
	s.w.t.Helper()
	run := s.wait(org, id)
	if run.Status != client.Completed {
		s.w.t.Fatalf("run %s of %s ended %s: %s: %s", id, org, run.Status, run.Code, run.Error)
	}
	return run
}

// running waits until a step is known to run.
func (s *service) running(org, id, step string) {
	s.w.t.Helper()
	lab.Eventually(s.w.t, "step "+step+" is RUNNING", func() bool {
		run, err := s.as(org).Get(context.Background(), id)
		if err != nil {
			s.w.t.Fatal(err)
		}
		return run.Status == client.Running && slices.ContainsFunc(run.Steps, func(r client.Step) bool {
			return r.Step == step && r.Status == client.Running
		})
	})
}

// jobOf finds the process of a run's job by its command line.
func (s *service) jobOf(id string) int {
	s.w.t.Helper()
	var found int
	lab.Eventually(s.w.t, "the job of run "+id+" is a child process", func() bool {
		for _, pid := range children(s.w.t, s.Process.Pid) {
			if strings.Contains(procFile(pid, "cmdline"), id) {
				found = pid
			}
		}
		return found != 0
	})
	return found
}

// children lists the child processes of a process.
func children(t testing.TB, parent int) []int {
	t.Helper()
	var out []int
	for _, p := range processes(t) {
		if p.parent == parent {
			out = append(out, p.pid)
		}
	}
	return out
}
