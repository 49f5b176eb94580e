package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Doer sends requests; it decides which addresses may be reached.
type Doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// Config wires a Notifier. Settings, Descriptors, Templates and HTTP are required.
type Config struct {
	// Settings are those of an organisation, or of the service where it has none.
	Settings func(org string) (Settings, error)
	// Descriptors are those of configs/notify_systems, by kind.
	Descriptors map[Kind]Descriptor
	// Templates holds run.txt and run.html.
	Templates fs.FS
	HTTP      Doer
	// SlackOrigin is what webhook URLs may start with beside Slack's own; empty is nothing.
	SlackOrigin string
	Clock       func() time.Time // nil is time.Now
	Log         *slog.Logger     // nil discards
}

// Notifier tells people. It is safe for concurrent use.
type Notifier struct {
	cfg  Config
	text *texttemplate.Template
	html *htmltemplate.Template

	mu   sync.Mutex
	last map[quiet]sent
}

// quiet is what a cooldown is kept for.
type quiet struct {
	org, pipeline string
	kind          Kind
	outcome       outcome
}

type sent struct {
	at   time.Time
	held int
}

// maxQuiet bounds the memory of cooldowns; beyond it old ones are forgotten.
const maxQuiet = 10_000

// defaultTimeout bounds one attempt.
const defaultTimeout = 30 * time.Second

// New returns a notifier, or what is wrong with a template.
func New(cfg Config) (*Notifier, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Notifier{cfg: cfg, last: map[quiet]sent{}}
	var err error
	if n.text, err = texttemplate.ParseFS(cfg.Templates, "run.txt"); err != nil {
		return nil, fmt.Errorf("read notification template: %w", err)
	}
	if n.html, err = htmltemplate.ParseFS(cfg.Templates, "run.html"); err != nil {
		return nil, fmt.Errorf("read notification template: %w", err)
	}
	for _, kind := range []Kind{Email, Slack} {
		if cfg.Descriptors[kind].Subject == "" {
			return nil, fmt.Errorf("read notification template: there is none of %s", kind)
		}
	}
	return n, nil
}

// Notify tells of a run that has ended: the hooks of its pipeline that want to know, and
// the triggers of the organisation's settings. Call it once a run. Hooks do not depend on
// each other; the error joins what went wrong with each.
func (n *Notifier) Notify(ctx context.Context, e Event) error {
	settings, err := n.cfg.Settings(e.Org)
	if err != nil {
		return fmt.Errorf("notify of run %s: %w", e.RunID, err)
	}
	if settings.Off {
		n.cfg.Log.Info("notification not sent: the settings of the organisation switch them off", "org", e.Org, "run_id", e.RunID)
		return nil
	}
	var errs []error
	held := map[Kind]int{}
	open := map[Kind]bool{}
	for _, h := range n.wanted(e, settings) {
		if _, asked := open[h.Kind]; !asked {
			held[h.Kind], open[h.Kind] = n.admit(e, h.Kind, settings)
		}
		if !open[h.Kind] {
			continue
		}
		if err := n.send(ctx, e, h, settings, held[h.Kind]); err != nil {
			errs = append(errs, fmt.Errorf("notify of run %s, step %s: %w", e.RunID, h.Step, err))
			continue
		}
		n.done(e, h.Kind)
	}
	return errors.Join(errs...)
}

// wanted returns the hooks that the run's end is of interest to.
func (n *Notifier) wanted(e Event, s Settings) []Hook {
	var hooks []Hook
	for _, h := range e.Hooks {
		if h.Trigger.wants(e.outcome()) {
			hooks = append(hooks, h)
		}
	}
	for _, t := range s.Triggers {
		if t.Event != "pipeline_"+string(e.event()) {
			continue
		}
		for _, kind := range t.Kinds {
			if t.Otherwise && slices.ContainsFunc(hooks, func(h Hook) bool { return h.Kind == kind }) {
				continue
			}
			if kind == Email && s.Email == nil || kind == Slack && s.Slack == nil {
				continue
			}
			h := Hook{Step: t.Event, Kind: kind}
			if kind == Email {
				h.To, h.CC = s.Email.To, s.Email.CC
			}
			hooks = append(hooks, h)
		}
	}
	return hooks
}

