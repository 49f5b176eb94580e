package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/launcher/store"
)

// What makes this test binary a launcher or its job.
const (
	killRole    = "STORE_TEST_ROLE"
	killURL     = "STORE_TEST_URL"
	killProject = "STORE_TEST_PROJECT"
	killDir     = "STORE_TEST_DIR"
	killAt      = "STORE_TEST_KILL_AT" // number of the call at which the launcher dies; negative: after it took effect

	roleLauncher = "launcher"
	roleJob      = "job"
	killRun      = "7f3c2a52-9e0f-5b53-9c5c-3c1a5e7d0001"
	endedFile    = "ended.log"
	startedFile  = "started.log"
	releasedFile = "released.log"
	killTimeout  = time.Minute
)

func play(role string) error {
	client, err := bigquery.NewClient(context.Background(), os.Getenv(killProject), option.WithEndpoint(os.Getenv(killURL)), option.WithHTTPClient(&http.Client{}))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if role == roleJob {
		return playJob(ctx, client, os.Args[len(os.Args)-1])
	}
	return playLauncher(ctx, client)
}

// playJob publishes one row a unit under the unit's publish id.
func playJob(ctx context.Context, client *bigquery.Client, specFile string) error {
	if err := note(startedFile, strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	folder, err := runfolder.Open(filepath.Dir(specFile))
	if err != nil {
		return err
	}
	spec, err := folder.ReadSpec()
	if err != nil {
		return err
	}
	if err := folder.Append(runfolder.Event{Kind: runfolder.KindProgress, Step: "extract", Time: time.Now()}); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond) // the work: launchers die and come back meanwhile
	for unit, g := range spec.Generations {
		q := client.Query("INSERT INTO killed.facts (unit, generation, run_id) VALUES (@unit, @generation, @run)")
		q.Parameters = []bigquery.QueryParameter{{Name: "unit", Value: unit}, {Name: "generation", Value: g}, {Name: "run", Value: spec.RunID}}
		q.JobIDConfig = bigquery.JobIDConfig{JobID: fmt.Sprintf("pub_%s_%d_0", unit, g), Location: "US"}
		q.Labels = map[string]string{"run": spec.RunID}
		job, err := q.Run(ctx)
		if err != nil {
			return err
		}
		status, err := job.Wait(ctx)
		if err == nil {
			err = status.Err()
		}
		if err != nil {
			return err
		}
	}
	now := time.Now().UTC()
	return folder.WriteResult(runfolder.Result{RunID: spec.RunID, State: runfolder.Completed, Start: now, End: now, Steps: []runfolder.StepResult{
		{Step: "extract", Type: "openai.usage", State: runfolder.StepCompleted, Published: 2, Start: now, End: now},
	}})
}

// note adds a line to a file of the data directory.
func note(name, text string) error {
	file, err := os.OpenFile(filepath.Join(os.Getenv(killDir), name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text + "\n")
	return errors.Join(err, file.Close())
}

func noted(dir, name string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}

// playLauncher is a service that is started, told of one slot, and works until the run of
// that slot has ended.
func playLauncher(ctx context.Context, client *bigquery.Client) error {
	s := store.New(store.Config{Client: client, Dataset: central, Location: "US", Now: launcher.Clock})
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		return err
	}
	d := &doomed{Store: s, at: at}
	var env []string
	for _, name := range []string{killURL, killProject, killDir} {
		env = append(env, name+"="+os.Getenv(name))
	}
	l := launcher.New(launcher.Config{
		Store: d, Register: d, Planner: killPlanner{}, Admission: killAdmission{},
		Runner: &doomedRunner{&local.Runner{Command: []string{os.Args[0]}, Env: append(env, killRole+"="+roleJob)}, d},
		Dir:    os.Getenv(killDir), Env: "local", Project: "p", Location: "US", Service: true, Now: launcher.Clock,
		Poll: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ended: func(_ context.Context, r launcher.Run) error { return note(endedFile, string(r.State)) },
	})
	defer l.Close()
	if err := l.Recover(ctx); err != nil {
		return err
	}
	run, _, err := l.Launch(ctx, launcher.Request{RunID: killRun, Org: "acme", Provider: "openai", Template: "usage", Trigger: "scheduler"})
	if err != nil {
		return err
	}
	for !run.Settled {
		if run, err = l.Wait(ctx, "acme", killRun); err != nil {
			return err
		}
		if run.Settled || time.Since(run.End) < 5*time.Second {
			continue
		}
		return fmt.Errorf("the run is %s and not settled", run.State)
	}
	fmt.Println("calls", d.calls.Load())
	return nil
}

type killAdmission struct{}

func (killAdmission) Admit(context.Context, launcher.Run, *launcher.Plan) error { return nil }
func (killAdmission) Release(_ context.Context, r launcher.Run) error {
	return note(releasedFile, r.ID)
}

type killPlanner struct{}

func (killPlanner) Plan(_ context.Context, r launcher.Request, _ string, _ time.Time) (*launcher.Plan, error) {
	day := civil.Date{Year: 2026, Month: 11, Day: 22}
	return &launcher.Plan{
		Pipeline: "openai/" + r.Template, File: "p.yml", Text: "steps: []", Timeout: killTimeout, Start: day, End: day.AddDays(1),
		Steps: []launcher.Step{{ID: "extract", Type: "openai.usage", Table: "killed.facts"}},
		Units: []launcher.Unit{
			{ID: "u1", Step: "extract", Slice: "2026-11-22", Hash: "h"}, {ID: "u2", Step: "extract", Slice: "2026-11-23", Hash: "h"},
		},
	}, nil
}

// doomed kills its process at one of the calls that a launcher makes.
type doomed struct {
	*store.Store
	at    int
	calls atomic.Int64
}

// call counts a call and dies before it if told so; the function that it returns is called
// after it took effect.
func (d *doomed) call() func() {
	n := int(d.calls.Add(1))
	if n == d.at {
		die()
	}
	return func() {
		if n == -d.at {
			die()
		}
	}
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it arrives
}

func (d *doomed) Append(ctx context.Context, events ...launcher.Event) error {
	defer d.call()()
	return d.Store.Append(ctx, events...)
}

func (d *doomed) AppendClaims(ctx context.Context, entries ...claim.Entry) error {
	if len(entries) == 1 && entries[0].Kind == claim.KindBeat {
		return d.Store.AppendClaims(ctx, entries...)
	}
	defer d.call()()
	return d.Store.AppendClaims(ctx, entries...)
}

func (d *doomed) Acquire(ctx context.Context, name, owner, value string) (launcher.Claim, error) {
	defer d.call()()
	return d.Store.Acquire(ctx, name, owner, value)
}

type doomedRunner struct {
	*local.Runner
	d *doomed
}

func (r *doomedRunner) Start(ctx context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	defer r.d.call()()
	return r.Runner.Start(ctx, folder)
}
