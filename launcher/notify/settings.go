package notify

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/launcher/credentials"
)

// Settings are how an organisation, or the whole service, is told. They are read from the
// JSON of notifications.json; see ParseSettings.
type Settings struct {
	Off      bool           // nobody is told, whatever pipelines say
	Email    *EmailSettings // nil: no e-mail
	Slack    *SlackSettings // nil: no Slack
	Triggers []EventTrigger // told of every pipeline, beside its hooks
	Timeout  time.Duration  // of one attempt
	Retry    Retry
}

// EmailSettings say which server sends mails.
type EmailSettings struct {
	Host          string
	Port          int
	Username      string
	Password      credentials.Secret
	TLS           bool // STARTTLS, or TLS from the start on port 465
	From          string
	FromName      string
	To, CC        []string
	SubjectPrefix string
	// Roots, if set, are the authorities that the server's certificate may be of, instead
	// of the system's.
	Roots *x509.CertPool
}

// SlackSettings say where messages go. The URL is a secret: who has it can post.
type SlackSettings struct {
	WebhookURL     credentials.Secret
	Channel        string
	Username       string
	Icon           string
	MentionUsers   []string
	MentionChannel bool
}

// EventTrigger asks for notifications of an event.
type EventTrigger struct {
	Event    string // pipeline_success or pipeline_failure; others are of no run's end
	Kinds    []Kind
	Cooldown time.Duration
	// Otherwise asks only for what no hook of the pipeline tells in the same way.
	Otherwise bool
}

// Retry bounds the attempts of one notification. The zero value is three, after 5 s and
// 10 s.
type Retry struct {
	MaxAttempts int
	Initial     time.Duration
	Max         time.Duration
	Constant    bool // waits do not grow
}

const slackOrigin = "https://hooks.slack.com/"

type settingsJSON struct {
	Enabled         *bool  `json:"enabled"`
	DefaultProvider string `json:"default_provider"`
	Email           struct {
		Enabled       bool     `json:"enabled"`
		Host          string   `json:"smtp_host"`
		Port          int      `json:"smtp_port"`
		Username      string   `json:"smtp_username"`
		Password      string   `json:"smtp_password"`
		UseTLS        *bool    `json:"smtp_use_tls"`
		From          string   `json:"from_email"`
		FromName      string   `json:"from_name"`
		To            []string `json:"to_emails"`
		CC            []string `json:"cc_emails"`
		SubjectPrefix *string  `json:"subject_prefix"`
	} `json:"email"`
	Slack struct {
		Enabled        bool     `json:"enabled"`
		WebhookURL     string   `json:"webhook_url"`
		Channel        string   `json:"channel"`
		Username       string   `json:"username"`
		Icon           string   `json:"icon_emoji"`
		MentionUsers   []string `json:"mention_users"`
		MentionChannel bool     `json:"mention_channel"`
	} `json:"slack"`
	Triggers []struct {
		Event     string   `json:"event"`
		Enabled   *bool    `json:"enabled"`
		Severity  string   `json:"severity"`
		Providers []string `json:"providers"`
		Template  string   `json:"template"`
		Cooldown  int      `json:"cooldown_seconds"`
	} `json:"event_triggers"`
	Retry   *retryJSON `json:"retry_config"`
	Timeout int        `json:"timeout_seconds"`
}

type retryJSON struct {
	MaxAttempts int      `json:"max_attempts" yaml:"max_attempts"`
	Initial     *float64 `json:"initial_delay_seconds" yaml:"initial_delay_seconds"`
	Max         float64  `json:"max_delay_seconds" yaml:"max_delay_seconds"`
	Exponential *bool    `json:"exponential_backoff" yaml:"exponential_backoff"`
}

func (r *retryJSON) read() (Retry, error) {
	if r == nil {
		return Retry{}, nil
	}
	if r.MaxAttempts < 0 || r.MaxAttempts > 10 || r.Max < 0 || r.Initial != nil && *r.Initial < 0 {
		return Retry{}, errors.New("retry_config: 1 to 10 attempts, and no negative delays")
	}
	out := Retry{MaxAttempts: r.MaxAttempts, Max: seconds(r.Max), Constant: r.Exponential != nil && !*r.Exponential}
	if r.Initial != nil {
		out.Initial = seconds(*r.Initial)
	}
	return out, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// ports are those on which mail servers take mails of clients.
var ports = []int{25, 465, 587, 2525}

// ParseSettings reads the settings of an organisation. All mistakes are told at once. Ones
// that do not say whether they are enabled are empty; ones that say that they are not are
// Off.
func ParseSettings(text []byte) (Settings, error) {
	var j settingsJSON
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return Settings{}, fmt.Errorf("read notification settings: %w", err)
	}
	if j.Enabled == nil || !*j.Enabled {
		return Settings{Off: j.Enabled != nil}, nil
	}
	var s Settings
	var errs []error
	s.Timeout = time.Duration(j.Timeout) * time.Second
	if j.Timeout != 0 && (j.Timeout < 5 || j.Timeout > 120) {
		errs = append(errs, errors.New("timeout_seconds must be from 5 to 120"))
	}
	var err error
	if s.Retry, err = j.Retry.read(); err != nil {
		errs = append(errs, err)
	}
	if j.Email.Enabled {
		errs = append(errs, s.readEmail(j))
	}
	if j.Slack.Enabled {
		errs = append(errs, s.readSlack(j))
	}
	errs = append(errs, s.readTriggers(j))
	if err := errors.Join(errs...); err != nil {
		return Settings{}, fmt.Errorf("read notification settings: %w", err)
	}
	return s, nil
}

