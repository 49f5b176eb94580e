package queue

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// Register is where names are acquired; Look reads who holds one without acquiring it.
type Register interface {
	Acquire(ctx context.Context, name, owner, value string) (launcher.Claim, error)
	Look(ctx context.Context, name string) (claim launcher.Claim, held bool, err error)
}

// ledger is one admission log: admit/{scope}/{1, 2, …}. Its tally is a cache of the
// register, so that most entries cost one request.
type ledger struct {
	register Register
	scope    string // an organisation, or everyone
	owner    string
	now      func() time.Time

	turn  turn
	tally Tally
	read  bool      // the tally was continued from what somebody kept
	kept  int       // newest entry that a kept tally is known to have
	since time.Time // when it was kept by this process
}

// turn is a lock that is waited for no longer than a context lasts: it is held over
// requests.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) pass() { <-t }

// everyone is the scope of the slots of all organisations together; no slug has a dash.
const everyone = "-"

func (l *ledger) name(seq int) string { return fmt.Sprintf("admit/%s/%d", l.scope, seq) }

// decide says which entry follows a tally: none when kind is 0.
type decide func(t Tally) (entry, error)

// add appends the entry that follows from everything entered before, and returns what the
// run holds then. An entry is only made by who has seen all others: the name after the
// last can be acquired once.
func (l *ledger) add(ctx context.Context, run string, next decide) (Hold, error) {
	if err := l.turn.take(ctx); err != nil {
		return Hold{}, err
	}
	defer l.turn.pass()
	current := false // the tally is known to be the newest
	for {
		e, err := next(l.tally.on(l.today()))
		if err != nil || e.kind == 0 {
			if current {
				return l.tally.Holds[run], err
			}
			if fault := l.refresh(ctx); fault != nil { // what was refused may be allowed by now
				return l.tally.Holds[run], fault
			}
			current = true
			continue
		}
		if e.day = l.today(); e.day.Before(l.tally.Day) { // another's clock is ahead
			e.day = l.tally.Day
		}
		won, err := l.acquire(ctx, e)
		if err != nil || won {
			return l.tally.Holds[run], err
		}
		current = false
	}
}

// acquire tries to make e the next entry. When it answers false, the tally has been
// continued by the entry that is there instead.
func (l *ledger) acquire(ctx context.Context, e entry) (bool, error) {
	value, err := e.encode()
	if err != nil {
		return false, err
	}
	name := l.name(l.tally.Seq + 1)
	claim, err := l.register.Acquire(ctx, name, l.owner, value)
	if err != nil {
		return false, fmt.Errorf("enter %s: %w", name, err)
	}
	there, err := decodeEntry(claim)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	l.tally.apply(there)
	// A name of our own with another value is an entry whose answer was lost.
	return claim.Won && claim.Value == value, nil
}

// refresh reads what others have entered.
func (l *ledger) refresh(ctx context.Context) error {
	for {
		name := l.name(l.tally.Seq + 1)
		claim, held, err := l.register.Look(ctx, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if !held {
			return nil
		}
		e, err := decodeEntry(claim)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		l.tally.apply(e)
	}
}

// newest returns the tally after reading what others have entered.
func (l *ledger) newest(ctx context.Context) (Tally, error) {
	if err := l.turn.take(ctx); err != nil {
		return Tally{}, err
	}
	defer l.turn.pass()
	if err := l.refresh(ctx); err != nil {
		return Tally{}, err
	}
	return l.tally.on(l.today()).clone(), nil
}

func (l *ledger) today() civil.Date { return civil.DateOf(l.now().UTC()) }
