package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/procid"
)

// Launcher records runs and makes their attempts. See launcher.Launcher.
type Launcher interface {
	Submit(ctx context.Context, r launcher.Request) (run launcher.Run, existing bool, err error)
	Start(ctx context.Context, org, id string) error
	Cancel(ctx context.Context, org, id string, discard bool) (launcher.Run, error)
	Recover(ctx context.Context) error
}

// Active answers which runs have not ended, of every organisation if org is "".
type Active interface {
	Active(ctx context.Context, org string, endedSince time.Time) ([]launcher.Run, error)
}

// Config wires a queue. Schedules, Catalog and Board may be nil: then nothing is
// scheduled, or shown.
type Config struct {
	Launcher  Launcher
	Active    Active
	Runs      Runs
	Admission *Admission
	Schedules Schedules
	Catalog   Catalog
	Board     Board
	Owner     string        // identity of this process in the register
	Poll      time.Duration // how often the runs that wait are looked at; 0 = 5 s
	// Scheduler lets Loop fire schedules and start whatever waits. Without it Loop starts
	// the runs that were asked for in this process, and the others wait for Process.
	Scheduler bool
	Now       func() time.Time
	Log       *slog.Logger
}

const (
	defaultPoll = 5 * time.Second
	// adoptAfter is how long a run may have a slot without having started before another
	// process than the one that took the slot starts it.
	adoptAfter = 30 * time.Second
	firstDelay = 5 * time.Second // after a start that failed; doubled each time
	mostDelay  = 5 * time.Minute
	// blockedDelay is how often a run is tried that waits for another one that goes on.
	blockedDelay = time.Minute
)

// Queue starts the runs that wait, as many at once as limits allow. Any number of queues
// work on the same runs. Make one with New, end it with Close.
type Queue struct {
	cfg    Config
	ctx    context.Context // of workers; cancelled by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{}
	turn   turn // one step at a time
	shows  turn // one projection at a time
	shown  map[string]Row

	mu      sync.Mutex
	working map[string]bool       // runs that a worker of this process has
	due     map[string]bool       // runs that the launcher said are due
	delays  map[string]delay      // runs whose start failed, or that wait for another run
	served  map[string]int        // organisations, the entry that last gave them one of the slots that all share
	idle    map[string]idleHolder // runs that have a slot of another process and have not started
}

type delay struct {
	until    time.Time
	failures int
	changed  <-chan struct{} // closed when it is worth a try before; may be nil
	blocked  bool            // by another run
}

type idleHolder struct {
	seq   int
	since time.Time
}

// New returns a queue that does nothing until Loop or Process is called.
func New(cfg Config) *Queue {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Queue{
		cfg: cfg, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), turn: make(turn, 1), shows: make(turn, 1), shown: map[string]Row{},
		working: map[string]bool{}, due: map[string]bool{}, delays: map[string]delay{}, served: map[string]int{}, idle: map[string]idleHolder{},
	}
}

// Close ends the workers; the runs that they started go on with the launcher.
func (q *Queue) Close() {
	q.cancel()
	q.wg.Wait()
}

// Enqueue says that a run is due; it is launcher.Config.Enqueue, and whoever has recorded
// a run calls it so that the run need not wait for the next poll.
func (q *Queue) Enqueue(run launcher.Run) {
	q.mu.Lock()
	q.due[run.ID] = true
	delete(q.delays, run.ID)
	q.mu.Unlock()
	q.nudge()
}

func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// step starts what may start now and returns it: all that waits, or only what this
// process is to start without a scheduler.
func (q *Queue) step(ctx context.Context, all bool) ([]launcher.Run, error) {
	if q.ctx.Err() != nil {
		return nil, errors.New("the queue is closed")
	}
	if err := q.turn.take(ctx); err != nil {
		return nil, err
	}
	defer q.turn.pass()
	now := q.cfg.Now()
	runs, err := q.cfg.Active.Active(ctx, "", now)
	if err != nil {
		return nil, fmt.Errorf("read the runs that are active: %w", err)
	}
	if !all {
		runs = slices.DeleteFunc(slices.Clone(runs), func(r launcher.Run) bool { return !q.ours(r) })
	}
	shares, holding, err := q.shares(ctx, runs, now)
	if err != nil {
		return nil, err
	}
	var begun []launcher.Run
	for _, run := range holding { // has a slot, or needs none
		if ok, _ := q.begin(ctx, run); ok {
			begun = append(begun, run)
		}
	}
	for s := next(shares); s != nil; s = next(shares) {
		run := s.waiting[0]
		s.waiting = s.waiting[1:]
		ok, err := q.begin(ctx, run)
		switch {
		case ok:
			begun = append(begun, run)
			s.used++
			s.served = q.serve(s.org)
		case errors.Is(err, ErrFull):
			return begun, nil
		case errors.Is(err, ErrOrgFull): // another process was faster
			s.waiting = slices.DeleteFunc(s.waiting, func(r launcher.Run) bool { return !s.holds[r.ID].Slot })
		}
		if ctx.Err() != nil {
			return begun, ctx.Err()
		}
	}
	return begun, nil
}

// ours reports whether a run was asked for here, or said to be due here, and waits for
// nobody else.
func (q *Queue) ours(r launcher.Run) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(queuedTriggers, r.Trigger) && r.State == launcher.Pending && r.Began.IsZero() {
		return false
	}
	return q.due[r.ID] || r.Submitter == q.cfg.Owner
}

