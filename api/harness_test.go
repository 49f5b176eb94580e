package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/launcher"
	joblocal "github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/launcher/store"
	local "github.com/cloudact/convergence/local/bigquery"
)

const (
	envChild = "API_TEST_CHILD"
	central  = "organizations"
)

// TestMain makes this test binary the job of a run when it is started as one.
func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		os.Exit(m.Run())
	}
	folder, err := runfolder.Open(filepath.Dir(os.Args[len(os.Args)-1]))
	if err == nil {
		var spec runfolder.Spec
		spec, err = folder.ReadSpec()
		now := time.Now().UTC()
		if err == nil {
			err = folder.WriteResult(runfolder.Result{RunID: spec.RunID, State: runfolder.Completed, Start: now, End: now, Steps: []runfolder.StepResult{
				{Step: "extract", Type: "openai.usage", State: runfolder.StepCompleted, Published: 7, Start: now, End: now},
			}})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// planner plans one pipeline; the service's own lives in its main program.
type planner struct{}

func (planner) Plan(_ context.Context, r launcher.Request, _ string, _ time.Time) (*launcher.Plan, error) {
	if r.Provider != "openai" || r.Template != "usage_cost" {
		return nil, &launcher.Error{Code: launcher.CodePipelineNotFound, Message: "there is no pipeline " + r.Provider + "/" + r.Template}
	}
	if r.Params["start_date"] > r.Params["end_date"] && r.Params["end_date"] != "" {
		return nil, &launcher.Error{Code: launcher.CodeInvalidPipeline, Message: "p.yml cannot run", Problems: []string{"p.yml: parameter end_date: is before start_date"}}
	}
	day := civil.Date{Year: 2026, Month: 11, Day: 22}
	return &launcher.Plan{
		Pipeline: "openai/cost/usage_cost", File: "p.yml", Params: map[string]string{}, Start: day, End: day, Timeout: time.Minute,
		Steps: []launcher.Step{{ID: "extract", Type: "openai.usage", Table: "t"}}, Units: []launcher.Unit{{ID: "u", Step: "extract", Hash: "h"}},
	}, nil
}

// service is the API over a launcher and a store on the embedded BigQuery.
type service struct {
	t        *testing.T
	url      string
	handler  http.Handler
	launcher *launcher.Launcher
	client   *bigquery.Client
	log      *bytes.Buffer
	stopping atomic.Bool
	down     atomic.Bool
	calls    atomic.Int64 // to the warehouse
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{t: t, log: &bytes.Buffer{}}
	client, err := bigquery.NewClient(t.Context(), "p", option.WithEndpoint(s.warehouse()+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	t.Cleanup(func() { _ = client.Close() })
	st := store.New(store.Config{Client: client, Dataset: central, Location: "US", Tables: tables(t), Now: launcher.Clock})
	if err := st.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.seed(st)
	log := slog.New(slog.NewTextHandler(s.log, nil))
	s.launcher = launcher.New(launcher.Config{
		Store: st, Register: st, Planner: planner{}, Runner: &joblocal.Runner{Command: []string{os.Args[0]}, Env: []string{envChild + "=1"}},
		Dir: t.TempDir(), Env: "local", Project: "p", Location: "US", Engine: "prism", Now: launcher.Clock, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(s.launcher.Close)
	s.handler = api.New(api.Config{
		Runs: s.launcher, Keys: store.NewKeys(st), Ready: st.Ping, Stopping: s.stopping.Load, Version: "v1", Environment: "development",
		Now: launcher.Clock, Log: log,
	})
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// warehouse is an embedded BigQuery that can be made to refuse everything.
func (s *service) warehouse() string {
	s.t.Helper()
	server, err := local.Open(s.t.Context(), local.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		if s.down.Load() {
			http.Error(w, `{"error":{"code":403,"message":"dataset-internals"}}`, http.StatusForbidden)
			return
		}
		server.Handler().ServeHTTP(w, r)
	}))
	s.t.Cleanup(func() {
		front.Close()
		if err := server.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return front.URL
}

func tables(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{
		"org_profiles", "org_subscriptions", "org_api_keys", "org_meta_run_events", "org_meta_pipeline_runs", "org_meta_step_logs",
	} {
		text, err := os.ReadFile("../configs/organizations/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		out[name] = text
	}
	return out
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// seed adds organisations in every condition; a key is named by what it is for.
func (s *service) seed(st *store.Store) {
	s.t.Helper()
	for _, org := range []string{"acme", "globex", "suspended", "lapsed", "ended"} {
		o := store.DevelopmentOrg{Slug: org, Company: org, AdminEmail: "a@b.example", KeyHash: hash(org + "-key"), Env: "local"}
		if err := st.SeedDevelopment(s.t.Context(), o); err != nil {
			s.t.Fatal(err)
		}
	}
	t := "`" + central + "."
	for _, sql := range []string{
		"UPDATE " + t + "org_profiles` SET status = 'SUSPENDED' WHERE org_slug = 'suspended'",
		"UPDATE " + t + "org_subscriptions` SET trial_end_date = DATE '2020-01-01' WHERE org_slug = 'lapsed'",
		"UPDATE " + t + "org_subscriptions` SET status = 'EXPIRED' WHERE org_slug = 'ended'",
		"INSERT INTO " + t + "org_api_keys` (org_api_key_id, org_slug, org_api_key_hash, scopes, is_active, expires_at, created_at) VALUES " +
			"('k1', 'acme', '" + hash("expired-key") + "', ['pipelines:*'], TRUE, TIMESTAMP '2020-01-01 00:00:00+00', CURRENT_TIMESTAMP())," +
			"('k2', 'acme', '" + hash("inactive-key") + "', ['pipelines:*'], FALSE, NULL, CURRENT_TIMESTAMP())," +
			"('k3', 'acme', '" + hash("read-key") + "', ['pipelines:read'], TRUE, NULL, CURRENT_TIMESTAMP())," +
			"('k4', 'acme', '" + hash("other-key") + "', ['integrations:*'], TRUE, NULL, CURRENT_TIMESTAMP())",
	} {
		job, err := s.client.Query(sql).Run(s.t.Context())
		if err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
		if status, err := job.Wait(s.t.Context()); err != nil || status.Err() != nil {
			s.t.Fatalf("%s: %v %v", sql, err, status)
		}
	}
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("read answer %q: %v", a.body, err)
	}
}

// ask sends a request whose path is sent exactly as it is written.
func (s *service) ask(method, path, key, body string) answer {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("X-API-Key", key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return s.do(r)
}

func (s *service) do(r *http.Request) answer {
	s.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, b}
}
