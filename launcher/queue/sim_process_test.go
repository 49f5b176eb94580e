package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/queue"
)

// process is one service of a simulation: the queue and admission that ship, with a
// launcher that claims as the shipped one does and starts jobs that only take time.
type process struct {
	w         *world
	name      string
	ctx       context.Context
	cancel    context.CancelFunc
	queue     *queue.Queue
	admission *queue.Admission
	keeper    *claim.Keeper
	wg        sync.WaitGroup
	die       func() // called once, when it crashes

	mu    sync.Mutex
	until time.Time // it stands still
	dead  bool
}

func (w *world) start(n int, die func()) *process {
	p := &process{w: w, name: fmt.Sprintf("p%d", n), die: die}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	id := procid.ID{Machine: "a0", Boot: "b0", Namespace: "c0", PID: n, Start: "1", Random: strconv.Itoa(n)}
	if w.flaw == oneOwner {
		id.PID, id.Random = 0, "0"
	}
	// No two machines agree on what time it is.
	skew := 12*time.Hour + w.between(-5*time.Minute, 5*time.Minute)
	now := func() time.Time { return time.Now().Add(skew).UTC() }
	log := slog.New(slog.DiscardHandler)
	p.keeper = claim.New(claim.Config{Register: register{p}, Log: claimLog{p}, Owner: id})
	p.admission = queue.NewAdmission(queue.AdmissionConfig{
		Register: register{p}, Accounts: accounts{w}, Runs: records{p}, Owner: p.keeper.Owner(), Limit: w.limit, Now: now, Log: log,
	})
	p.queue = queue.New(queue.Config{
		Launcher: p, Active: records{p}, Runs: records{p}, Admission: p.admission, Owner: p.keeper.Owner(), Now: now, Log: log, Scheduler: true,
	})
	p.wg.Go(func() { p.queue.Loop(p.ctx) })
	p.wg.Go(p.beat)
	return p
}

// stop ends a process and waits for what it was doing.
func (p *process) stop() {
	p.cancel()
	p.queue.Close()
	p.wg.Wait()
}

// awake waits until the process does not stand still any more.
func (p *process) awake(ctx context.Context) error {
	for {
		p.mu.Lock()
		dead, wait := p.dead, time.Until(p.until)
		p.mu.Unlock()
		switch {
		case dead:
			return errGone
		case ctx.Err() != nil:
			return ctx.Err()
		case wait <= 0:
			return nil
		}
		time.Sleep(wait)
	}
}

func (p *process) pause() {
	long := p.w.between(5*time.Second, 200*time.Second)
	p.w.count(func(s *stats) { s.pauses++ })
	p.mu.Lock()
	p.until = time.Now().Add(long)
	p.mu.Unlock()
}

func (p *process) crash() {
	p.mu.Lock()
	first := !p.dead
	p.dead = true
	p.mu.Unlock()
	if first {
		p.w.count(func(s *stats) { s.crashes++ })
		p.cancel()
		p.die()
	}
}

// beat lets others know that the process lives, and looks after runs whose process does
// not, as launcher.Recover does.
func (p *process) beat() {
	for p.ctx.Err() == nil {
		_ = p.keeper.Beat(p.ctx)
		runs, err := records{p}.Active(p.ctx, "", time.Time{})
		for _, run := range runs {
			if err != nil || run.State != launcher.Running {
				continue
			}
			states, err := p.keeper.Look(p.ctx, run.Org, runName(run))
			if err == nil && (states[0].Gone || states[0].Free) {
				p.w.count(func(s *stats) { s.takeovers++ })
				p.queue.Enqueue(run)
			}
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(claim.BeatEvery):
		}
	}
}

func runName(run launcher.Run) string { return fmt.Sprintf("run/%s/%d", run.ID, max(run.Attempt, 1)) }

// Submit implements queue.Launcher.
func (p *process) Submit(ctx context.Context, r launcher.Request) (launcher.Run, bool, error) {
	known, err := records{p}.Runs(ctx, r.Org, []string{r.RunID})
	if run, found := known[r.RunID]; found || err != nil {
		return run, found, err
	}
	run := launcher.Run{
		ID: r.RunID, Org: r.Org, PipelineID: r.Template, Attempt: 1, State: launcher.Pending, Trigger: r.Trigger, Start: time.Now(), Priority: r.Priority,
		Submitter: p.keeper.Owner(),
	}
	if err := p.admission.Admit(ctx, run, nil); err != nil {
		var refused *launcher.Error
		if errors.As(err, &refused) && refused.Code == launcher.CodeConcurrentLimit {
			p.w.count(func(s *stats) { s.refused++ })
		}
		return run, false, err
	}
	err = records{p}.write(ctx, run.ID, func(at *launcher.Run) {
		if at.ID == "" {
			*at = run
		}
	})
	return run, false, err
}

// Cancel implements queue.Launcher; nothing cancels in a simulation.
func (p *process) Cancel(context.Context, string, string, bool) (launcher.Run, error) {
	return launcher.Run{}, errors.New("not simulated")
}

// Recover implements queue.Launcher; see beat.
func (p *process) Recover(context.Context) error { return nil }

