package launcher_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// another is a launcher on the same store and data directory, as another process has it.
func (b *bench) another(mode string, change ...func(*launcher.Config)) *bench {
	b.t.Helper()
	return newBench(b.t, mode, append([]func(*launcher.Config){func(c *launcher.Config) {
		c.Store, c.Register, c.Dir, c.Owner = b.store, b.store, b.dir, procid.New()
	}}, change...)...).on(b.store, b.dir)
}

func (b *bench) on(m *memory, dir string) *bench {
	b.store, b.dir = m, dir
	return b
}

// mortal is a store whose process dies: from then on nothing that it says is heard.
type mortal struct {
	*memory
	dead atomic.Bool
}

func (m *mortal) Append(ctx context.Context, events ...launcher.Event) error {
	if m.dead.Load() {
		return errDown
	}
	return m.memory.Append(ctx, events...)
}

func (m *mortal) AppendClaims(ctx context.Context, entries ...claim.Entry) error {
	if m.dead.Load() {
		return errDown
	}
	return m.memory.AppendClaims(ctx, entries...)
}

func (m *mortal) Project(ctx context.Context, runs ...launcher.Run) error {
	if m.dead.Load() {
		return errDown
	}
	return m.memory.Project(ctx, runs...)
}

// dying is a launcher whose process others believe to be gone once it is told to die.
// Its jobs live on.
func dying(b *bench, mode string, change ...func(*launcher.Config)) (*bench, *mortal) {
	m := &mortal{memory: b.store}
	gone := procid.New()
	gone.Start = "1"
	d := b.another(mode, append([]func(*launcher.Config){func(c *launcher.Config) { c.Store, c.Owner = m, gone }}, change...)...)
	b.t.Cleanup(func() { m.dead.Store(false) }) // else closing it takes as long as it is patient with its store
	return d, m
}

func service(c *launcher.Config) { c.Service = true }

func quick(c *launcher.Config) { c.Heartbeat = 50 * time.Millisecond }

func (b *bench) submit(r launcher.Request) launcher.Run {
	b.t.Helper()
	run, existing, err := b.Submit(b.t.Context(), r)
	if err != nil || existing {
		b.t.Fatalf("submit: existing %t, %v", existing, err)
	}
	return run
}

func (b *bench) get(id string) launcher.Run {
	b.t.Helper()
	run, err := b.Run(b.t.Context(), "acme", id)
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// until waits for a run to be as wanted.
func (b *bench) until(id string, as func(launcher.Run) bool) launcher.Run {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		run := b.get(id)
		if as(run) {
			return run
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the run stays %+v", run)
		}
	}
}

func (b *bench) spec(id string) (runfolder.Spec, error) {
	folder, err := runfolder.Open(b.dir + "/runs/" + id)
	if err != nil {
		b.t.Fatal(err)
	}
	return folder.ReadSpec()
}

func with(params ...string) launcher.Request {
	r := request("usage_cost")
	r.Params = map[string]string{}
	for i := 0; i < len(params); i += 2 {
		r.Params[params[i]] = params[i+1]
	}
	return r
}

func is[E error](err error) (E, bool) {
	var e E
	return e, errors.As(err, &e)
}

// recorder is an Admission and what is told of the ends of runs.
type recorder struct {
	mu       sync.Mutex
	admitted []string
	released []string
	ended    []launcher.Run
	dropped  []map[string]int
	refuse   error
}

func (r *recorder) use(c *launcher.Config) {
	c.Admission, c.Stages = r, r
	c.Ended = func(_ context.Context, run launcher.Run) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = append(r.ended, run)
		return nil
	}
}

func (r *recorder) Admit(_ context.Context, run launcher.Run, _ *launcher.Plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.admitted = append(r.admitted, run.ID)
	return nil
}

func (r *recorder) Release(_ context.Context, run launcher.Run) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = append(r.released, run.ID)
	return nil
}

func (r *recorder) Drop(_ context.Context, dataset string, generations map[string]int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if dataset != "acme_local" {
		return errors.New("another dataset: " + dataset)
	}
	r.dropped = append(r.dropped, generations)
	return nil
}

func (r *recorder) counts() (admitted, released, ended, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.admitted), len(r.released), len(r.ended), len(r.dropped)
}

// settled waits until what follows the end of the run has been done.
func (b *bench) settled(id string) {
	b.t.Helper()
	b.until(id, func(r launcher.Run) bool { return r.Settled })
}
