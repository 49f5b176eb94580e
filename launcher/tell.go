package launcher

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// tellPatience bounds what Ended takes.
	tellPatience = 5 * time.Minute
	// maxTellers bounds how many processes may die of telling the end of a run.
	maxTellers = 5
)

// tell calls Ended for a run, in one process of all, and settles it. Who calls is whoever
// acquires the next number: the first, or the one after that of a process which is gone
// and has not recorded that it did.
func (l *Launcher) tell(ctx context.Context, run Run) {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	if l.cfg.Service { // the next one tells what this one has no time for
		defer context.AfterFunc(l.ctx, cancel)()
	}
	log := l.cfg.Log.With("run", run.ID, "org", run.Org)
	leave, err := l.gates.enter(ctx, "tell/"+run.ID)
	if err != nil {
		log.Log(ctx, delay(ctx), "tell the end of a run; it is tried again", "error", err)
		return
	}
	defer leave()
	mine, told, err := l.teller(ctx, &run)
	if err != nil {
		log.Log(ctx, delay(ctx), "tell the end of a run; it is tried again", "error", err)
		return
	}
	if !mine && !told {
		return // a process that lives is at it, and settles the run
	}
	if mine && !l.hasTold(run.ID) {
		if err := l.cfg.Ended(ctx, run); err != nil {
			log.Log(ctx, delay(ctx), "tell the end of a run; it is tried again", "error", err)
			return
		}
		l.mu.Lock()
		l.told[run.ID] = true
		l.mu.Unlock()
	}
	rctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*recordTimeout)
	defer stop()
	if mine {
		e, err := newEvent(run, kindTold, "", run.State, 0, struct{}{}, l.cfg.Now())
		if err == nil {
			err = appendSurely(rctx, l.cfg.Store, e)
		}
		if err != nil {
			log.Warn("record that the end of a run is told; it is tried again", "error", err)
			return
		}
	}
	l.recordSettled(rctx, run)
}

// hasTold reports whether this process has told the end of a run.
func (l *Launcher) hasTold(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[id]
}

// teller finds out whether this process is the one that tells, or whether it has been
// told. What events say of the run by now is added to it.
func (l *Launcher) teller(ctx context.Context, run *Run) (mine, told bool, err error) {
	for n := 1; n <= maxTellers; n++ {
		answer, err := l.cfg.Register.Acquire(ctx, fmt.Sprintf("notify/%s/%d", run.ID, n), l.keeper.Owner(), "")
		if err != nil {
			return false, false, fmt.Errorf("acquire the notification: %w", err)
		}
		if n > 1 || !answer.Won || run.Start.IsZero() {
			now, err := l.read(ctx, run.Org, run.ID)
			switch {
			case err != nil:
				return false, false, err
			case now.Told:
				return false, true, nil
			case now.State.Terminal():
				*run = now
			}
		}
		if answer.Won || answer.Owner == l.keeper.Owner() {
			return true, false, nil
		}
		gone, err := l.keeper.GoneOwners(ctx, answer.Owner)
		if err != nil || !gone[answer.Owner] {
			return false, false, err
		}
	}
	return false, true, nil // it is what kills its tellers
}

// delay is how loud a telling that did not happen is: one that a shutdown interrupted is
// the next process's business.
func delay(ctx context.Context) slog.Level {
	if ctx.Err() != nil {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
