package launcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A run that asks for what an active one does is answered with that one. Events alone
// cannot tell: two processes that are asked at once both find none. So who records a run
// first acquires the next name of all runs equal to it, whose holder is the newest of
// them.

const (
	// equalMark stands before the id of the run in the value of such a name.
	equalMark = "e-"
	// unrecorded is how long a run may hold its name before its events are there: its owner
	// gives up recording it after pendingPatience, and a store shows it a moment later.
	unrecorded = 2 * pendingPatience
)

// equalHold is a name of equal runs and the run that holds it.
type equalHold struct {
	n     int
	run   string
	owner string
}

// elsewhere makes run the newest of its equals, or returns the active one that another
// process has recorded, or is recording.
func (l *Launcher) elsewhere(ctx context.Context, run Run) (other Run, found bool, err error) {
	sum := sha256.Sum256([]byte(equalKey(run)))
	prefix := "equal/" + run.Org + "/" + hex.EncodeToString(sum[:])[:40]
	for n := 1; ; n++ {
		answer, err := l.cfg.Register.Acquire(ctx, fmt.Sprintf("%s/%d", prefix, n), l.keeper.Owner(), equalMark+run.ID)
		if err != nil {
			return Run{}, false, &Error{Code: CodeUnavailable, Message: "whether an equal run is active could not be decided, so nothing was started; try again", Err: err}
		}
		held := holdOf(n, answer)
		if held.run == run.ID {
			return Run{}, false, nil
		}
		if n == 1 {
			if held, err = l.newestEqual(ctx, prefix, held); err != nil {
				return Run{}, false, &Error{Code: CodeUnavailable, Message: "the equal runs could not be read, so nothing was started; try again", Err: err}
			}
			if held.run == run.ID {
				return Run{}, false, nil
			}
			n = held.n
		}
		if other, found, err = l.stands(ctx, run.Org, held); found || err != nil {
			return other, found, err
		}
	}
}

func holdOf(n int, answer Claim) equalHold {
	return equalHold{n: n, run: strings.TrimPrefix(answer.Value, equalMark), owner: answer.Owner}
}

// newestEqual finds the last name that is held, from one that is. There are no gaps.
func (l *Launcher) newestEqual(ctx context.Context, prefix string, held equalHold) (equalHold, error) {
	look := func(n int) (bool, error) {
		answer, found, err := l.cfg.Register.Look(ctx, fmt.Sprintf("%s/%d", prefix, n))
		if found {
			held = holdOf(n, answer)
		}
		return found, err
	}
	free := 2 * held.n
	for {
		found, err := look(free)
		if err != nil {
			return held, err
		}
		if !found {
			break
		}
		free *= 2
	}
	for free-held.n > 1 {
		middle := (held.n + free) / 2
		found, err := look(middle)
		if err != nil {
			return held, err
		}
		if !found {
			free = middle
		}
	}
	return held, nil
}

// stands reports whether the run that holds a name is active. One that is not there yet
// is waited for, unless whoever was to record it cannot any more.
func (l *Launcher) stands(ctx context.Context, org string, held equalHold) (Run, bool, error) {
	for began := time.Now(); ; sleep(ctx, firstPause, nil) {
		// Asked before the run is: who is gone now has recorded it before, or never will.
		lost, err := l.lostOwner(ctx, held.owner)
		if err != nil {
			return Run{}, false, err
		}
		run, err := l.Run(ctx, org, held.run)
		var coded *Error
		switch {
		case err == nil:
			return run, !run.State.Terminal() && !run.Cancelling, nil
		case !errors.As(err, &coded) || coded.Code != CodeRunNotFound:
			return Run{}, false, err
		case lost || time.Since(began) > unrecorded:
			return Run{}, false, nil
		case ctx.Err() != nil:
			return Run{}, false, ctx.Err()
		}
	}
}

// lostOwner reports whether the owner records nothing more: its process is gone, or it is
// this one, which records equal runs one after the other.
func (l *Launcher) lostOwner(ctx context.Context, owner string) (bool, error) {
	if owner == l.keeper.Owner() {
		return true, nil
	}
	gone, err := l.keeper.GoneOwners(ctx, owner)
	return gone[owner], err
}
