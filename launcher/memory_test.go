package launcher_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
)

// memory keeps events and the register of one process. fail, if set, may refuse a call
// by its name before or after it took effect.
type memory struct {
	mu        sync.Mutex
	events    []launcher.Event
	names     map[string]launcher.Claim
	published map[string]launcher.Standing
	log       []claim.Entry
	beats     map[string]int64
	projected map[string]launcher.Run
	fail      func(call string) (before, after error)
}

func newMemory() *memory {
	return &memory{names: map[string]launcher.Claim{}, published: map[string]launcher.Standing{}, beats: map[string]int64{}, projected: map[string]launcher.Run{}}
}

var errDown = errors.New("the warehouse does not answer")

func (m *memory) call(name string, effect func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var before, after error
	if m.fail != nil {
		before, after = m.fail(name)
	}
	if before != nil {
		return before
	}
	effect()
	return after
}

// failFirst refuses the first calls of each name, or spoils their answers.
func (m *memory) failFirst(calls int, before bool, names ...string) {
	count := map[string]int{}
	m.fail = func(call string) (error, error) {
		count[call]++
		if !slices.Contains(names, call) || count[call] > calls {
			return nil, nil
		}
		if before {
			return errDown, nil
		}
		return nil, errDown
	}
}

func (m *memory) Append(_ context.Context, events ...launcher.Event) error {
	return m.call("append", func() { m.events = append(m.events, events...) })
}

func (m *memory) Events(_ context.Context, org, runID string) (out []launcher.Event, err error) {
	err = m.call("events", func() {
		for _, e := range m.events {
			if e.Org == org && e.RunID == runID {
				out = append(out, e)
			}
		}
	})
	return out, err
}

