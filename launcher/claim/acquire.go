package claim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxLabel = 63

// Acquire claims a thing for holder. The error is a *HeldError if somebody who lives
// holds it, this process included.
func (k *Keeper) Acquire(ctx context.Context, org, name, holder string) (Claim, error) {
	if held, free := k.reserve(org, name, holder); !free {
		return Claim{}, &HeldError{State: State{Claim: held}}
	}
	c, err := k.acquire(ctx, org, name, holder)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		delete(k.held, name)
		return Claim{}, err
	}
	k.held[name] = c
	return c, nil
}

// reserve keeps two callers of this process apart: the register cannot, because they have
// one owner.
func (k *Keeper) reserve(org, name, holder string) (Claim, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, taken := k.held[name]; taken {
		return c, false
	}
	k.held[name] = Claim{Org: org, Name: name, Owner: k.owner, Holder: holder}
	return Claim{}, true
}

func (k *Keeper) acquire(ctx context.Context, org, name, holder string) (Claim, error) {
	for {
		states, err := k.read(ctx, org, []string{name})
		if err != nil {
			return Claim{}, err
		}
		state := states[0]
		// The register is ahead of the log: what it names and the log does not is followed
		// as far as its holders are gone.
		for state.Open() {
			c := Claim{Org: org, Name: name, Epoch: state.Epoch + 1, Owner: k.owner, Holder: holder}
			answer, err := k.cfg.Register.Acquire(ctx, name+"/"+strconv.Itoa(c.Epoch), k.owner, label(holder))
			if err != nil {
				return Claim{}, fmt.Errorf("claim %s: %w", c, err)
			}
			if answer.Won {
				return c, k.record(ctx, c)
			}
			after := []State{{Claim: Claim{Org: org, Name: name, Epoch: c.Epoch, Owner: answer.Owner, Holder: answer.Value}}}
			if err := k.judge(ctx, after); err != nil {
				return Claim{}, err
			}
			state = after[0]
		}
		// The log is asked again, once it can have heard of the claim that was met.
		again, err := k.read(ctx, org, []string{name})
		if err != nil {
			return Claim{}, err
		}
		if again[0].Epoch < state.Epoch || !again[0].Open() {
			return Claim{}, &HeldError{State: state}
		}
	}
}

// record appends a claim that was won. One that cannot be recorded is given up: nobody
// could see who holds it.
func (k *Keeper) record(ctx context.Context, c Claim) error {
	entry := Entry{Kind: KindClaim, Org: c.Org, Name: c.Name, Epoch: c.Epoch, Owner: k.owner, Holder: c.Holder}
	err := k.cfg.Log.AppendClaims(ctx, entry)
	if err == nil {
		return nil
	}
	entry.Kind = KindRelease
	k.mu.Lock()
	k.past[c.Name] = spent{c.Epoch, time.Now()}
	k.late = append(k.late, entry)
	k.mu.Unlock()
	return fmt.Errorf("record claim %s: %w", c, err)
}

// AcquireAll claims things one after another in ascending order, the same for everybody,
// so that no circle of waiting processes can form. When one is held, those before it are
// released.
func (k *Keeper) AcquireAll(ctx context.Context, org, holder string, names ...string) ([]Claim, error) {
	var claims []Claim
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		c, err := k.Acquire(ctx, org, name, holder)
		if err != nil {
			return nil, errors.Join(err, k.Release(ctx, claims...))
		}
		claims = append(claims, c)
	}
	return claims, nil
}

// Release gives claims up. Those that cannot be released now are with a later Beat; in
// this process they are free at once.
func (k *Keeper) Release(ctx context.Context, claims ...Claim) error {
	if len(claims) == 0 {
		return nil
	}
	entries := make([]Entry, len(claims))
	for i, c := range claims {
		entries[i] = Entry{Kind: KindRelease, Org: c.Org, Name: c.Name, Epoch: c.Epoch, Owner: k.owner, Holder: c.Holder}
	}
	err := k.cfg.Log.AppendClaims(ctx, entries...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.late = append(k.late, entries...)
		err = fmt.Errorf("release %d claims, the first %s: %w", len(claims), claims[0], err)
	}
	for _, c := range claims {
		if k.held[c.Name].Epoch == c.Epoch {
			delete(k.held, c.Name)
		}
		k.past[c.Name] = spent{c.Epoch, time.Now()}
	}
	return err
}

// Lost returns which of the claims somebody else holds under a later epoch by now,
// according to entries of the log.
func Lost(claims []Claim, entries []Entry) []Claim {
	newest := map[string]int{}
	for _, e := range entries {
		if e.Kind == KindClaim {
			newest[e.Name] = max(newest[e.Name], e.Epoch)
		}
	}
	var lost []Claim
	for _, c := range claims {
		if newest[c.Name] > c.Epoch {
			lost = append(lost, c)
		}
	}
	return lost
}

// label writes a text as a label may be written.
func label(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, text)
	return text[:min(len(text), maxLabel)]
}