// serve notes that an organisation has got a slot after all others.
func (q *Queue) serve(org string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	newest := 0
	for _, entry := range q.served {
		newest = max(newest, entry)
	}
	q.served[org] = newest + 1
	return newest + 1
}

// hear takes over whom other processes have served: the log of the slots that all share
// has one order for everybody.
func (q *Queue) hear(runs []launcher.Run, all Holds) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, run := range runs {
		if hold := all[run.ID]; hold.Slot {
			q.served[run.Org] = max(q.served[run.Org], hold.Seq)
		}
	}
}

// shares sorts what waits by organisation. holding are the runs that need no further
// slot: they have one, or are only to be cancelled.
func (q *Queue) shares(ctx context.Context, runs []launcher.Run, now time.Time) (shares []*share, holding []launcher.Run, err error) {
	waiting := map[string][]launcher.Run{}
	alive := q.forget(runs)
	for _, run := range runs {
		switch {
		case !q.eligible(run, alive, now):
		case run.Cancelling:
			holding = append(holding, run)
		default:
			waiting[run.Org] = append(waiting[run.Org], run)
		}
	}
	if len(waiting) == 0 {
		return nil, holding, nil
	}
	all, more, err := q.cfg.Admission.room(ctx)
	if err != nil {
		return nil, nil, err
	}
	q.hear(runs, all)
	for _, org := range slices.Sorted(maps.Keys(waiting)) {
		usage, err := q.cfg.Admission.Usage(ctx, org)
		if err != nil {
			return nil, nil, err
		}
		limit := int(min(usage.Account.ConcurrentLimit, 1<<30))
		s := &share{org: org, used: atWork(usage.Holds, all), limit: limit, holds: usage.Holds, served: q.lastServed(org)}
		free := limit - usage.Slots
		order(waiting[org], now)
		for _, run := range waiting[org] {
			hold, shared := usage.Holds[run.ID], all[run.ID]
			switch {
			case !more && !shared.Slot:
			case hold.Slot && !q.mayTakeOver(run, hold):
			case hold.Slot && (shared.Slot || all == nil):
				holding = append(holding, run)
			case hold.Slot: // since it was admitted; of those that all share it has none yet
				s.waiting = append(s.waiting, run)
			case free > 0:
				free--
				s.waiting = append(s.waiting, run)
			case shared.Slot:
				// A process died between the two slots that a run needs: it is tried once more,
				// which gives the shared one back.
				if q.mayTakeOver(run, shared) {
					holding = append(holding, run)
				}
			}
		}
		shares = append(shares, s)
	}
	return shares, holding, nil
}

// atWork counts the runs of an organisation that have all the slots that they need. all
// is nil where there are none to share.
func atWork(own, all Holds) int {
	n := 0
	for id, hold := range own {
		if hold.Slot && (all == nil || all[id].Slot) {
			n++
		}
	}
	return n
}

func (q *Queue) lastServed(org string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.served[org]
}

// eligible reports whether this process may try to start a run now. A run that waits for
// another is tried when that one has ended, and now and then: each try takes a slot.
func (q *Queue) eligible(run launcher.Run, alive map[string]bool, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	blocked := run.WaitingFor != "" && alive[run.WaitingFor]
	d, delayed := q.delays[run.ID]
	if blocked && !delayed {
		d, delayed = delay{until: now.Add(blockedDelay), blocked: true}, true
		q.delays[run.ID] = d
	}
	if delayed && d.changed != nil {
		select {
		case <-d.changed:
			delayed = false
		default:
		}
	}
	if d.blocked && !blocked {
		delayed = false
	}
	switch {
	case run.State.Terminal() || q.working[run.ID] || run.Trigger == launcher.TriggerCLI:
		return false
	case run.State == launcher.Pending && run.RetryAt.After(now) && !run.Cancelling:
		return false
	case q.due[run.ID]: // nobody works on it, as far as the one who said so knows
		return true
	}
	return run.State == launcher.Pending && (!delayed || !now.Before(d.until))
}

// mayTakeOver reports whether a slot that a run has is this process's to use: it took the
// slot itself, or whoever did is gone or has not started the run for a while.
func (q *Queue) mayTakeOver(run launcher.Run, hold Hold) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if hold.Owner == q.cfg.Owner || q.due[run.ID] && run.State != launcher.Pending || isGone(hold.Owner) {
		return true
	}
	seen, known := q.idle[run.ID]
	if !known || seen.seq != hold.Seq {
		q.idle[run.ID] = idleHolder{seq: hold.Seq, since: time.Now()}
		return false
	}
	return time.Since(seen.since) >= adoptAfter
}

// isGone reports whether a process ran on this host and does not any more.
func isGone(owner string) bool {
	id, ok := procid.Parse(owner)
	return ok && id.Fate() == procid.Gone
}

// forget drops what is known of runs that are not active any more, and returns those that
// are.
func (q *Queue) forget(active []launcher.Run) map[string]bool {
	alive := make(map[string]bool, len(active))
	for _, run := range active {
		alive[run.ID] = !run.State.Terminal()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.delays, func(id string, d delay) bool { return !alive[id] && time.Now().After(d.until) })
	maps.DeleteFunc(q.idle, func(id string, _ idleHolder) bool { return !alive[id] })
	return alive
}
