package registry

import (
	"maps"
	"slices"
)

// Hook is the kind of what runs when a run has ended; no step waits for it.
const Hook Kind = "hook"

// Notice is a processor that is no part of a graph: it tells people how a run ended.
type Notice struct {
	Spec
	NewConfig func() any // pointer to a fresh config with defaults
}

var notices = map[string]*Notice{}

// RegisterNotice adds a notification. It panics on a second use of a name.
func RegisterNotice[C any](spec Spec, defaults C) {
	if _, dup := notices[spec.Name]; dup || spec.Name == "" {
		panic("registry: name of notification " + spec.Name + " is empty or taken")
	}
	notices[spec.Name] = &Notice{Spec: spec, NewConfig: func() any { c := clone(defaults); return &c }}
}

// LookupNotice finds a notification.
func LookupNotice(name string) (*Notice, bool) {
	n, ok := notices[name]
	return n, ok
}

// NoticeNames returns the names of the notifications, sorted.
func NoticeNames() []string { return slices.Sorted(maps.Keys(notices)) }

type notification struct {
	Trigger string `json:"trigger,omitempty" jsonschema:"enum=on_failure,enum=on_success,enum=on_completion,enum=always,description=Which runs are told of; default on_failure, which means every run that did not complete"`
	Message string `json:"message,omitempty" jsonschema:"description=Free text; braces that are no variable stay"`
	Body    string `json:"body_template,omitempty" jsonschema:"description=Other spelling of message"`
}

type email struct {
	notification
	To          []string `json:"to_emails" jsonschema:"required,minItems=1,description=Recipients; one without a value is left out"`
	CC          []string `json:"cc_emails,omitempty" jsonschema:"description=Copies"`
	BCC         []string `json:"bcc_emails,omitempty" jsonschema:"description=Blind copies"`
	From        string   `json:"from_email,omitempty" jsonschema:"description=Sender; default that of the mail server's settings"`
	Subject     string   `json:"subject,omitempty" jsonschema:"description=Free text"`
	SubjectForm string   `json:"subject_template,omitempty" jsonschema:"description=Other spelling of subject"`
}

type slack struct {
	notification
	WebhookURL      string   `json:"webhook_url,omitempty" jsonschema:"description=Address that is posted to; default that of the organization or of the service"`
	Channel         string   `json:"channel,omitempty" jsonschema:"description=Default that of the webhook"`
	Username        string   `json:"username,omitempty" jsonschema:"description=Sender"`
	IconEmoji       string   `json:"icon_emoji,omitempty" jsonschema:"description=Picture of the sender"`
	MentionUsers    []string `json:"mention_users,omitempty" jsonschema:"description=Ids of users who are called when a run failed"`
	MentionChannels []string `json:"mention_channels,omitempty" jsonschema:"description=Channels that are called when a run failed: here or channel or ids"`
}

func init() {
	RegisterNotice(Spec{Name: "notify_systems.email_notification", Summary: "Sends an e-mail when a run has ended."}, email{})
	RegisterNotice(Spec{Name: "notify_systems.slack_notification", Summary: "Posts to Slack when a run has ended."}, slack{})
}
