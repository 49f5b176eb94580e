package notify_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/notify"
	"github.com/cloudact/convergence/templates"
	"github.com/cloudact/convergence/testing/mailserver"
	"github.com/cloudact/convergence/transforms/source"
)

// desk is a notifier between a mail server and a Slack that record what they get.
type desk struct {
	*notify.Notifier
	mail     *mailserver.Server
	settings notify.Settings
	now      time.Time
	log      bytes.Buffer

	mu      sync.Mutex
	posts   []map[string]any
	answers []int // of Slack, in order; then 200
}

func descriptors(t *testing.T) map[notify.Kind]notify.Descriptor {
	t.Helper()
	out := map[notify.Kind]notify.Descriptor{}
	for _, kind := range []notify.Kind{notify.Email, notify.Slack} {
		text, err := os.ReadFile("../../configs/notify_systems/" + string(kind) + "_notification/config.yml")
		if err != nil {
			t.Fatal(err)
		}
		if out[kind], err = notify.ParseDescriptor(text); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{mail: mailserver.New(t), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	slack := httptest.NewServer(http.HandlerFunc(d.slack))
	t.Cleanup(slack.Close)
	d.settings = notify.Settings{
		Email: &notify.EmailSettings{
			Host: "127.0.0.1", Port: d.mail.Port, Username: "mailer", Password: credentials.NewSecret(mailserver.Password), TLS: true,
			From: "etl@example.com", FromName: "Convergence", To: []string{"ops@example.com"}, SubjectPrefix: "[ETL]", Roots: d.mail.Roots,
		},
		Slack: &notify.SlackSettings{WebhookURL: credentials.NewSecret(slack.URL + "/services/T0/B0/secret"), Channel: "#etl", MentionUsers: []string{"U12345"}},
		Retry: notify.Retry{MaxAttempts: 3, Initial: time.Millisecond, Max: time.Millisecond},
	}
	var err error
	d.Notifier, err = notify.New(notify.Config{
		Settings: func(string) (notify.Settings, error) { return d.settings, nil }, Descriptors: descriptors(t), Templates: templates.Notifications(),
		HTTP: source.Guard{AllowLoopback: true}.Client(5 * time.Second), SlackOrigin: slack.URL, Clock: func() time.Time { return d.now },
		Log: slog.New(slog.NewTextHandler(&d.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) slack(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.answers) > 0 {
		status := d.answers[0]
		d.answers = d.answers[1:]
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "no_service")
		return
	}
	var post map[string]any
	if err := json.NewDecoder(r.Body).Decode(&post); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.posts = append(d.posts, post)
	_, _ = io.WriteString(w, "ok")
}

func (d *desk) posted(t *testing.T) []string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, p := range d.posts {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(p); err != nil {
			t.Fatal(err)
		}
		out = append(out, b.String())
	}
	return out
}

// letter is the one mail that was sent.
func (d *desk) letter(t *testing.T) mailserver.Letter {
	t.Helper()
	all := d.mail.All()
	if len(all) != 1 {
		t.Fatalf("%d mails, want 1", len(all))
	}
	return all[0]
}

func failure(hooks ...notify.Hook) notify.Event {
	start := time.Date(2026, 11, 1, 11, 58, 30, 0, time.UTC)
	return notify.Event{
		Org: "acme", PipelineID: "acme-openai-cost", RunID: "run-1", State: launcher.Failed, Code: "RATE_LIMITED",
		Error: "api.openai.com answered 429 five times", Trigger: "scheduler", From: civil.Date{Year: 2026, Month: 10, Day: 31},
		Start: start, End: start.Add(90 * time.Second), Vars: map[string]string{"admin_email": "ada@example.com"},
		Steps: []notify.Step{{ID: "extract", State: launcher.Failed, Code: "RATE_LIMITED", Error: "api.openai.com answered 429 five times"}, {ID: "price", State: launcher.Skipped}},
		Hooks: hooks,
	}
}

func email(change func(*notify.Hook)) notify.Hook {
	h := notify.Hook{Step: "tell", Kind: notify.Email, To: []string{"{admin_email}"}}
	if change != nil {
		change(&h)
	}
	return h
}

func TestAFailedRunIsToldWithItsReason(t *testing.T) {
	d := newDesk(t)
	e := failure(email(func(h *notify.Hook) {
		h.Subject, h.Message = "{org_slug}: {status} ({{ error_code }}) {unknown}", "Look at {failed_step} of {date}."
		h.CC, h.BCC = []string{"ops@example.com", "{nobody}", "no address"}, []string{"audit@example.com"}
	}), notify.Hook{Step: "slack", Kind: notify.Slack, MentionChannels: []string{"here", "C12345", "<!everyone>"}})
	if err := d.Notify(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got := d.letter(t)
	if got.From != "etl@example.com" || strings.Join(got.To, " ") != "ada@example.com ops@example.com audit@example.com" || !got.Encrypted || got.User != "mailer" {
		t.Errorf("envelope: %+v", got)
	}
	for name, want := range map[string]string{
		"Subject": "[ETL] acme: FAILED (RATE_LIMITED) {unknown}", "From": `"Convergence" <etl@example.com>`, "To": "<ada@example.com>", "Cc": "<ops@example.com>", "Bcc": "",
		"Auto-Submitted": "auto-generated",
	} {
		if value := got.Header(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	plain, html := got.Parts(t)
	for _, text := range []string{"Look at extract of 2026-10-31.", "RATE_LIMITED: api.openai.com answered 429 five times", "1m30s", "price: SKIPPED"} {
		if !strings.Contains(plain, text) {
			t.Errorf("the plain text lacks %q:\n%s", text, plain)
		}
	}
	if !strings.Contains(html, "<td>RATE_LIMITED api.openai.com answered 429 five times</td>") {
		t.Errorf("html:\n%s", html)
	}
	if warnings := d.log.String(); strings.Count(warnings, "recipient left out") != 2 || strings.Contains(warnings, mailserver.Password) {
		t.Errorf("log: %s", warnings)
	}
	posts := d.posted(t)
	if len(posts) != 1 || !strings.Contains(posts[0], "<!here> <#C12345> ") || strings.Contains(posts[0], "everyone") || !strings.Contains(posts[0], "api.openai.com answered 429 five times") || !strings.Contains(posts[0], "#etl") {
		t.Errorf("posts: %s", posts)
	}
}

func TestTriggersTellOutcomesApart(t *testing.T) {
	for state, want := range map[launcher.State]string{
		launcher.Failed: "a d e", launcher.Timeout: "a d e", launcher.Completed: "c d e", launcher.Cancelled: "a d e",
	} {
		d := newDesk(t)
		e := failure()
		e.State = state
		for name, trigger := range map[string]notify.Trigger{"a": notify.OnFailure, "c": notify.OnSuccess, "d": notify.OnCompletion, "e": notify.Always} {
			e.Hooks = append(e.Hooks, email(func(h *notify.Hook) { h.Trigger, h.To = trigger, []string{name + "@example.com"} }))
		}
		if err := d.Notify(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := d.mail.Recipients(); got != want {
			t.Errorf("%s told %q, want %q", state, got, want)
		}
	}
	d := newDesk(t)
	e := failure(email(nil))
	e.State, e.Code, e.Error, e.Alerts = launcher.Completed, "", "", []string{"extract"}
	if err := d.Notify(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if plain, _ := d.letter(t).Parts(t); !strings.Contains(plain, "ended COMPLETED, but step extract failed: api.openai.com answered 429") {
		t.Errorf("an alert says:\n%s", plain)
	}
}

func TestNothingFromOutsideBecomesAHeaderOrMarkup(t *testing.T) {
	d := newDesk(t)
	e := failure(
		email(func(h *notify.Hook) {
			h.Subject, h.To = "{error_message}", []string{"ada@example.com", "x@example.com\r\nBcc: evil@example.com", "{evil}"}
			h.From = "etl@example.com\r\nBcc: evil@example.com"
		}),
		notify.Hook{Step: "slack", Kind: notify.Slack, Message: "{error_message} @channel", Username: "a\nb"},
	)
	e.Error = "<script>alert(1)</script>\r\nBcc: evil@example.com <!channel> <https://evil.example|click> & {admin_email}"
	e.Vars["evil"] = "x@example.com>\r\nRCPT TO:<evil@example.com"
	if err := d.Notify(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got := d.letter(t)
	if strings.Join(got.To, " ") != "ada@example.com" || got.Header("Bcc") != "" || strings.Contains(got.Header("Subject"), "\n") {
		t.Errorf("envelope %v, subject %q", got.To, got.Header("Subject"))
	}
	if _, html := got.Parts(t); strings.Contains(html, "<script>") || !strings.Contains(html, "&lt;script&gt;") || strings.Contains(html, "ada@example.com") {
		t.Errorf("html:\n%s", html)
	}
	post := d.posted(t)[0]
	for _, bad := range []string{"<!channel>", "<https", "<script", "@channel", `"a\nb"`} {
		if strings.Contains(post, bad) {
			t.Errorf("Slack got %q: %s", bad, post)
		}
	}
	if !strings.Contains(post, "<@U12345>") {
		t.Errorf("the mention is missing: %s", post)
	}
}

func TestTransientFailuresAreTriedAgainAndRefusalsAreNot(t *testing.T) {
	d := newDesk(t)
	d.answers = []int{503, 500}
	d.mail.Refuse("451 try later", 2)
	if err := d.Notify(t.Context(), failure(email(nil), notify.Hook{Step: "slack", Kind: notify.Slack})); err != nil {
		t.Fatal(err)
	}
	if len(d.posted(t)) != 1 || d.mail.Count() != 1 {
		t.Errorf("%d posts, %d mails", len(d.posted(t)), d.mail.Count())
	}
	d.now = d.now.Add(time.Hour)
	d.answers = []int{404, 200}
	d.mail.Refuse("550 no such user", 1)
	err := d.Notify(t.Context(), failure(email(nil), notify.Hook{Step: "slack", Kind: notify.Slack}))
	if err == nil || !strings.Contains(err.Error(), "step tell: send mail by 127.0.0.1") || !strings.Contains(err.Error(), "step slack: post to Slack: answered 404 no_service") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	if len(d.posted(t)) != 1 || d.mail.Count() != 1 {
		t.Errorf("a refusal was tried again: %d posts, %d mails", len(d.posted(t)), d.mail.Count())
	}
	d.answers = []int{500, 500, 500}
	if err := d.Notify(t.Context(), failure(notify.Hook{Step: "slack", Kind: notify.Slack})); err == nil || !strings.Contains(err.Error(), "answered 500") {
		t.Errorf("got %v", err)
	}
}

func TestCooldownHoldsBackTheSameKindOnly(t *testing.T) {
	d := newDesk(t)
	d.settings.Triggers = []notify.EventTrigger{{Event: "pipeline_failure", Cooldown: time.Minute}}
	tell := func(change func(*notify.Event)) {
		t.Helper()
		e := failure(email(nil), email(func(h *notify.Hook) { h.To = []string{"second@example.com"} }))
		if change != nil {
			change(&e)
		}
		if err := d.Notify(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	tell(nil) // both hooks of one run are sent
	for range 3 {
		d.now = d.now.Add(time.Second)
		tell(nil)
	}
	if d.mail.Count() != 2 {
		t.Fatalf("%d mails, want 2", d.mail.Count())
	}
	tell(func(e *notify.Event) { e.PipelineID = "acme-other" })
	tell(func(e *notify.Event) { e.Org = "rival" })
	if d.mail.Count() != 6 {
		t.Fatalf("%d mails, want 6", d.mail.Count())
	}
	d.now = d.now.Add(time.Minute)
	tell(nil)
	all := d.mail.All()
	if plain, _ := all[len(all)-1].Parts(t); !strings.Contains(plain, "3 earlier notifications of this kind were held back") || len(all) != 8 {
		t.Errorf("%d mails, the last one:\n%s", len(all), plain)
	}
}

func TestSettingsTellOfEveryPipeline(t *testing.T) {
	d := newDesk(t)
	parsed, err := notify.ParseSettings([]byte(`{"enabled": true, "default_provider": "email",
		"email": {"enabled": true, "smtp_host": "mail.example.com", "from_email": "etl@example.com", "to_emails": ["ops@example.com"]},
		"slack": {"enabled": true, "webhook_url": "https://hooks.slack.com/services/x"},
		"event_triggers": [{"event": "pipeline_failure", "providers": ["both"], "cooldown_seconds": 600}, {"event": "pipeline_success", "enabled": false}],
		"retry_config": {"max_attempts": 5, "initial_delay_seconds": 1, "max_delay_seconds": 9}, "timeout_seconds": 10}`))
	if err != nil || parsed.Email.Port != 587 || !parsed.Email.TLS || len(parsed.Triggers) != 1 || parsed.Triggers[0].Cooldown != 10*time.Minute || parsed.Retry.MaxAttempts != 5 {
		t.Fatalf("%+v, %v", parsed, err)
	}
	d.settings.Triggers = parsed.Triggers
	if err := d.Notify(t.Context(), failure()); err != nil {
		t.Fatal(err)
	}
	if d.mail.Recipients() != "ops" || len(d.posted(t)) != 1 {
		t.Errorf("mails to %q, %d posts", d.mail.Recipients(), len(d.posted(t)))
	}
	d.now = d.now.Add(5 * time.Minute)
	if err := d.Notify(t.Context(), failure()); err != nil || d.mail.Count() != 1 {
		t.Errorf("%d mails, %v", d.mail.Count(), err)
	}
	for text, want := range map[string]string{
		`{"enabled": true, "colour": 1}`:                                              "colour",
		`{"enabled": true, "email": {"enabled": true, "smtp_port": 99}}`:              "smtp_host is missing",
		`{"enabled": true, "slack": {"enabled": true, "webhook_url": "https://x.y"}}`: "must start with https://hooks.slack.com/",
		`{"enabled": true, "timeout_seconds": 1}`:                                     "timeout_seconds",
		`{"enabled": true, "retry_config": {"max_attempts": 11}}`:                     "retry_config",
		`{"enabled": true, "event_triggers": [{"event": "a"}, {"event": "a"}]}`:       "twice",
	} {
		if _, err := notify.ParseSettings([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if s, err := notify.ParseSettings([]byte(`{"email": {"enabled": true}}`)); err != nil || s.Email != nil || s.Off {
		t.Errorf("settings that do not say whether they are enabled: %+v, %v", s, err)
	}
	if s, err := notify.ParseSettings([]byte(`{"enabled": false, "email": {"enabled": true}}`)); err != nil || s.Email != nil || !s.Off {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWithoutAServerAHookSaysWhatToDo(t *testing.T) {
	d := newDesk(t)
	d.settings = notify.Settings{}
	err := d.Notify(t.Context(), failure(email(nil), notify.Hook{Step: "slack", Kind: notify.Slack}))
	if err == nil || !strings.Contains(err.Error(), "EMAIL_SMTP_HOST") || !strings.Contains(err.Error(), "SLACK_WEBHOOK_URL") {
		t.Errorf("got %v", err)
	}
	err = d.Notify(t.Context(), failure(notify.Hook{Step: "slack", Kind: notify.Slack, WebhookURL: "https://evil.example/x"}))
	if err == nil || !strings.Contains(err.Error(), "does not start with") {
		t.Errorf("got %v", err)
	}
}

func TestHooksAreReadFromDocuments(t *testing.T) {
	h, err := notify.ParseHook("tell", "notify_systems.email_notification", []byte(`{"trigger": "always", "to_emails": ["a@b.c"], "subject_template": "s", "message": "m"}`))
	if err != nil || h.Kind != notify.Email || h.Trigger != notify.Always || h.Subject != "s" || h.Message != "m" || len(h.To) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := notify.ParseHook("x", "openai.cost", []byte(`{}`)); err == nil {
		t.Error("a step that is no notification was read as one")
	}
}
