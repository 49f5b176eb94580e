package queue

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
)

// kind says what an entry of an admission log does to the run that it names.
type kind byte

const (
	admitted  kind = 'a' // counts for its day and month, waits for a slot
	begun     kind = 'b' // as admitted, and takes a slot at once
	started   kind = 's' // takes a slot
	waiting   kind = 'w' // gives the slot back, goes on waiting
	succeeded kind = 'e' // ended, gives the slot back
	failed    kind = 'f'
	cancelled kind = 'c'
	returned  kind = 'x' // never started: gives back what it counted for
)

const kinds = "abswefcx"

// entry is what a name of an admission log holds. It fits the label of a job.
type entry struct {
	kind  kind
	run   string     // a UUID
	day   civil.Date // on which it was made, never before that of the entry before it
	owner string     // process that made it; the register keeps it beside the entry
}

const (
	dayLayout   = "20060102"
	entryLength = len("a-") + 32 + len("-20060102")
)

func (e entry) encode() (string, error) {
	id, err := uuid.Parse(e.run)
	if err != nil {
		return "", fmt.Errorf("run id %q is no UUID", e.run)
	}
	return fmt.Sprintf("%c-%s-%s", e.kind, hex.EncodeToString(id[:]), e.day.In(time.UTC).Format(dayLayout)), nil
}

func decodeEntry(c launcher.Claim) (entry, error) {
	text := c.Value
	parts := strings.Split(text, "-")
	if len(text) != entryLength || len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains(kinds, parts[0]) {
		return entry{}, fmt.Errorf("%q is no entry of an admission log", text)
	}
	id, err := hex.DecodeString(parts[1])
	if err != nil || len(id) != len(uuid.UUID{}) {
		return entry{}, fmt.Errorf("%q is no entry of an admission log: no run id", text)
	}
	day, err := time.Parse(dayLayout, parts[2])
	if err != nil {
		return entry{}, fmt.Errorf("%q is no entry of an admission log: no day", text)
	}
	return entry{kind: kind(parts[0][0]), run: uuid.UUID(id).String(), day: civil.DateOf(day), owner: c.Owner}, nil
}

// Tally is the fold of an admission log up to Seq. Whoever folds the same log has the
// same tally, so it may be kept anywhere and continued by anybody.
type Tally struct {
	Seq       int        `json:"seq"`
	Day       civil.Date `json:"day,omitzero"` // of the newest entry; counts are of this day and its month
	Today     int        `json:"today"`
	Month     int        `json:"month"`
	Succeeded int        `json:"succeeded"` // today
	Failed    int        `json:"failed"`    // today
	Slots     int        `json:"slots"`     // that are taken now
	Peak      int        `json:"peak"`      // most slots taken at once today
	Holds     Holds      `json:"holds"`
	Ended     []string   `json:"ended,omitempty"` // the newest runs that have ended: a late entry does not count them again
}

const rememberEnded = 1000

// Holds are the runs that were admitted and have not ended, by id.
type Holds map[string]Hold

// Hold is what a run that has not ended holds.
type Hold struct {
	Day     civil.Date `json:"day,omitzero"` // that it counts for; zero: it takes slots only
	Slot    bool       `json:"slot,omitempty"`
	Started bool       `json:"started,omitempty"` // it has had a slot
	Seq     int        `json:"seq,omitempty"`     // entry that took the slot last
	Owner   string     `json:"owner,omitempty"`   // process that made it
	Shared  bool       `json:"shared,omitempty"`  // taken over since it was free: two processes may be about to start the run
}

// clone returns a copy that shares nothing with the tally.
func (t Tally) clone() Tally {
	t.Holds, t.Ended = maps.Clone(t.Holds), slices.Clone(t.Ended)
	return t
}

// roll opens the day of an entry: counts of another day or month begin at nothing.
func (t *Tally) roll(day civil.Date) {
	if !t.Day.Before(day) {
		return
	}
	if t.Day.Year != day.Year || t.Day.Month != day.Month {
		t.Month = 0
	}
	t.Day, t.Today, t.Succeeded, t.Failed, t.Peak = day, 0, 0, 0, t.Slots
}

// on returns the tally as it is on a day on which nothing has been entered yet.
func (t Tally) on(day civil.Date) Tally {
	t.roll(day)
	return t
}

// apply folds the next entry. What makes no sense, such as the end of a run that has
// ended, changes nothing: entries are repeated when answers are lost.
func (t *Tally) apply(e entry) {
	if t.Holds == nil {
		t.Holds = Holds{}
	}
	t.Seq++
	t.roll(e.day)
	h, held := t.Holds[e.run]
	if !held && slices.Contains(t.Ended, e.run) {
		return
	}
	switch e.kind {
	case admitted, begun:
		if !held || !h.Day.IsValid() {
			h.Day = t.Day
			t.Today++
			t.Month++
		}
		if e.kind == begun {
			t.take(&h, e)
		}
		t.Holds[e.run] = h
	case started:
		t.take(&h, e)
		t.Holds[e.run] = h
	case waiting:
		if held {
			t.give(&h)
			t.Holds[e.run] = h
		}
	case succeeded, failed, cancelled, returned:
		if held {
			t.end(e, h)
		}
	}
}

// take gives a slot to a run, or hands the slot that it has over to another process.
func (t *Tally) take(h *Hold, e entry) {
	if !h.Slot {
		t.Slots++
		t.Peak, h.Shared = max(t.Peak, t.Slots), false
	} else if h.Owner != e.owner {
		h.Shared = true
	}
	h.Slot, h.Started, h.Seq, h.Owner = true, true, t.Seq, e.owner
}

func (t *Tally) give(h *Hold) {
	if h.Slot {
		t.Slots--
	}
	h.Slot = false
}

func (t *Tally) end(e entry, h Hold) {
	t.give(&h)
	delete(t.Holds, e.run)
	if e.kind != returned {
		t.Ended = append(t.Ended, e.run)
		t.Ended = t.Ended[max(len(t.Ended)-rememberEnded, 0):]
	}
	switch e.kind {
	case succeeded:
		t.Succeeded++
	case failed:
		t.Failed++
	case returned:
		if h.Day == t.Day {
			t.Today--
		}
		if h.Day.IsValid() && h.Day.Year == t.Day.Year && h.Day.Month == t.Day.Month {
			t.Month--
		}
	}
}
