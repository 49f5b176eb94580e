package launcher

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	projectEvery = 5 * time.Second
	// A projection is two DML statements a table, of which a table takes 25 in ten
	// seconds, whoever sends them.
	projectGap = 2 * time.Second
	// The gap doubles up to this while the tables take nothing.
	projectGapMost = 32 * time.Second
	projectMax     = 500 // runs in one transaction
)

// projector writes the runs that changed to the tables that others read.
type projector struct {
	cfg  Config
	kick chan struct{} // a run has ended

	writing *sync.Mutex // one projection at a time, so that an older one never comes last

	mu      *sync.Mutex
	changed map[string]Run   // by id
	ended   map[string]bool  // runs whose end is written, until they are settled
	settled map[string]Event // by id: recorded once the end of the run is written
}

func newProjector(cfg Config) projector {
	return projector{
		cfg: cfg, kick: make(chan struct{}, 1), writing: &sync.Mutex{}, mu: &sync.Mutex{},
		changed: map[string]Run{}, ended: map[string]bool{}, settled: map[string]Event{},
	}
}

// add notes that a run has changed. What has ended is written soon.
func (p projector) add(r Run) {
	p.mu.Lock()
	p.changed[r.ID] = r
	p.mu.Unlock()
	if r.State.Terminal() {
		p.soon()
	}
}

func (p projector) soon() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// settle records that a run is settled, as soon as its end is written: a run whose
// launcher dies before that is settled, and written, by another one.
func (p projector) settle(ctx context.Context, r Run, e Event) {
	p.mu.Lock()
	written := p.ended[r.ID]
	delete(p.ended, r.ID)
	if !written {
		p.changed[r.ID], p.settled[r.ID] = r, e
	}
	p.mu.Unlock()
	if written {
		p.record(ctx, e)
		return
	}
	p.soon()
}

func (p projector) record(ctx context.Context, settled ...Event) {
	if len(settled) == 0 {
		return
	}
	if err := appendSurely(ctx, p.cfg.Store, settled...); err != nil {
		p.cfg.Log.Warn("record that runs are settled; it is tried again", "runs", len(settled), "error", err)
	}
}

// wrote notes that runs were written, and returns the events that waited for it.
func (p projector) wrote(runs []Run) []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []Event
	for _, r := range runs {
		e, waits := p.settled[r.ID]
		switch {
		case waits && r.State.Terminal():
			events = append(events, e)
			delete(p.settled, r.ID)
		case r.State.Terminal():
			p.ended[r.ID] = true
		}
	}
	return events
}

func (p projector) loop(ctx context.Context) {
	ticker := time.NewTicker(projectEvery)
	defer ticker.Stop()
	gap := projectGap
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.kick:
		}
		if p.flush() {
			gap = projectGap
		} else {
			gap = min(2*gap, projectGapMost)
		}
		sleep(ctx, gap, nil)
	}
}

// flush writes what changed, and reports whether it could. What cannot be written is kept
// for the next time, unless it has changed again.
func (p projector) flush() bool {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	runs := slices.Collect(maps.Values(p.changed))
	clear(p.changed)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	whole := true
	for some := range slices.Chunk(runs, projectMax) {
		err := p.cfg.Store.Project(ctx, some...)
		if err == nil {
			p.record(ctx, p.wrote(some)...)
			continue
		}
		whole = false
		p.cfg.Log.Warn("project runs", "runs", len(some), "error", err)
		p.mu.Lock()
		for _, r := range some {
			if _, newer := p.changed[r.ID]; !newer {
				p.changed[r.ID] = r
			}
		}
		p.mu.Unlock()
	}
	return whole
}