func (m *memory) List(_ context.Context, org string, _ launcher.Filter) (out []launcher.Run, err error) {
	err = m.call("list", func() { out = m.runs(org) })
	slices.SortFunc(out, func(a, b launcher.Run) int { return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// runs folds the runs of an org, or of all; the caller holds the lock.
func (m *memory) runs(org string) (out []launcher.Run) {
	byRun := map[string][]launcher.Event{}
	for _, e := range m.events {
		if org == "" || e.Org == org {
			byRun[e.RunID] = append(byRun[e.RunID], e)
		}
	}
	for _, events := range byRun {
		run, _, err := launcher.Reduce(events)
		if err == nil && !run.Start.IsZero() {
			out = append(out, run)
		}
	}
	return out
}

func (m *memory) Project(_ context.Context, runs ...launcher.Run) error {
	return m.call("project", func() {
		for _, r := range runs {
			m.projected[r.ID] = r
		}
	})
}

// projection waits until the projector has come to the end of the run.
func (m *memory) projection(id string) (r launcher.Run, ok bool) {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		r, ok = m.projected[id]
		m.mu.Unlock()
		if ok && r.State.Terminal() || time.Now().After(deadline) {
			return r, ok
		}
	}
}

func (m *memory) Generations(_ context.Context, org string, units []string) (map[string]int, error) {
	out := map[string]int{}
	err := m.call("generations", func() {
		for _, e := range m.events {
			if e.Org == org && e.Kind == "generation" && slices.Contains(units, e.Step) {
				out[e.Step] = max(out[e.Step], int(e.Seq))
			}
		}
	})
	return out, err
}

func (m *memory) Acquire(_ context.Context, name, owner, value string) (c launcher.Claim, err error) {
	err = m.call("acquire", func() {
		held, ok := m.names[name]
		if !ok {
			held = launcher.Claim{Owner: owner, Value: value, At: time.Now()}
			m.names[name] = held
		}
		c = held
		c.Won = held.Owner == owner
	})
	return c, err
}

func (m *memory) Look(_ context.Context, name string) (c launcher.Claim, found bool, err error) {
	err = m.call("look", func() { c, found = m.names[name] })
	return c, found, err
}

func (m *memory) Standing(_ context.Context, unit string, generation int) (s launcher.Standing, err error) {
	err = m.call("standing", func() { s = m.published[pubName(unit, generation)] })
	return s, err
}

func (m *memory) Fence(_ context.Context, unit string, generation int) (s launcher.Standing, err error) {
	err = m.call("fence", func() {
		s = m.published[pubName(unit, generation)]
		if s.State != launcher.Published {
			s = launcher.Standing{State: launcher.Fenced}
			m.published[pubName(unit, generation)] = s
		}
	})
	return s, err
}

func pubName(unit string, generation int) string { return fmt.Sprint(unit, "/", generation) }

func (m *memory) publish(unit string, generation int) { m.settle(unit, generation, launcher.Published) }

func (m *memory) settle(unit string, generation int, s launcher.StandingState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published[pubName(unit, generation)] = launcher.Standing{State: s, Run: "another"}
}

func (m *memory) Active(_ context.Context, org string, endedSince time.Time) (out []launcher.Run, err error) {
	err = m.call("active", func() {
		for _, run := range m.runs(org) {
			if !run.State.Terminal() || !run.Settled && !run.End.Before(endedSince) {
				out = append(out, run)
			}
		}
	})
	return out, err
}

func (m *memory) Signals(context.Context, time.Time) (out []launcher.Event, err error) {
	err = m.call("signals", func() {
		for _, e := range m.events {
			if e.Kind == "cancel" {
				out = append(out, e)
			}
		}
		for _, e := range m.log {
			out = append(out, launcher.Event{Kind: e.Kind, Org: e.Org, Step: e.Name, Seq: int64(e.Epoch), RunID: e.Holder})
		}
	})
	return out, err
}

func (m *memory) AppendClaims(_ context.Context, entries ...claim.Entry) error {
	return m.call("claims", func() {
		for _, e := range entries {
			if e.Kind == claim.KindBeat {
				m.beats[e.Owner] = max(m.beats[e.Owner], e.Counter)
				continue
			}
			m.log = append(m.log, e)
		}
	})
}

func (m *memory) Claims(_ context.Context, org string, names []string) (out []claim.Entry, err error) {
	err = m.call("read claims", func() {
		for _, e := range m.log {
			if e.Org == org && slices.Contains(names, e.Name) {
				out = append(out, e)
			}
		}
	})
	return out, err
}

func (m *memory) Beats(_ context.Context, owners []string) (out map[string]int64, err error) {
	out = map[string]int64{}
	err = m.call("beats", func() {
		for _, o := range owners {
			if n, ok := m.beats[o]; ok {
				out[o] = n
			}
		}
	})
	return out, err
}

// planner plans one pipeline of two steps.
type planner struct {
	timeout time.Duration
	hash    string
	once    bool
	retries *int
	scoped  bool // by the parameter region
	fails   error
}

func (p planner) Plan(_ context.Context, r launcher.Request, _ string, _ time.Time) (*launcher.Plan, error) {
	if p.fails != nil {
		return nil, p.fails
	}
	if r.Template == "missing" {
		return nil, &launcher.Error{Code: launcher.CodePipelineNotFound, Message: "there is no pipeline missing"}
	}
	scope := ""
	if p.scoped {
		scope = r.Params["region"]
	}
	return &launcher.Plan{
		Scope: scope, Pipeline: "openai/cost/" + r.Template, File: "p.yml", Text: "steps: []", Params: r.Params, Timeout: p.timeout, Retries: p.retries,
		Start: civil.Date{Year: 2026, Month: 11, Day: 22}, End: civil.Date{Year: 2026, Month: 11, Day: 22},
		Steps: []launcher.Step{{ID: "extract", Type: "openai.usage", Table: "t.usage"}, {ID: "price", Type: "openai.cost", Table: "t.cost"}},
		Units: []launcher.Unit{{ID: "u1", Step: "extract", Hash: cmp.Or(p.hash, "h1"), Once: p.once}, {ID: "u2", Step: "price", Hash: "h2"}},
	}, nil
}

// age makes everything in the register older.
func (m *memory) age(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, c := range m.names {
		c.At = c.At.Add(-by)
		m.names[name] = c
	}
}

// hold puts a name into the register for somebody else.
func (m *memory) hold(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[name] = launcher.Claim{Owner: "somebody", Value: value, At: time.Now()}
}

// takeOver claims the next epoch of a thing for another process.
func (m *memory) takeOver(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	epoch := 0
	for _, e := range m.log {
		if e.Name == name {
			epoch = max(epoch, e.Epoch)
		}
	}
	owner := procid.New().String()
	m.names[fmt.Sprint(name, "/", epoch+1)] = launcher.Claim{Owner: owner}
	m.log = append(m.log, claim.Entry{Kind: claim.KindClaim, Org: "acme", Name: name, Epoch: epoch + 1, Owner: owner, Holder: "another"})
}

// refusing is a register that does not answer who asks for a notification.
type refusing struct{ *memory }

func (r *refusing) Acquire(ctx context.Context, name, owner, value string) (launcher.Claim, error) {
	if strings.HasPrefix(name, "notify/") {
		return launcher.Claim{}, errDown
	}
	return r.memory.Acquire(ctx, name, owner, value)
}