// Start implements queue.Launcher.
func (p *process) Start(ctx context.Context, org, id string) error {
	run, err := p.read(ctx, org, id)
	if err != nil || run.State.Terminal() {
		return err
	}
	own, err := p.keeper.Acquire(ctx, org, runName(run), id)
	if err != nil {
		return p.refusal(ctx, run, err)
	}
	release := func(claims ...claim.Claim) { _ = p.keeper.Release(ctx, claims...) }
	now, err := p.read(ctx, org, id)
	if err != nil || now.State.Terminal() || now.Attempt != run.Attempt {
		release(own)
		return err
	}
	slice, err := p.keeper.Acquire(ctx, org, "slice/"+p.w.slice(id), id)
	if err != nil {
		release(own)
		return p.refusal(ctx, run, err)
	}
	run.Epoch = own.Epoch
	err = p.attempt(ctx, run, slice)
	release(slice, own)
	return err
}

func (w *world) slice(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slices[id]
}

func (p *process) read(ctx context.Context, org, id string) (launcher.Run, error) {
	known, err := records{p}.Runs(ctx, org, []string{id})
	if err != nil {
		return launcher.Run{}, err
	}
	return known[id], nil
}

func (p *process) refusal(ctx context.Context, run launcher.Run, err error) error {
	var held *claim.HeldError
	switch {
	case !errors.As(err, &held):
		return err
	case held.State.Holder == run.ID || strings.HasPrefix(held.State.Name, "run/"):
		return &launcher.Elsewhere{Run: run.ID, Owner: held.State.Owner}
	}
	p.w.count(func(s *stats) { s.waits++ })
	err = records{p}.write(ctx, run.ID, func(run *launcher.Run) { run.WaitingFor = held.State.Holder })
	return errors.Join(&launcher.Waiting{Run: run.ID, For: held.State.Holder}, err)
}

// attempt runs a job to its end.
func (p *process) attempt(ctx context.Context, run launcher.Run, slice claim.Claim) error {
	job := run
	err := records{p}.write(ctx, run.ID, func(at *launcher.Run) {
		if at.Attempt > run.Attempt || at.Attempt == run.Attempt && at.Epoch > run.Epoch {
			return // taken over
		}
		at.State, at.Epoch, at.WaitingFor = launcher.Running, run.Epoch, ""
		if at.Began.IsZero() {
			at.Began = time.Now()
		}
		p.w.jobs[&job] = true
	})
	if err != nil { // it may have been recorded: then the run is taken up again
		p.w.ended(&job)
		return err
	}
	fails := p.w.chance(150) && run.Attempt < 3
	time.Sleep(p.w.between(2*time.Second, 90*time.Second))
	err = p.awake(ctx)
	if err == nil && !fails {
		err = p.publish(ctx, run.ID, slice)
	}
	p.w.ended(&job)
	if err != nil {
		return err
	}
	return p.finish(ctx, run, fails)
}

// ended takes note of the end of a job.
func (w *world) ended(job *launcher.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.jobs, job)
}

func (p *process) finish(ctx context.Context, run launcher.Run, fails bool) error {
	p.w.mu.Lock()
	stated := p.w.stated[run.ID] != ""
	p.w.mu.Unlock()
	if fails || !stated {
		p.w.count(func(s *stats) { s.retries++ })
		err := records{p}.write(ctx, run.ID, func(at *launcher.Run) {
			if at.Attempt == run.Attempt && at.Epoch == run.Epoch {
				at.State, at.Attempt, at.Epoch = launcher.Pending, run.Attempt+1, 0
			}
		})
		return errors.Join(&launcher.Later{Run: run.ID, At: time.Now()}, err)
	}
	var ended launcher.Run
	err := records{p}.write(ctx, run.ID, func(at *launcher.Run) {
		if at.Attempt == run.Attempt && at.Epoch == run.Epoch {
			at.State, at.End = launcher.Completed, time.Now()
		}
		ended = *at
	})
	if err != nil || !ended.State.Terminal() {
		return errors.Join(&launcher.Elsewhere{Run: run.ID}, err)
	}
	return p.admission.Release(ctx, ended)
}

// publish states the run's unit in a generation of its own, once.
func (p *process) publish(ctx context.Context, id string, slice claim.Claim) error {
	unit := slice.Name
	value := fmt.Sprintf("%s %d", id, slice.Epoch)
	for g := 1; ; g++ {
		name := fmt.Sprintf("gen/%s/%d", unit, g)
		got, err := register{p}.Acquire(ctx, name, p.keeper.Owner(), value)
		if err != nil {
			return err
		}
		by, epochText, _ := strings.Cut(got.Value, " ")
		epoch, _ := strconv.Atoi(epochText)
		if epoch > slice.Epoch && p.w.flaw != noEpochs {
			p.w.count(func(s *stats) { s.superseded++ })
			return &launcher.Elsewhere{Run: id, Owner: got.Owner}
		}
		var done bool
		err = p.w.call(ctx, p, func() { done = p.w.publish(name, unit, by, id, epoch) })
		for errors.Is(err, errLost) {
			err = p.w.call(ctx, p, func() { done = p.w.publish(name, unit, by, id, epoch) })
		}
		if err != nil || done {
			return err
		}
	}
}

// publish is the publish job of a generation: its id lets it commit once, and whoever
// opens the next generation fences it. False asks for the next generation.
func (w *world) publish(name, unit, by, id string, epoch int) bool {
	switch {
	case w.published[name] == id:
		return true // attached
	case w.published[name] != "" || w.fenced[name]:
		return false
	case by != id: // of a run that has not published it: closed
		w.fenced[name] = true
		return false
	}
	if before := w.epochs[unit]; epoch < before {
		w.breaks("%s is stated under claim epoch %d, after one of epoch %d", unit, epoch, before)
	}
	if other := w.stated[id]; other != "" {
		w.breaks("run %s stated %s and %s", id, other, name)
	}
	w.epochs[unit], w.published[name], w.stated[id] = epoch, id, name
	w.stats.published++
	return true
}
