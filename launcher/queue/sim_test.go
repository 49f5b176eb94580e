package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/queue"
)

// flaw is a rule that a simulated system breaks.
type flaw int

const (
	none        flaw = iota
	mergeClaims      // names are acquired by an insert-only MERGE: two may both find them absent
	noEpochs         // an owner that reads a higher epoch goes on
	oneOwner         // two processes have the same identity in the register
)

// world is the register, the store and the jobs of a simulation, and what they promise.
// Everything it does happens at instants of virtual time.
type world struct {
	mu     sync.Mutex
	rng    *rand.Rand
	flaw   flaw
	calm   bool // nothing goes wrong any more
	names  map[string]launcher.Claim
	runs   map[string]launcher.Run
	slices map[string]string        // of runs
	claims map[string][]claim.Entry // by name
	beats  map[string]int64         // newest counter of owners
	jobs   map[*launcher.Run]bool   // attempts whose job lives

	limits map[string]int
	limit  int // of all organisations

	published map[string]string // run by unit and generation
	fenced    map[string]bool
	epochs    map[string]int
	stated    map[string]string // generation by run

	recording bool
	history   []porcupine.Operation
	broken    error
	stats     stats
}

type stats struct {
	crashes, pauses, lost, waits, retries, takeovers, superseded, published, refused int
}

func newWorld(seed uint64, f flaw) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 7)), flaw: f, names: map[string]launcher.Claim{}, runs: map[string]launcher.Run{}, slices: map[string]string{}, claims: map[string][]claim.Entry{}, beats: map[string]int64{},
		jobs: map[*launcher.Run]bool{}, limits: map[string]int{}, published: map[string]string{}, fenced: map[string]bool{}, epochs: map[string]int{}, stated: map[string]string{},
	}
}

func (w *world) breaks(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
	}
}

func (w *world) chance(perMille int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.rng.IntN(1000) < perMille
}

