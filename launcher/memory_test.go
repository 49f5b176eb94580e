package launcher_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// memory keeps events and the register of one process. fail, if set, may refuse a call
// by its name before or after it took effect.
type memory struct {
	mu        sync.Mutex
	events    []launcher.Event
	names     map[string]launcher.Claim
	published map[string]bool
	projected map[string]launcher.Run
	fail      func(call string) (before, after error)
}

func newMemory() *memory {
	return &memory{names: map[string]launcher.Claim{}, published: map[string]bool{}, projected: map[string]launcher.Run{}}
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
	err = m.call("list", func() {
		byRun := map[string][]launcher.Event{}
		for _, e := range m.events {
			if e.Org == org {
				byRun[e.RunID] = append(byRun[e.RunID], e)
			}
		}
		for _, events := range byRun {
			run, _, reduceErr := launcher.Reduce(events)
			out, err = append(out, run), errors.Join(err, reduceErr)
		}
	})
	slices.SortFunc(out, func(a, b launcher.Run) int { return cmp.Or(b.Start.Compare(a.Start), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

func (m *memory) Project(_ context.Context, runs ...launcher.Run) error {
	return m.call("project", func() {
		for _, r := range runs {
			m.projected[r.ID] = r
		}
	})
}

func (m *memory) projection(id string) (launcher.Run, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.projected[id]
	return r, ok
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
			held = launcher.Claim{Owner: owner, Value: value}
			m.names[name] = held
		}
		c = held
		c.Won = held.Owner == owner
	})
	return c, err
}

func (m *memory) Published(_ context.Context, unit string, generation int) (published bool, err error) {
	err = m.call("published", func() { published = m.published[pubName(unit, generation)] })
	return published, err
}

func pubName(unit string, generation int) string { return unit + "/" + string(rune('0'+generation)) }

func (m *memory) publish(unit string, generation int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.published[pubName(unit, generation)] = true
}

// planner plans one pipeline of two steps.
type planner struct {
	timeout time.Duration
	hash    string
	once    bool
}

func (p planner) Plan(_ context.Context, r launcher.Request, _ string, _ time.Time) (*launcher.Plan, error) {
	if r.Template == "missing" {
		return nil, &launcher.Error{Code: launcher.CodePipelineNotFound, Message: "there is no pipeline missing"}
	}
	return &launcher.Plan{
		Pipeline: "openai/cost/" + r.Template, File: "p.yml", Text: "steps: []", Params: r.Params, Timeout: p.timeout,
		Start: civil.Date{Year: 2026, Month: 11, Day: 22}, End: civil.Date{Year: 2026, Month: 11, Day: 22},
		Steps: []launcher.Step{{ID: "extract", Type: "openai.usage", Table: "t.usage"}, {ID: "price", Type: "openai.cost", Table: "t.cost"}},
		Units: []launcher.Unit{{ID: "u1", Step: "extract", Hash: cmp.Or(p.hash, "h1"), Once: p.once}, {ID: "u2", Step: "price", Hash: "h2"}},
	}, nil
}
