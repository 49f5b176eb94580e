package launcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudact/convergence/launcher/claim"
)

const (
	maxGenerations = 10_000
	openAtOnce     = 8  // units
	hashDigits     = 24 // of a unit's hash in a register
	originDigits   = 32 // of a run's id there
)

// errSuperseded says that somebody works on a unit under a later claim.
var errSuperseded = errors.New("another run has taken over a slice of this one")

// holder is what the register keeps with a generation.
type holder struct {
	hash   string // of the unit's configuration
	epoch  int    // of the claim under which it was opened
	origin string // request that opened it: the first run of a chain of retries
}

// String is at most 63 lower-case letters, digits, and underscores.
func (h holder) String() string {
	return token(h.hash, hashDigits) + "_" + strconv.Itoa(h.epoch) + "_" + token(h.origin, originDigits)
}

func parseHolder(text string) holder {
	parts := strings.Split(text, "_")
	if len(parts) != 3 {
		return holder{hash: text}
	}
	epoch, _ := strconv.Atoi(parts[1])
	return holder{hash: parts[0], epoch: epoch, origin: parts[2]}
}

// token writes a text as a part of a label: itself without dashes if it fits, else a hash
// of it.
func token(text string, most int) string {
	short := strings.ReplaceAll(text, "-", "")
	fits := len(short) <= most
	for _, r := range short {
		fits = fits && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9')
	}
	if fits {
		return short
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:most]
}

// opened is the generation to work on, and what is known of it.
type opened struct {
	generation int
	published  bool   // there is nothing left to do
	by         string // run that published it
}

// opener finds the generation of each unit that a run states: the open one is resumed, or
// the next one is opened.
type opener struct {
	register Register
	owner    string
	origin   string
	since    time.Time      // another request's generation must have been opened after it
	epochs   map[string]int // of the claims that the run holds, by slice
	leave    map[string]int // generations that can no longer be completed, by unit
}

func (o opener) all(ctx context.Context, units []Unit, known map[string]int) (map[string]opened, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := make([]opened, len(units))
	var wg sync.WaitGroup
	slots := make(chan struct{}, openAtOnce)
	for i, u := range units {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			var err error
			if out[i], err = o.open(ctx, u, known[u.ID]); err != nil {
				cancel(fmt.Errorf("open a generation of step %s: %w", u.Step, err))
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	byUnit := make(map[string]opened, len(units))
	for i, u := range units {
		byUnit[u.ID] = out[i]
	}
	return byUnit, nil
}

// open goes up from a generation that events name: the register knows better, because a
// launcher may have died between acquiring and recording.
//
// A generation that was closed by a fence but has no successor is not open: whoever
// resumed it could never publish. One that is left is fenced before the next opens, so
// that a publisher which still works on it cannot commit after its successor has.
func (o opener) open(ctx context.Context, u Unit, known int) (opened, error) {
	hash := token(u.Hash, hashDigits)
	for g := known; g < maxGenerations; {
		g2, h, at, err := o.newest(ctx, u, g)
		if err != nil {
			return opened{}, err
		}
		g = g2
		if h.epoch > o.epochs[u.Slice] {
			return opened{}, errSuperseded
		}
		if g > 0 {
			out, done, err := o.standing(ctx, u, g, h, hash, at)
			if err != nil || done {
				return out, err
			}
		}
		value := holder{hash: hash, epoch: o.epochs[u.Slice], origin: o.origin}.String()
		answer, err := o.register.Acquire(ctx, genName(u.ID, g+1), o.owner, value)
		if err != nil {
			return opened{}, err
		}
		g++
		if answer.Won {
			return opened{generation: g}, nil
		}
	}
	return opened{}, fmt.Errorf("unit %s has more than %d generations", u.ID, maxGenerations)
}

func genName(unit string, g int) string { return fmt.Sprintf("gen/%s/%d", unit, g) }

// newest probes up to the newest generation of a unit.
func (o opener) newest(ctx context.Context, u Unit, from int) (int, holder, time.Time, error) {
	var h holder
	var at time.Time
	for g := max(from, 1); ; g++ {
		answer, found, err := o.register.Look(ctx, genName(u.ID, g))
		if err != nil {
			return 0, h, at, err
		}
		if !found && g == from { // events name it, but the register has forgotten it
			return g, h, at, nil
		}
		if !found {
			return g - 1, h, at, nil
		}
		h, at = parseHolder(answer.Value), answer.At
	}
}

// standing decides whether a generation is the one to work on. When it is not, it is
// closed.
func (o opener) standing(ctx context.Context, u Unit, g int, h holder, hash string, at time.Time) (opened, bool, error) {
	s, err := o.register.Standing(ctx, u.ID, g)
	if err != nil {
		return opened{}, false, err
	}
	left := g == o.leave[u.ID]
	mine := h.origin == token(o.origin, originDigits) && h.hash == hash || left
	if s.State == Published {
		return opened{generation: g, published: true, by: s.Run}, mine || u.Once, nil
	}
	fresh := h.origin == token(o.origin, originDigits) || !at.Before(o.since)
	if s.State == Unsettled && !left && h.hash == hash && fresh {
		return opened{generation: g}, true, nil
	}
	if s, err = o.register.Fence(ctx, u.ID, g); err != nil {
		return opened{}, false, err
	}
	return opened{generation: g, published: true, by: s.Run}, s.State == Published && (mine || u.Once), nil
}

// epochsOf returns the epochs of the slices of a run by slice.
func epochsOf(r Run, p *Plan, claims []claim.Claim) map[string]int {
	byName := map[string]int{}
	for _, c := range claims {
		byName[c.Name] = c.Epoch
	}
	out := map[string]int{}
	for _, u := range p.Units {
		out[u.Slice] = byName[sliceName(r, p, u.Slice)]
	}
	return out
}

// sliceName is what a run claims before it states the units of a slice.
func sliceName(r Run, p *Plan, slice string) string {
	part := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	return strings.Join([]string{"slice", r.Org, p.Pipeline, part(p.Scope), part(slice)}, "/")
}

// sliceNames are the claims that a run needs.
func sliceNames(r Run, p *Plan) []string {
	names := make([]string, len(p.Units))
	for i, u := range p.Units {
		names[i] = sliceName(r, p, u.Slice)
	}
	return names
}
