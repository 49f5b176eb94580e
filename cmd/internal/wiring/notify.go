package wiring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	netmail "net/mail"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/launcher/notify"
	"github.com/cloudact/convergence/templates"
)

// Notify is what the environment says of notifications.
type Notify struct {
	Enabled, Email, Slack bool
	Folder                string // of config.json; "" = notifications in the configs folder
	Host                  string // "" = no mail server
	Port                  int
	Username, From        string
	To                    []string
	Channel               string

	password, webhook string
}

func mailAddress(_ *Environment, v string) error {
	if _, err := netmail.ParseAddress(v); err != nil {
		return errors.New("is no mail address")
	}
	return nil
}

func mailAddresses(e *Environment, v string) (err error) {
	if e.Notify.To, err = words(v); err != nil {
		return err
	}
	for _, to := range e.Notify.To {
		if mailAddress(e, to) != nil {
			return fmt.Errorf("holds %q, which is no mail address", to)
		}
	}
	return nil
}

// slackPatience bounds one request to Slack.
const slackPatience = 30 * time.Second

// Notifier tells people how runs ended, by the settings of an organisation or else of the
// service.
func (e Environment) Notifier(log *slog.Logger) (*notify.Notifier, error) {
	descriptors := map[notify.Kind]notify.Descriptor{}
	for _, kind := range []notify.Kind{notify.Email, notify.Slack} {
		name := "notify_systems/" + string(kind) + "_notification/config.yml"
		text, err := fs.ReadFile(configs.Shipped(), name)
		if err != nil {
			return nil, fmt.Errorf("read notification template: %w", err)
		}
		if descriptors[kind], err = notify.ParseDescriptor(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	origin, err := e.slackOrigin()
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Config{
		Settings: e.NotifySettings, Descriptors: descriptors, Templates: templates.Notifications(),
		HTTP: e.guard().Client(slackPatience), SlackOrigin: origin, Log: log,
	})
}

// Ended tells of a run that has ended. The error says that ctx ended first; whatever else
// goes wrong is logged, because no run fails for it. email returns the address of an
// organisation's administrator.
func (e Environment) Ended(n *notify.Notifier, email func(ctx context.Context, org string) (string, error), log *slog.Logger) func(context.Context, launcher.Run) error {
	return func(ctx context.Context, r launcher.Run) error {
		if !e.Notify.Enabled {
			return nil
		}
		vars := map[string]string{}
		if admin, err := email(ctx, r.Org); err != nil {
			log.Warn("find the administrator of an organisation", "org", r.Org, "error", err)
		} else if admin != "" {
			vars["admin_email"] = admin
		}
		event, err := notify.FromRun(r, vars)
		err = errors.Join(err, n.Notify(ctx, event))
		if ctx.Err() != nil {
			return fmt.Errorf("notify of run %s: %w", r.ID, ctx.Err())
		}
		if err != nil {
			log.Warn("a notification was not sent", "run", r.ID, "org", r.Org, "error", err)
		}
		return nil
	}
}

// slackOrigin is where the service's own webhook is.
func (e Environment) slackOrigin() (string, error) {
	if e.Notify.webhook == "" {
		return "", nil
	}
	u, err := url.Parse(e.Notify.webhook)
	if err != nil || u.Host == "" {
		return "", errors.New("environment: SLACK_WEBHOOK_URL is no URL")
	}
	loopback := net.ParseIP(u.Hostname()).IsLoopback() && e.Name == "development"
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return "", errors.New("environment: SLACK_WEBHOOK_URL must be https")
	}
	return u.Scheme + "://" + u.Host + "/", nil
}

// NotifySettings are those of an organisation: its notifications.json in the configs
// folder, else config.json of the service, else the environment.
func (e Environment) NotifySettings(org string) (notify.Settings, error) {
	for _, name := range e.notifyFiles(org) {
		text, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return notify.Settings{}, fmt.Errorf("read notification settings: %w", err)
		}
		s, err := notify.ParseSettings(text)
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		if s.Off || s.Email != nil || s.Slack != nil { // else they say nothing
			return s, nil
		}
	}
	return e.Notify.settings(), nil
}

func (e Environment) notifyFiles(org string) []string {
	var out []string
	if e.ConfigsDir != "" && org != "" {
		out = append(out, filepath.Join(e.ConfigsDir, "orgs", org, "notifications.json"), filepath.Join(e.ConfigsDir, org, "notifications.json"))
	}
	switch {
	case e.Notify.Folder != "":
		out = append(out, filepath.Join(e.Notify.Folder, "config.json"))
	case e.ConfigsDir != "":
		out = append(out, filepath.Join(e.ConfigsDir, "notifications", "config.json"))
	}
	return out
}

func (n Notify) settings() notify.Settings {
	var s notify.Settings
	failure := notify.EventTrigger{Event: "pipeline_failure", Otherwise: true}
	if n.Email && n.Host != "" && n.From != "" {
		s.Email = &notify.EmailSettings{
			Host: n.Host, Port: n.Port, Username: n.Username, Password: credentials.NewSecret(n.password), TLS: true,
			From: n.From, FromName: "Convergence", To: n.To, SubjectPrefix: "[Convergence]",
		}
		if len(n.To) > 0 {
			failure.Kinds = append(failure.Kinds, notify.Email)
		}
	}
	if n.Slack && n.webhook != "" {
		s.Slack = &notify.SlackSettings{WebhookURL: credentials.NewSecret(n.webhook), Channel: n.Channel}
		failure.Kinds = append(failure.Kinds, notify.Slack)
	}
	if len(failure.Kinds) > 0 {
		s.Triggers = []notify.EventTrigger{failure}
	}
	return s
}

// Unreachable says why nobody would hear of a notification of that type; "" when somebody
// would.
func (e Environment) Unreachable(org, hook string) string {
	if !e.Notify.Enabled {
		return "NOTIFICATIONS_ENABLED is false"
	}
	s, err := e.NotifySettings(org)
	switch {
	case err != nil:
		return err.Error()
	case s.Off:
		return `the notification settings of the organisation say "enabled": false`
	case hook == "notify_systems.email_notification" && s.Email == nil:
		return "no mail server is configured here; set EMAIL_SMTP_HOST and EMAIL_FROM_ADDRESS, or email in the organisation's notifications.json"
	default: // a Slack hook may have a webhook of its own
		return ""
	}
}
