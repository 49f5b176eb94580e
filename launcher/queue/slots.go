package queue

import (
	"context"
	"errors"
	"slices"
)

// Slot is what Occupy took for a run: the entries that took it, 0 if there is none.
type Slot struct {
	Org, Run string

	seq, allSeq int
	reserved    bool // the run counts for its day since then only
}

// Occupy takes a slot for a run that is about to start, or takes over the one that the
// run has from another process. What was given back of a run that had not been recorded
// for long is reserved again. The organisation must still be allowed to have runs.
func (a *Admission) Occupy(ctx context.Context, org, runID string) (Slot, error) {
	slot := Slot{Org: org, Run: runID}
	account, err := a.account(ctx, org)
	if err != nil {
		return slot, err
	}
	l, err := a.ledger(ctx, org)
	if err != nil {
		return slot, err
	}
	if slot.allSeq, err = a.occupyAll(ctx, runID); err != nil {
		return slot, err
	}
	hold, err := l.add(ctx, runID, func(t Tally) (entry, error) {
		h := t.Holds[runID]
		slot.reserved = !h.Day.IsValid()
		switch {
		case slices.Contains(t.Ended, runID):
			return entry{}, errEnded
		case h.Slot && h.Owner == a.cfg.Owner:
			return entry{}, nil
		case slot.reserved:
			return a.reserve(t, account, runID, begun)
		case !h.Slot && int64(t.Slots) >= account.ConcurrentLimit:
			return entry{}, ErrOrgFull
		}
		return entry{kind: started, run: runID}, nil
	})
	if err != nil {
		mine := alone(slot.allSeq)
		if errors.Is(err, ErrOrgFull) || errors.Is(err, errEnded) {
			// The run has no slot of its organisation. Whoever took the shared one before this
			// process and is about to take the other looks at the shared one once more then: it
			// finds it gone, and begins anew.
			mine = func(h Hold) bool { return h.Seq == slot.allSeq }
		}
		return slot, errors.Join(err, a.leaveAll(ctx, slot, mine))
	}
	slot.seq = hold.Seq
	return slot, a.stillShared(ctx, slot)
}

// stillShared gives the organisation's slot back if the shared one was taken over by
// another process before this one had both.
func (a *Admission) stillShared(ctx context.Context, slot Slot) error {
	if slot.allSeq == 0 {
		return nil
	}
	l, err := a.ledger(ctx, everyone)
	if err != nil {
		return err
	}
	t, err := l.newest(ctx)
	if err == nil && t.Holds[slot.Run].Seq == slot.allSeq {
		return nil
	}
	if err == nil {
		err = errTaken
	}
	return errors.Join(err, a.Vacate(ctx, slot))
}

// occupyAll takes one of the slots that all organisations share.
func (a *Admission) occupyAll(ctx context.Context, runID string) (int, error) {
	if a.cfg.Limit <= 0 {
		return 0, nil
	}
	l, err := a.ledger(ctx, everyone)
	if err != nil {
		return 0, err
	}
	hold, err := l.add(ctx, runID, func(t Tally) (entry, error) {
		switch h := t.Holds[runID]; {
		case h.Slot && h.Owner == a.cfg.Owner:
			return entry{}, nil
		case !h.Slot && t.Slots >= a.cfg.Limit:
			return entry{}, ErrFull
		}
		return entry{kind: started, run: runID}, nil
	})
	return hold.Seq, err
}

// room answers who has the slots that all organisations share, and whether there are more.
// holds is nil where there is no such limit.
func (a *Admission) room(ctx context.Context) (holds Holds, more bool, err error) {
	if a.cfg.Limit <= 0 {
		return nil, true, nil
	}
	l, err := a.ledger(ctx, everyone)
	if err != nil {
		return nil, false, err
	}
	t, err := l.newest(ctx)
	if holds = t.Holds; holds == nil {
		holds = Holds{}
	}
	return holds, t.Slots < a.cfg.Limit, err
}

// Vacate gives a slot back of a run that goes on waiting. A slot that was taken over since
// it was free stays: two processes may be about to start the run, and only its end tells
// that neither will.
func (a *Admission) Vacate(ctx context.Context, slot Slot) error {
	what := waiting
	if slot.reserved {
		what = returned
	}
	done, err := a.leave(ctx, slot.Org, slot.Run, what, alone(slot.seq))
	if err != nil || !done {
		return err
	}
	return a.leaveAll(ctx, slot, alone(slot.allSeq))
}

func (a *Admission) leaveAll(ctx context.Context, slot Slot, as func(Hold) bool) error {
	if slot.allSeq == 0 {
		return nil
	}
	_, err := a.leave(ctx, everyone, slot.Run, returned, as)
	return err
}

// alone reports whether a slot is that which an entry took, and nobody else's.
func alone(seq int) func(Hold) bool {
	return func(h Hold) bool { return h.Slot && h.Seq == seq && !h.Shared }
}
