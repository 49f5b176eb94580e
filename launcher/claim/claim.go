// Package claim lets exactly one of many processes work on a thing at a time, with
// nothing but a register in which a name can be created once, and a log.
//
// The claims of a thing are the names {thing}/1, {thing}/2, ...: the epochs. Whoever
// creates the next one holds the thing until it releases it, which is an entry of the
// log. Each process appends a heartbeat with a counter. Another process takes the thing
// over, under the next epoch, when that counter has stood still for a minute of its own
// monotonic clock, or at once if the holder was a process of this machine that is gone.
// No clock of another machine is ever looked at.
//
// A holder that was only paused does not know that it was taken over: what it does must
// be fenced by other means, which the epochs are there for.
//
// The package knows neither runs nor BigQuery nor HTTP.
package claim

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cloudact/convergence/launcher/procid"
)

const (
	// BeatEvery is how often a process appends its heartbeat.
	BeatEvery = 15 * time.Second
	// Patience is how long the counter of a holder must stand still.
	Patience = time.Minute

	recheckEvery = 2 * time.Second // of a counter that is being watched
	logLag       = time.Hour       // generous: after so long a log shows what was appended
)

// Answer is what a register says of a name: whether the caller created it, by whom it was
// created, what was stored with it, and when, by the register's clock.
type Answer struct {
	Won   bool
	Owner string
	Value string
	At    time.Time
}

// Register creates names. Acquire creates the name if it is absent; a name that carries
// the caller's own owner was created by an earlier request of his whose answer was lost.
// Owner and value are labels: lower-case letters, digits, dashes, underscores, at most 63.
type Register interface {
	Acquire(ctx context.Context, name, owner, value string) (Answer, error)
}

// Entry kinds.
const (
	KindClaim   = "claim"
	KindRelease = "release"
	KindBeat    = "beat" // Owner and Counter only
)

// Entry is a line of the log. Appending it twice is appending it once.
type Entry struct {
	Kind    string
	Org     string
	Name    string // of the thing, without the epoch
	Epoch   int
	Owner   string // process
	Holder  string // what the process holds it for: a run
	Counter int64
}

// Log keeps entries. Claims returns those of the given things; Beats the highest counter
// of each owner that has one.
type Log interface {
	AppendClaims(ctx context.Context, entries ...Entry) error
	Claims(ctx context.Context, org string, names []string) ([]Entry, error)
	Beats(ctx context.Context, owners []string) (map[string]int64, error)
}

// Claim is one epoch of a thing.
type Claim struct {
	Org    string
	Name   string
	Epoch  int
	Owner  string
	Holder string
}

func (c Claim) String() string { return fmt.Sprintf("%s/%d", c.Name, c.Epoch) }

// State is what is known of a thing: its newest claim, and whether the next one may be
// created. Free says that the newest was released or that there is none, Gone that its
// holder is.
type State struct {
	Claim
	Free bool
	Gone bool
}

// Open reports whether the thing may be claimed.
func (s State) Open() bool { return s.Free || s.Gone }

// HeldError says that somebody who lives holds a thing.
type HeldError struct{ State State }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by %s for %s", e.State.Claim, e.State.Owner, e.State.Holder)
}

// Config wires a keeper.
type Config struct {
	Register Register
	Log      Log
	Owner    procid.ID // of this process
}

// Keeper makes and keeps the claims of one process. It is safe for concurrent use. It has
// no goroutine: call Beat every BeatEvery while anything is held.
type Keeper struct {
	cfg   Config
	owner string

	mu      sync.Mutex
	held    map[string]Claim // by name; also while a claim is being made
	past    map[string]spent // by name: what the log may not say yet
	counter int64
	late    []Entry          // releases that could not be appended yet
	watched map[string]pulse // other owners
	beaten  time.Time        // when the last heartbeat that arrived was sent
}

// spent is the newest epoch of a thing that this process has held and released.
type spent struct {
	epoch int
	at    time.Time
}

// pulse is the last that was heard of an owner.
type pulse struct {
	counter int64
	since   time.Time // of this process, when the counter was first read
	read    time.Time // when it was last read
}

// New returns a keeper that holds nothing.
func New(cfg Config) *Keeper {
	return &Keeper{cfg: cfg, owner: cfg.Owner.String(), held: map[string]Claim{}, past: map[string]spent{}, watched: map[string]pulse{}, beaten: time.Now()}
}

// Doubtful reports whether somebody may have succeeded this process: its last heartbeat is
// older than the patience of others.
func (k *Keeper) Doubtful() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Since(k.beaten) >= Patience
}

// Owner is the identity of this process in registers.
func (k *Keeper) Owner() string { return k.owner }