func (w *world) between(a, b time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

var (
	errGone = errors.New("the process is gone")
	errLost = errors.New("no answer")
)

// call is a request of a process: it takes time, and may be lost, be the last thing that
// the process does, or be followed by a long pause.
func (w *world) call(ctx context.Context, p *process, effect func()) error {
	if err := p.awake(ctx); err != nil {
		return err
	}
	time.Sleep(w.between(time.Millisecond, 60*time.Millisecond))
	if w.chance(4) { // right before the request takes effect
		p.pause()
	}
	switch {
	case w.chance(1):
		p.crash()
	case w.chance(12):
		w.count(func(s *stats) { s.lost++ })
		return errLost
	}
	if err := p.awake(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	effect()
	w.mu.Unlock()
	switch {
	case w.chance(1):
		p.crash()
	case w.chance(4):
		p.pause()
	case w.chance(12):
		w.count(func(s *stats) { s.lost++ })
		return errLost
	}
	return p.awake(ctx)
}

func (w *world) count(f func(*stats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.stats)
}

// register is the register as one process sees it.
type register struct{ p *process }

func (r register) Acquire(ctx context.Context, name, owner, value string) (launcher.Claim, error) {
	w := r.p.w
	var got launcher.Claim
	started := time.Now()
	effect := func() {
		there, taken := w.names[name]
		if !taken {
			there = launcher.Claim{Owner: owner, Value: value, At: time.Now()}
			w.names[name] = there
		}
		got = there
		got.Won = there.Owner == owner
	}
	if w.flaw == mergeClaims {
		absent := false
		if err := w.call(ctx, r.p, func() { _, taken := w.names[name]; absent = !taken }); err != nil {
			return got, err
		}
		if absent {
			effect = func() {
				w.names[name] = launcher.Claim{Owner: owner, Value: value, At: time.Now()}
				got = w.names[name]
				got.Won = true
			}
		}
	}
	err := w.call(ctx, r.p, effect)
	w.record(registerInput{name, owner, value, false}, got, started, err)
	if errors.Is(err, errLost) { // as the client does
		return r.Acquire(ctx, name, owner, value)
	}
	return got, err
}

func (r register) Look(ctx context.Context, name string) (launcher.Claim, bool, error) {
	var got launcher.Claim
	var held bool
	started := time.Now()
	err := r.p.w.call(ctx, r.p, func() { got, held = r.p.w.names[name] })
	if err == nil {
		r.p.w.record(registerInput{name: name, look: true}, got, started, nil)
	}
	return got, held, err
}

type registerInput struct {
	name, owner, value string
	look               bool
}

type registerOutput struct{ owner, value string }

// record keeps the history of names. A request without an answer may still take effect
// until the end of time.
func (w *world) record(in registerInput, got launcher.Claim, started time.Time, err error) {
	if !w.recording {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	op := porcupine.Operation{Input: in, Output: registerOutput{got.Owner, got.Value}, Call: started.UnixNano(), Return: time.Now().UnixNano()}
	if err != nil {
		op.Output, op.Return = nil, 1<<62
	}
	w.history = append(w.history, op)
}

// registerModel says that a name belongs to who created it first, for good.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byName := map[string][]porcupine.Operation{}
		open := map[registerInput]int{}
		for i, op := range history {
			op.ClientId = i
			in := op.Input.(registerInput)
			if op.Output == nil {
				// Whatever a later one of equal requests without an answer may have done, the
				// first may have done as well; all of them would be tried in all orders.
				if at, known := open[in]; known {
					first := &byName[in.name][at]
					first.Call = min(first.Call, op.Call)
					continue
				}
				open[in] = len(byName[in.name])
			}
			byName[in.name] = append(byName[in.name], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range byName {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return registerOutput{} },
	Step: func(state, in, out any) (bool, any) {
		held, i := state.(registerOutput), in.(registerInput)
		if held == (registerOutput{}) && !i.look {
			held = registerOutput{i.owner, i.value}
		}
		return out == nil || out.(registerOutput) == held, held
	},
}

// The log of claims and heartbeats, as one process sees it.
type claimLog struct{ p *process }

func (l claimLog) AppendClaims(ctx context.Context, entries ...claim.Entry) error {
	return l.p.w.call(ctx, l.p, func() {
		for _, e := range entries {
			if e.Kind == claim.KindBeat {
				l.p.w.beats[e.Owner] = max(l.p.w.beats[e.Owner], e.Counter)
			} else {
				l.p.w.claims[e.Name] = append(l.p.w.claims[e.Name], e)
			}
		}
	})
}

func (l claimLog) Claims(ctx context.Context, org string, names []string) (out []claim.Entry, err error) {
	err = l.p.w.call(ctx, l.p, func() {
		for _, name := range names {
			for _, e := range l.p.w.claims[name] {
				if e.Org == org {
					out = append(out, e)
				}
			}
		}
	})
	return out, err
}

func (l claimLog) Beats(ctx context.Context, owners []string) (map[string]int64, error) {
	out := map[string]int64{}
	err := l.p.w.call(ctx, l.p, func() {
		for _, owner := range owners {
			if n, known := l.p.w.beats[owner]; known {
				out[owner] = n
			}
		}
	})
	return out, err
}

// records is the store of runs, as one process sees it.
type records struct{ p *process }

func (r records) Active(ctx context.Context, org string, _ time.Time) (out []launcher.Run, err error) {
	err = r.p.w.call(ctx, r.p, func() {
		for _, run := range r.p.w.runs {
			if (org == "" || run.Org == org) && !run.State.Terminal() {
				out = append(out, run)
			}
		}
	})
	slices.SortFunc(out, func(a, b launcher.Run) int { return strings.Compare(a.ID, b.ID) })
	return out, err
}

func (r records) Runs(ctx context.Context, org string, ids []string) (map[string]launcher.Run, error) {
	out := map[string]launcher.Run{}
	err := r.p.w.call(ctx, r.p, func() {
		for _, id := range ids {
			if run, ok := r.p.w.runs[id]; ok && (org == "" || run.Org == org) {
				out[id] = run
			}
		}
	})
	return out, err
}

// write records what happened to a run, again until it is told that it did.
func (r records) write(ctx context.Context, id string, change func(run *launcher.Run)) error {
	for {
		err := r.p.w.call(ctx, r.p, func() {
			run := r.p.w.runs[id]
			if run.ID != "" && run.State.Terminal() {
				return
			}
			change(&run)
			r.p.w.runs[id] = run
			r.p.w.audit()
		})
		if !errors.Is(err, errLost) {
			return err
		}
	}
}

// audit checks what must hold at every instant.
func (w *world) audit() {
	running, all, seen := map[string]int{}, 0, map[string]bool{}
	for job := range w.jobs {
		// A job whose run was taken over or has ended is nobody's: its rows are fenced.
		if run := w.runs[job.ID]; run.State == launcher.Running && run.Attempt == job.Attempt && run.Epoch == job.Epoch && !seen[job.ID] {
			seen[job.ID] = true
			running[job.Org]++
			all++
		}
	}
	for org, n := range running {
		if n > w.limits[org] {
			w.breaks("%s runs %d at once, its limit is %d", org, n, w.limits[org])
		}
	}
	if w.limit > 0 && all > w.limit {
		w.breaks("%d run at once, the limit of all is %d", all, w.limit)
	}
}

// accounts never change in a simulation.
type accounts struct{ w *world }

func (a accounts) Account(_ context.Context, org string) (launcher.Principal, bool, error) {
	limit, known := a.w.limits[org]
	return launcher.Principal{
		Org: org, OrgStatus: "ACTIVE", SubscriptionStatus: "ACTIVE", DailyLimit: 10_000, MonthlyLimit: 10_000, ConcurrentLimit: int64(limit),
	}, known, nil
}

func (a accounts) Orgs(context.Context) ([]string, error) {
	var out []string
	for org := range a.w.limits {
		out = append(out, org)
	}
	slices.Sort(out)
	return out, nil
}

var _ queue.Launcher = (*process)(nil)