func (s *Settings) readEmail(j settingsJSON) error {
	e := &EmailSettings{
		Host: j.Email.Host, Port: j.Email.Port, Username: j.Email.Username, Password: credentials.NewSecret(j.Email.Password),
		TLS: true, From: j.Email.From, FromName: "Convergence", To: j.Email.To, CC: j.Email.CC, SubjectPrefix: "[Convergence]",
	}
	if e.Port == 0 {
		e.Port = 587
	}
	if j.Email.UseTLS != nil {
		e.TLS = *j.Email.UseTLS
	}
	if j.Email.FromName != "" {
		e.FromName = j.Email.FromName
	}
	if j.Email.SubjectPrefix != nil {
		e.SubjectPrefix = *j.Email.SubjectPrefix
	}
	s.Email = e
	var errs []error
	if e.Host == "" {
		errs = append(errs, errors.New("email.smtp_host is missing"))
	}
	if !slices.Contains(ports, e.Port) {
		errs = append(errs, fmt.Errorf("email.smtp_port must be one of %v", ports))
	}
	for _, address := range slices.Concat([]string{e.From}, e.To, e.CC) {
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, errors.New("email: from_email, to_emails and cc_emails must be addresses"))
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Settings) readSlack(j settingsJSON) error {
	s.Slack = &SlackSettings{
		WebhookURL: credentials.NewSecret(j.Slack.WebhookURL), Channel: j.Slack.Channel, Username: j.Slack.Username, Icon: j.Slack.Icon,
		MentionUsers: j.Slack.MentionUsers, MentionChannel: j.Slack.MentionChannel,
	}
	if !strings.HasPrefix(j.Slack.WebhookURL, slackOrigin) {
		return fmt.Errorf("slack.webhook_url must start with %s", slackOrigin)
	}
	return nil
}

func (s *Settings) readTriggers(j settingsJSON) error {
	seen := map[string]bool{}
	for _, t := range j.Triggers {
		if seen[t.Event] {
			return fmt.Errorf("event_triggers: %s is there twice", t.Event)
		}
		seen[t.Event] = true
		if t.Enabled != nil && !*t.Enabled {
			continue
		}
		providers := t.Providers
		if len(providers) == 0 {
			providers = []string{j.DefaultProvider}
		}
		out := EventTrigger{Event: t.Event, Cooldown: time.Duration(max(t.Cooldown, 0)) * time.Second}
		for _, name := range providers {
			switch name {
			case "email", "":
				out.Kinds = append(out.Kinds, Email)
			case "slack":
				out.Kinds = append(out.Kinds, Slack)
			case "both":
				out.Kinds = append(out.Kinds, Email, Slack)
			default:
				return fmt.Errorf("event_triggers: provider %q is none of email, slack, both", name)
			}
		}
		s.Triggers = append(s.Triggers, out)
	}
	return nil
}

// Descriptor is what configs/notify_systems says of one kind: the texts where a hook has
// none, and how often it is sent.
type Descriptor struct {
	Subject  string
	Body     string
	Cooldown time.Duration
	Retry    Retry
}

// ParseDescriptor reads a config.yml; keys that only document it are passed over.
func ParseDescriptor(text []byte) (Descriptor, error) {
	var y struct {
		Subject  string     `yaml:"subject_template"`
		Body     string     `yaml:"body_template"`
		Cooldown float64    `yaml:"cooldown_seconds"`
		Retry    *retryJSON `yaml:"retry_config"`
	}
	if err := yaml.Unmarshal(text, &y); err != nil {
		return Descriptor{}, fmt.Errorf("read notification template: %w", err)
	}
	retry, err := y.Retry.read()
	if err != nil {
		return Descriptor{}, fmt.Errorf("read notification template: %w", err)
	}
	if y.Subject == "" || y.Body == "" || y.Cooldown < 0 {
		return Descriptor{}, errors.New("read notification template: subject_template and body_template are needed, and cooldown_seconds is not negative")
	}
	return Descriptor{Subject: y.Subject, Body: y.Body, Cooldown: seconds(y.Cooldown), Retry: retry}, nil
}