// admit reports whether a notification may be sent now, and how many were held back since
// the last one.
func (n *Notifier) admit(e Event, kind Kind, s Settings) (held int, ok bool) {
	cooldown := n.cfg.Descriptors[kind].Cooldown
	for _, t := range s.Triggers {
		if t.Event == "pipeline_"+string(e.event()) && t.Cooldown > cooldown {
			cooldown = t.Cooldown
		}
	}
	key := quiet{e.Org, e.PipelineID, kind, e.outcome()}
	n.mu.Lock()
	defer n.mu.Unlock()
	before, known := n.last[key]
	if known && n.cfg.Clock().Sub(before.at) < cooldown {
		before.held++
		n.last[key] = before
		n.cfg.Log.Info("notification held back", "org", e.Org, "pipeline_id", e.PipelineID, "run_id", e.RunID, "kind", kind, "cooldown", cooldown)
		return 0, false
	}
	return before.held, true
}

func (n *Notifier) done(e Event, kind Kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.last) >= maxQuiet {
		for key, s := range n.last {
			if n.cfg.Clock().Sub(s.at) > n.cfg.Descriptors[key.kind].Cooldown {
				delete(n.last, key)
			}
		}
	}
	n.last[quiet{e.Org, e.PipelineID, kind, e.outcome()}] = sent{at: n.cfg.Clock()}
}

// send makes the notification and tries until it is sent, refused or out of attempts.
func (n *Notifier) send(ctx context.Context, e Event, h Hook, s Settings, held int) error {
	m := n.message(e, h, held)
	attempt := func(context.Context) error { return fmt.Errorf("%q is no kind of notification", h.Kind) }
	switch h.Kind {
	case Email:
		mail, err := n.mail(e, h, s, m)
		if err != nil || mail == nil {
			return err
		}
		attempt = mail.send
	case Slack:
		post, err := n.post(e, h, s, m)
		if err != nil {
			return err
		}
		attempt = post.send
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	r := s.Retry.or(n.cfg.Descriptors[h.Kind].Retry)
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval, waits.Multiplier = r.Initial, r.Max, 2
	if r.Constant {
		waits.Multiplier, waits.RandomizationFactor = 1, 0
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		once, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return struct{}{}, attempt(once)
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(uint(r.MaxAttempts)), backoff.WithMaxElapsedTime(0))
	return err
}

// or fills what is not set, from other and then the defaults.
func (r Retry) or(other Retry) Retry {
	if r == (Retry{}) {
		r = other
	}
	if r.MaxAttempts < 1 {
		r.MaxAttempts = 3
	}
	if r.Initial == 0 {
		r.Initial = 5 * time.Second
	}
	if r.Max == 0 {
		r.Max = 5 * time.Minute
	}
	return r
}

// message is what a notification says, whatever carries it.
type message struct {
	Event                  Event
	Title, Message, Colour string
	Days, Started          string
	Duration               time.Duration
	Held                   int
	vars                   map[string]string
}

// The colours of outcomes.
var colours = map[outcome]string{failed: "#c62828", succeeded: "#36a64f", stopped: "#ff9900"}

func (n *Notifier) message(e Event, h Hook, held int) message {
	d := n.cfg.Descriptors[h.Kind]
	subject, body := h.Subject, h.Message
	if subject == "" {
		subject = d.Subject
	}
	if body == "" {
		body = d.Body
	}
	vars := e.variables()
	m := message{
		Event: e, Title: oneLine(fill(subject, vars), maxSubject), Message: fill(body, vars), Colour: colours[e.outcome()],
		Days: e.days(), Started: stamp(e.Start), Duration: e.duration(), Held: held, vars: vars,
	}
	// A message of a pipeline says what its author thought of; why a run failed is told anyway.
	if e.outcome() == failed && e.Error != "" && !strings.Contains(m.Message, e.Error) {
		m.Message += "\n\n" + e.summary()
	}
	return m
}

func (n *Notifier) render(m message) (text, html string, err error) {
	var t, h bytes.Buffer
	if err := n.text.Execute(&t, m); err != nil {
		return "", "", fmt.Errorf("make notification: %w", err)
	}
	if err := n.html.Execute(&h, m); err != nil {
		return "", "", fmt.Errorf("make notification: %w", err)
	}
	return t.String(), h.String(), nil
}

const maxSubject = 200

// oneLine makes a text fit for a header: one line, without control characters, bounded.
func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
