package bigquery

import (
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// DMLLimits bounds the DML statements of each table. A zero member is no
// bound.
type DMLLimits struct {
	// Rate is how many statements may start within ten seconds.
	Rate int
	// Running mutating statements may be at work and Queued wait behind them;
	// one more fails. Here they work one after the other.
	Running int
	Queued  int
}

// ServiceDMLLimits are the limits of the service.
var ServiceDMLLimits = DMLLimits{Rate: 25, Running: 2, Queued: 20}

const dmlWindow = 10 * time.Second

// dmlGate counts the DML statements of each table.
type dmlGate struct {
	limits DMLLimits
	clock  func() time.Time

	mu     sync.Mutex
	tables map[wire.TableReference]*dmlTable
}

type dmlTable struct {
	started     []time.Time
	outstanding int
}

func newDMLGate(limits DMLLimits, clock func() time.Time) *dmlGate {
	return &dmlGate{limits: limits, clock: clock, tables: map[wire.TableReference]*dmlTable{}}
}

// enter admits a statement or refuses it in the service's words. The caller
// calls leave when the statement has ended.
func (g *dmlGate) enter(st *statement) (leave func(), err error) {
	if g.limits == (DMLLimits{}) || !st.st.Kind.IsDML() {
		return func() {}, nil
	}
	ref := tableReference(*st.st.Target)
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.tables[ref]
	if t == nil {
		t = &dmlTable{}
		g.tables[ref] = t
	}
	if err := g.start(t); err != nil {
		return nil, err
	}
	if st.st.Kind == analyze.KindInsert {
		return func() {}, nil
	}
	if g.limits.Queued > 0 && t.outstanding >= g.limits.Running+g.limits.Queued {
		return nil, wire.OutstandingDML(ref, g.limits.Queued)
	}
	t.outstanding++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		t.outstanding--
	}, nil
}

// start needs g.mu.
func (g *dmlGate) start(t *dmlTable) error {
	if g.limits.Rate <= 0 {
		return nil
	}
	now := g.clock()
	recent := t.started[:0]
	for _, at := range t.started {
		if now.Sub(at) < dmlWindow {
			recent = append(recent, at)
		}
	}
	t.started = recent
	if len(t.started) >= g.limits.Rate {
		return wire.TooManyDML()
	}
	t.started = append(t.started, now)
	return nil
}
