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
	projectMax = 500 // runs in one transaction
)

// projector writes the runs that changed to the tables that others read.
type projector struct {
	cfg  Config
	kick chan struct{} // a run has ended

	writing *sync.Mutex // one projection at a time, so that an older one never comes last

	mu      *sync.Mutex
	changed map[string]Run // by id
}

func newProjector(cfg Config) projector {
	return projector{cfg: cfg, kick: make(chan struct{}, 1), writing: &sync.Mutex{}, mu: &sync.Mutex{}, changed: map[string]Run{}}
}

// add notes that a run has changed. What has ended is written soon.
func (p projector) add(r Run) {
	p.mu.Lock()
	p.changed[r.ID] = r
	p.mu.Unlock()
	if r.State.Terminal() {
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
}

func (p projector) loop(ctx context.Context) {
	ticker := time.NewTicker(projectEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.kick:
		}
		p.flush()
		sleep(ctx, projectGap, nil)
	}
}

// flush writes what changed. What cannot be written is kept for the next time, unless it
// has changed again.
func (p projector) flush() {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	runs := slices.Collect(maps.Values(p.changed))
	clear(p.changed)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	for some := range slices.Chunk(runs, projectMax) {
		err := p.cfg.Store.Project(ctx, some...)
		if err == nil {
			continue
		}
		p.cfg.Log.Warn("project runs", "runs", len(some), "error", err)
		p.mu.Lock()
		for _, r := range some {
			if _, newer := p.changed[r.ID]; !newer {
				p.changed[r.ID] = r
			}
		}
		p.mu.Unlock()
	}
}
