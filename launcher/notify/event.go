package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// Event is a run that has ended.
type Event struct {
	Org        string
	PipelineID string
	RunID      string
	State      launcher.State // COMPLETED, FAILED, TIMEOUT or CANCELLED
	Code       string         // of the failure
	Error      string         // why it failed, for people
	Trigger    string         // what started it: api, cli, scheduler
	From, To   civil.Date     // days of the run
	Start, End time.Time
	Steps      []Step
	// Alerts are failed steps that did not fail the run and that people are to hear of.
	Alerts []string
	// Hooks are the notifications of the pipeline.
	Hooks []Hook
	// Vars are further variables of texts and recipients, such as admin_email.
	Vars map[string]string
}

// Step is one step of the run.
type Step struct {
	ID    string
	State launcher.State
	Rows  int64
	Code  string
	Error string
}

// FromRun makes an event of a run with the notifications that were recorded with it. vars
// are further variables of texts. The error tells of hooks that cannot be read; the event
// has the others.
func FromRun(r launcher.Run, vars map[string]string) (Event, error) {
	var hooks []Hook
	var errs []error
	for _, recorded := range r.Hooks {
		h, err := ParseHook(recorded.Step, recorded.Type, recorded.Config)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		hooks = append(hooks, h)
	}
	e := Event{
		Org: r.Org, PipelineID: r.PipelineID, RunID: r.ID, State: r.State, Code: r.Code, Error: r.Error, Trigger: r.Trigger,
		From: r.RunDate, To: r.RunEnd, Start: r.Start, End: r.End, Hooks: hooks, Vars: vars,
	}
	for _, s := range r.Steps {
		e.Steps = append(e.Steps, Step{ID: s.Step, State: s.State, Rows: s.Published, Code: s.Code, Error: s.Error})
		if s.State == launcher.Failed && slices.Contains(r.Alerts, s.Step) {
			e.Alerts = append(e.Alerts, s.Step)
		}
	}
	return e, errors.Join(errs...)
}

// outcome is what triggers tell apart.
type outcome string

const (
	failed    outcome = "failure"
	succeeded outcome = "success"
	stopped   outcome = "cancelled" // by a person, who knows
)

func (e Event) outcome() outcome {
	switch {
	case e.State == launcher.Failed || e.State == launcher.Timeout || len(e.Alerts) > 0:
		return failed
	case e.State == launcher.Completed:
		return succeeded
	default:
		return stopped
	}
}

// event is the outcome as triggers of settings know it: a run that was stopped did not
// succeed.
func (e Event) event() outcome {
	if o := e.outcome(); o != stopped {
		return o
	}
	return failed
}

// summary says in one sentence how the run ended and why.
func (e Event) summary() string {
	text := fmt.Sprintf("Run %s of %s ended %s", e.RunID, e.PipelineID, e.State)
	switch {
	case e.Error != "" && e.Code != "":
		return fmt.Sprintf("%s: %s: %s", text, e.Code, e.Error)
	case e.Error != "":
		return text + ": " + e.Error
	case len(e.Alerts) > 0:
		for _, s := range e.Steps {
			if s.ID == e.Alerts[0] {
				return fmt.Sprintf("%s, but step %s failed: %s", text, s.ID, s.Error)
			}
		}
	}
	return fmt.Sprintf("%s after %s with %d rows", text, e.duration(), e.rows())
}

func (e Event) rows() int64 {
	var sum int64
	for _, s := range e.Steps {
		sum += s.Rows
	}
	return sum
}

func (e Event) duration() time.Duration {
	if e.End.IsZero() || e.Start.IsZero() {
		return 0
	}
	return e.End.Sub(e.Start).Round(time.Second)
}

func (e Event) days() string {
	switch {
	case !e.From.IsValid():
		return "-"
	case !e.To.IsValid() || e.To == e.From:
		return e.From.String()
	default:
		return e.From.String() + " to " + e.To.String()
	}
}

// variables are what texts and recipients may name in braces.
func (e Event) variables() map[string]string {
	vars := map[string]string{}
	for name, value := range e.Vars {
		vars[name] = value
	}
	failedStep := ""
	for _, s := range e.Steps {
		if s.State == launcher.Failed && failedStep == "" {
			failedStep = s.ID
		}
	}
	for name, value := range map[string]string{
		"org_slug": e.Org, "pipeline_id": e.PipelineID, "run_id": e.RunID, "pipeline_logging_id": e.RunID,
		"status": string(e.State), "state": string(e.State), "error_code": e.Code, "error_message": e.Error, "error": e.Error,
		"trigger": e.Trigger, "date": e.days(), "start_time": stamp(e.Start), "end_time": stamp(e.End),
		"duration": e.duration().String(), "rows": fmt.Sprint(e.rows()), "failed_step": failedStep, "summary": e.summary(),
	} {
		vars[name] = value
	}
	return vars
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// fill replaces {name} and {{ name }}. What is no variable stays as it is written, and a
// value is not looked through again.
func fill(text string, vars map[string]string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:open])
		text = text[open:]
		braces, end := "{", "}"
		if strings.HasPrefix(text, "{{") {
			braces, end = "{{", "}}"
		}
		name, rest, closed := strings.Cut(text[len(braces):], end)
		value, known := vars[strings.TrimSpace(name)]
		if !closed || !known {
			b.WriteString(braces)
			text = text[len(braces):]
			continue
		}
		b.WriteString(value)
		text = rest
	}
}
