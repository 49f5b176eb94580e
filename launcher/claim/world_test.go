package claim_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cloudact/convergence/launcher/claim"
	"github.com/cloudact/convergence/launcher/procid"
)

var errLost = errors.New("the answer was lost")

// world is the register and the log that processes of many machines share. Time is that
// of a synctest bubble. Requests take a while, answers may be lost, and what is appended
// to the log is seen by others only after some time, as with a streaming insert.
type world struct {
	t *testing.T

	mu      sync.Mutex
	rng     *rand.Rand
	names   map[string]claim.Answer
	log     []line
	history []porcupine.Operation
	clients map[string]int
	faults  bool

	merge bool // a register that looks first and inserts then, which is no lock
	deaf  bool // a log that shows no heartbeat
}

type line struct {
	claim.Entry
	at      time.Time // when it was appended
	visible time.Time
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), names: map[string]claim.Answer{}, clients: map[string]int{}, faults: true}
}

func (w *world) keeper(n int) *claim.Keeper {
	id := procid.ID{Machine: fmt.Sprintf("%08x", n), Boot: "b", Namespace: "c", PID: n, Start: "1", Random: "x"}
	return claim.New(claim.Config{Register: w, Log: w, Owner: id})
}

// draw is a random number below n.
func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *world) travel() { time.Sleep(time.Duration(w.draw(400)) * time.Millisecond) }

// lost decides the fate of a request: 0 fine, 1 it never arrives, 2 its answer is lost.
func (w *world) lost() int {
	if !w.faults {
		return 0
	}
	return max(0, w.draw(20)-17)
}

type attempt struct{ name, owner string }

func (w *world) Acquire(_ context.Context, name, owner, value string) (claim.Answer, error) {
	called := time.Now().UnixNano()
	w.travel()
	fate := w.lost()
	if fate == 1 {
		return claim.Answer{}, errLost
	}
	w.mu.Lock()
	answer, taken := w.names[name]
	w.mu.Unlock()
	if w.merge {
		w.travel()
	}
	w.mu.Lock()
	if !w.merge {
		answer, taken = w.names[name]
	}
	if !taken {
		answer = claim.Answer{Owner: owner, Value: value, At: time.Now()}
		w.names[name] = answer
	}
	w.mu.Unlock()
	answer.Won = answer.Owner == owner
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.clients[owner]; !known {
		w.clients[owner] = len(w.clients)
	}
	op := porcupine.Operation{ClientId: w.clients[owner], Input: attempt{name, owner}, Call: called, Output: answer.Owner, Return: time.Now().UnixNano()}
	if fate == 2 {
		op.Output, op.Return = "", called+int64(365*24*time.Hour) // it may take effect whenever it likes
		op.ClientId = 1000 + len(w.history)
	}
	w.history = append(w.history, op)
	if fate == 2 {
		return claim.Answer{}, errLost
	}
	return answer, nil
}

// register is what a register must be to be one: the first that asks for a name holds it.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byName := map[string][]porcupine.Operation{}
		for _, op := range history {
			name := op.Input.(attempt).name
			byName[name] = append(byName[name], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range byName {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		holder, told := state.(string), output.(string)
		if holder == "" {
			holder = input.(attempt).owner
		}
		return told == "" || told == holder, holder
	},
}

func (w *world) AppendClaims(_ context.Context, entries ...claim.Entry) error {
	w.travel()
	fate := w.lost()
	if fate == 1 {
		return errLost
	}
	w.mu.Lock()
	for _, e := range entries {
		now := time.Now()
		w.log = append(w.log, line{e, now, now.Add(time.Duration(w.rng.IntN(4000)) * time.Millisecond)})
	}
	w.mu.Unlock()
	w.travel()
	if fate == 2 {
		return errLost
	}
	return nil
}

func (w *world) Claims(_ context.Context, org string, names []string) ([]claim.Entry, error) {
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []claim.Entry
	for _, l := range w.log {
		for _, name := range names {
			if l.Org == org && l.Name == name && !l.visible.After(time.Now()) {
				out = append(out, l.Entry)
			}
		}
	}
	return out, nil
}

func (w *world) Beats(_ context.Context, owners []string) (map[string]int64, error) {
	w.travel()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int64{}
	for _, l := range w.log {
		for _, owner := range owners {
			if l.Kind == claim.KindBeat && l.Owner == owner && !w.deaf && !l.visible.After(time.Now()) {
				out[owner] = max(out[owner], l.Counter)
			}
		}
	}
	return out, nil
}

// unheard is how long before the given time was a heartbeat of the owner that those who
// asked at that time must have seen: it takes a while until one is visible, and it is not
// asked for all the time.
func (w *world) unheard(owner string, at time.Time) time.Duration {
	const notice = 10 * time.Second
	w.mu.Lock()
	defer w.mu.Unlock()
	last := time.Time{}
	for _, l := range w.log {
		if l.Kind == claim.KindBeat && l.Owner == owner && l.at.Before(at.Add(-notice)) {
			last = l.at
		}
	}
	return at.Sub(last)
}

func (w *world) released(c claim.Claim) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.log {
		if l.Kind == claim.KindRelease && l.Name == c.Name && l.Epoch == c.Epoch {
			return true
		}
	}
	return false
}
