package notify

import (
	"encoding/json"
	"fmt"
)

// Kind is a way to tell people.
type Kind string

// The kinds; a hook's ps_type is notify_systems.{kind}_notification.
const (
	Email Kind = "email"
	Slack Kind = "slack"
)

// Trigger says of which runs a hook tells.
type Trigger string

// The triggers. OnFailure wants every run that did not complete: failed, timed out, lost
// or cancelled.
const (
	OnFailure    Trigger = "on_failure"
	OnSuccess    Trigger = "on_success"
	OnCompletion Trigger = "on_completion"
	Always       Trigger = "always"
)

func (t Trigger) wants(o outcome) bool {
	switch t {
	case OnFailure, "":
		return o != succeeded
	case OnSuccess:
		return o == succeeded
	default:
		return true
	}
}

// Hook is one notification of a pipeline. Texts and recipients may hold variables of the
// run in braces.
type Hook struct {
	Step    string // id
	Kind    Kind
	Trigger Trigger `json:"trigger"` // empty is on_failure
	Subject string  `json:"subject"` // empty takes the descriptor's
	Message string  `json:"message"` // empty takes the descriptor's

	To   []string `json:"to_emails"`
	CC   []string `json:"cc_emails"`
	BCC  []string `json:"bcc_emails"`
	From string   `json:"from_email"`

	WebhookURL      string   `json:"webhook_url"` // empty takes the organisation's
	Channel         string   `json:"channel"`
	Username        string   `json:"username"`
	Icon            string   `json:"icon_emoji"`
	MentionUsers    []string `json:"mention_users"`    // ids; called when a run failed
	MentionChannels []string `json:"mention_channels"` // here, channel, or ids
}

// ParseHook reads the config of a notification step.
func ParseHook(step, kind string, config json.RawMessage) (Hook, error) {
	h := Hook{Step: step}
	switch kind {
	case "notify_systems.email_notification":
		h.Kind = Email
	case "notify_systems.slack_notification":
		h.Kind = Slack
	default:
		return Hook{}, fmt.Errorf("step %s: %s is no notification", step, kind)
	}
	var other struct {
		Subject string `json:"subject_template"`
		Body    string `json:"body_template"`
	}
	for _, to := range []any{&h, &other} {
		if err := json.Unmarshal(config, to); err != nil {
			return Hook{}, fmt.Errorf("step %s: read notification: %w", step, err)
		}
	}
	if h.Subject == "" {
		h.Subject = other.Subject
	}
	if h.Message == "" {
		h.Message = other.Body
	}
	return h, nil
}