// Look returns what is known of each thing, in order. It creates nothing.
func (k *Keeper) Look(ctx context.Context, org string, names ...string) ([]State, error) {
	states, err := k.read(ctx, org, names)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, name := range names {
		if own, held := k.held[name]; held { // the log may be behind
			states[i] = State{Claim: own}
		}
	}
	return states, nil
}

// read returns what the log says of each thing, and what this process remembers of those
// that it has released.
func (k *Keeper) read(ctx context.Context, org string, names []string) ([]State, error) {
	entries, err := k.cfg.Log.Claims(ctx, org, names)
	if err != nil {
		return nil, fmt.Errorf("read claims of %s: %w", org, err)
	}
	newest := map[string]State{}
	for _, e := range entries {
		s, known := newest[e.Name]
		if !known || e.Epoch > s.Epoch {
			s = State{Claim: Claim{Org: org, Name: e.Name, Epoch: e.Epoch}}
		}
		if e.Epoch == s.Epoch {
			s.Owner, s.Holder = e.Owner, e.Holder
			s.Free = s.Free || e.Kind == KindRelease
		}
		newest[e.Name] = s
	}
	out := make([]State, len(names))
	k.mu.Lock()
	for i, name := range names {
		s, known := newest[name]
		if own, ours := k.past[name]; ours && own.epoch >= s.Epoch || !known {
			s = State{Claim: Claim{Org: org, Name: name, Epoch: max(own.epoch, s.Epoch)}, Free: true}
		}
		out[i] = s
	}
	k.mu.Unlock()
	return out, k.judge(ctx, out)
}

// judge finds out which holders are gone.
func (k *Keeper) judge(ctx context.Context, states []State) error {
	var owners []string
	for i, s := range states {
		if !s.Free {
			owners = append(owners, states[i].Owner)
		}
	}
	gone, err := k.GoneOwners(ctx, owners...)
	if err != nil {
		return err
	}
	for i := range states {
		states[i].Gone = !states[i].Free && gone[states[i].Owner]
	}
	return nil
}

// GoneOwners reports which processes may be succeeded: those of this machine that are
// gone, and those whose heartbeat has stood still while this process watched it for
// Patience.
func (k *Keeper) GoneOwners(ctx context.Context, owners ...string) (map[string]bool, error) {
	out := map[string]bool{}
	var distant []string
	for _, owner := range owners {
		if _, judged := out[owner]; judged || owner == k.owner {
			continue
		}
		out[owner] = false
		id, ok := procid.Parse(owner)
		switch fate := id.Fate(); {
		case ok && fate == procid.Gone:
			out[owner] = true
		case ok && fate == procid.Alive:
		default:
			distant = append(distant, owner)
		}
	}
	for owner, still := range k.known(distant) {
		out[owner] = still
	}
	distant = k.due(distant)
	if len(distant) == 0 {
		return out, nil
	}
	beats, err := k.cfg.Log.Beats(ctx, distant)
	if err != nil {
		return nil, fmt.Errorf("read heartbeats: %w", err)
	}
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, owner := range distant {
		p, watched := k.watched[owner]
		if !watched || p.counter != beats[owner] {
			p = pulse{counter: beats[owner], since: now}
		}
		p.read = now
		k.watched[owner] = p
		out[owner] = now.Sub(p.since) >= Patience
	}
	return out, nil
}

// known answers for owners that were asked about a moment ago.
func (k *Keeper) known(owners []string) map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]bool{}
	for _, owner := range owners {
		if p, watched := k.watched[owner]; watched {
			out[owner] = p.read.Sub(p.since) >= Patience
		}
	}
	return out
}

// due leaves out those whose counter was read a moment ago.
func (k *Keeper) due(owners []string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, owner := range owners {
		if p, watched := k.watched[owner]; !watched || time.Since(p.read) >= recheckEvery {
			out = append(out, owner)
		}
	}
	return out
}

// Beat appends the heartbeat of this process, and releases what could not be released
// before.
func (k *Keeper) Beat(ctx context.Context) error {
	k.mu.Lock()
	k.counter++
	maps.DeleteFunc(k.past, func(_ string, p spent) bool { return time.Since(p.at) > logLag })
	late, began := k.late, time.Now()
	k.late = nil
	entries := append([]Entry{{Kind: KindBeat, Owner: k.owner, Counter: k.counter}}, late...)
	k.mu.Unlock()
	if err := k.cfg.Log.AppendClaims(ctx, entries...); err != nil {
		k.mu.Lock()
		k.late = append(k.late, late...)
		k.mu.Unlock()
		return fmt.Errorf("append heartbeat: %w", err)
	}
	k.mu.Lock()
	k.beaten = began
	k.mu.Unlock()
	return nil
}
