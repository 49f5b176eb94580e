package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cloudact/convergence/launcher"
)

const (
	lookBack  = 7 * 24 * time.Hour // missed slots that are older are not made up for
	mostSlots = 31                 // of one pipeline at once
	firedBy   = "cloud_scheduler"
)

// Triggered is the answer of Trigger.
type Triggered struct {
	Triggered int              `json:"triggered_count"` // runs that slots made
	Queued    int              `json:"queued_count"`    // of those, recorded now
	Skipped   int              `json:"skipped_count"`   // slots that are refused, or tried again
	Next      *time.Time       `json:"next_trigger_time"`
	Details   TriggeredDetails `json:"details"`
}

// TriggeredDetails says what Trigger looked at.
type TriggeredDetails struct {
	Limit int `json:"limit"`
	Due   int `json:"due_pipelines_found"`
}

// Trigger fires the slots that are due, of one organisation or of all if org is "": each
// slot that was missed becomes one run, whoever fires it and however often. A slot whose
// run is refused for now (quota, a store that does not answer) is fired again later; one
// that cannot be run at all is recorded as FAILED.
func (q *Queue) Trigger(ctx context.Context, org string, limit int) (Triggered, error) {
	out := Triggered{Details: TriggeredDetails{Limit: limit}}
	now := q.cfg.Now().UTC()
	due, err := q.cfg.Schedules.Due(ctx, org, now, limit)
	if err != nil {
		return out, fmt.Errorf("read the pipelines that are due: %w", err)
	}
	out.Details.Due = len(due)
	var moved []Pipeline
	var firings []Firing
	for _, p := range due {
		fired, next := q.fire(ctx, p, now, &out)
		firings = append(firings, fired...)
		moved = append(moved, next)
		if out.Next == nil || !next.NextRun.IsZero() && next.NextRun.Before(*out.Next) {
			at := next.NextRun
			out.Next = &at
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	if len(moved) == 0 {
		return out, nil
	}
	if err := q.cfg.Schedules.Fired(ctx, moved, firings); err != nil {
		return out, fmt.Errorf("record %d fired slots: %w", len(firings), err)
	}
	if out.Queued > 0 {
		q.nudge()
	}
	return out, nil
}

// fire fires the slots of one pipeline that are due, oldest first, and returns the
// pipeline with its next one.
func (q *Queue) fire(ctx context.Context, p Pipeline, now time.Time, out *Triggered) ([]Firing, Pipeline) {
	s, err := ParseSchedule(p.Cron, p.Timezone)
	if err != nil { // not written by us: it is left until somebody corrects it
		q.cfg.Log.Warn("schedule of a pipeline", "org", p.Org, "config", p.ConfigID, "error", err)
		out.Skipped++
		p.NextRun = now.Add(lookBack)
		return nil, p
	}
	since := p.NextRun.Add(-time.Nanosecond)
	if p.NextRun.IsZero() {
		since = p.Created
	}
	var firings []Firing
	for _, slot := range s.Missed(since, now, lookBack, mostSlots) {
		f, again := q.submit(ctx, p, s, slot, out)
		if again {
			p.NextRun = slot
			return firings, p
		}
		firings = append(firings, f)
		p.LastRun, p.LastStatus = slot, statusOf(f)
	}
	p.NextRun, _ = s.Next(now)
	return firings, p
}

func statusOf(f Firing) string {
	switch {
	case f.Error != "" || f.Run.State.Terminal() && f.Run.State != launcher.Completed:
		return "FAILED"
	case f.Run.State == launcher.Completed:
		return "SUCCESS"
	default:
		return "RUNNING"
	}
}

// submit records the run of a slot. again says that it may be recorded later.
func (q *Queue) submit(ctx context.Context, p Pipeline, s Schedule, slot time.Time, out *Triggered) (f Firing, again bool) {
	template, _ := q.template(p) // one that is gone is refused by Submit
	start, end := s.Dates(slot, template.LookbackDays)
	name := p.Provider + "/" + p.Domain + "/" + p.Template
	r := launcher.Request{
		RunID: SlotRun(p.Org, name, p.Params, slot), Org: p.Org, Provider: p.Provider, Domain: p.Domain, Template: p.Template,
		Start: start, End: end, Params: maps.Clone(p.Params), Trigger: TriggerScheduler, TriggerBy: firedBy, Priority: p.Priority,
	}
	f = Firing{RunID: r.RunID, Pipeline: p, Slot: slot, Tracking: p.Org + "-" + p.Provider + "-" + p.Domain + "-" + p.Template}
	run, existing, err := q.cfg.Launcher.Submit(ctx, r)
	switch {
	case err == nil:
		f.Run = run
		out.Triggered++
		if !existing {
			out.Queued++
		}
		return f, false
	case Transient(err):
		q.cfg.Log.Info("a slot is fired again later", "org", p.Org, "pipeline", name, "slot", slot, "reason", err)
		out.Skipped++
		return f, true
	default:
		q.cfg.Log.Warn("a slot cannot be run", "org", p.Org, "pipeline", name, "slot", slot, "error", err)
		out.Skipped++
		f.Error = err.Error()
		return f, false
	}
}

// Transient reports whether what was refused may be allowed later without anybody
// changing the request.
func Transient(err error) bool {
	var known *launcher.Error
	if !errors.As(err, &known) {
		return true
	}
	switch known.Code {
	case launcher.CodeUnavailable, launcher.CodeInternal, launcher.CodeDailyQuota, launcher.CodeMonthlyQuota, launcher.CodeConcurrentLimit,
		launcher.CodeForbidden, launcher.CodeSubscriptionInactive, launcher.CodeNotConfigured:
		return true
	default:
		return false
	}
}
