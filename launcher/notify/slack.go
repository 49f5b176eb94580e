package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher/credentials"
)

// Ids of Slack that may be mentioned; anything else could be markup.
var (
	userRE    = regexp.MustCompile(`^[UW][A-Z0-9]{2,20}$`)
	channelRE = regexp.MustCompile(`^[CG][A-Z0-9]{2,20}$`)
)

// posting is one message to a webhook, ready to be sent.
type posting struct {
	http Doer
	url  credentials.Secret
	body []byte
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type   string      `json:"type"`
	Text   *slackText  `json:"text,omitempty"`
	Fields []slackText `json:"fields,omitempty"`
}

type slackAttachment struct {
	Color  string       `json:"color"`
	Blocks []slackBlock `json:"blocks"`
}

type slackPayload struct {
	Text        string            `json:"text"`
	Blocks      []slackBlock      `json:"blocks"`
	Attachments []slackAttachment `json:"attachments"`
	Channel     string            `json:"channel,omitempty"`
	Username    string            `json:"username,omitempty"`
	Icon        string            `json:"icon_emoji,omitempty"`
}

// The longest texts that Slack takes, less a margin for escapes.
const (
	maxHeader  = 140
	maxSection = 2500
	maxField   = 1800
)

// post makes the message of a hook.
func (n *Notifier) post(e Event, h Hook, s Settings, m message) (*posting, error) {
	own := SlackSettings{}
	if s.Slack != nil {
		own = *s.Slack
	}
	webhook := h.WebhookURL
	if webhook == "" {
		webhook = own.WebhookURL.Reveal()
	}
	if webhook == "" {
		return nil, errors.New("no Slack webhook is configured: set SLACK_WEBHOOK_URL, webhook_url, or slack in the organisation's notification settings")
	}
	if !strings.HasPrefix(webhook, slackOrigin) && (n.cfg.SlackOrigin == "" || !strings.HasPrefix(webhook, n.cfg.SlackOrigin)) {
		return nil, fmt.Errorf("the webhook URL does not start with %s", slackOrigin)
	}
	body, err := json.Marshal(slackPayload{
		Text: escape(m.Title, maxSection), Blocks: blocks(m, mentions(e, h, own)),
		Attachments: []slackAttachment{{Color: m.Colour, Blocks: details(m)}},
		Channel:     first(h.Channel, own.Channel), Username: first(h.Username, own.Username), Icon: first(h.Icon, own.Icon),
	})
	if err != nil {
		return nil, fmt.Errorf("make Slack message: %w", err)
	}
	return &posting{http: n.cfg.HTTP, url: credentials.NewSecret(webhook), body: body}, nil
}

// blocks hold texts from outside as plain text only; markup is there for mentions alone.
func blocks(m message, mentions string) []slackBlock {
	out := []slackBlock{{Type: "header", Text: &slackText{"plain_text", escape(m.Title, maxHeader)}}}
	if mentions != "" {
		out = append(out, slackBlock{Type: "section", Text: &slackText{"mrkdwn", mentions}})
	}
	return append(out, slackBlock{Type: "section", Text: &slackText{"plain_text", escape(m.Message, maxSection)}})
}

func first(a, b string) string {
	if a != "" {
		return oneLine(a, maxHeader)
	}
	return oneLine(b, maxHeader)
}

// mentions calls people when a run failed; others may read when they like.
func mentions(e Event, h Hook, own SlackSettings) string {
	if e.outcome() != failed {
		return ""
	}
	var b strings.Builder
	users, channels := h.MentionUsers, h.MentionChannels
	if len(users)+len(channels) == 0 {
		users = own.MentionUsers
		if own.MentionChannel {
			channels = []string{"channel"}
		}
	}
	for _, id := range users {
		if userRE.MatchString(id) {
			b.WriteString("<@" + id + "> ")
		}
	}
	for _, id := range channels {
		switch {
		case id == "here" || id == "channel":
			b.WriteString("<!" + id + "> ")
		case channelRE.MatchString(id):
			b.WriteString("<#" + id + "> ")
		}
	}
	return b.String()
}

func details(m message) []slackBlock {
	fields := []slackText{}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, slackText{"plain_text", name + "\n" + escape(value, maxField)})
		}
	}
	add("Pipeline", m.Event.PipelineID)
	add("Organization", m.Event.Org)
	add("Run", m.Event.RunID)
	add("State", string(m.Event.State))
	add("Code", m.Event.Code)
	add("Reason", m.Event.Error)
	add("Days", m.Days)
	add("Duration", m.Duration.String())
	if m.Held > 0 {
		add("Held back", fmt.Sprintf("%d earlier notifications of this kind", m.Held))
	}
	return []slackBlock{{Type: "section", Fields: fields}}
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escape makes a text safe where Slack looks for markup: no links, and no mentions, of
// which those by name are parted by an invisible joiner.
func escape(text string, most int) string {
	text = strings.ToValidUTF8(text, "?")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	return strings.ReplaceAll(escapes.Replace(text), "@", "@\u2060")
}

// send posts the message once. Errors do not name the URL, which is a secret.
func (p *posting) send(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.Reveal(), bytes.NewReader(p.body))
	if err != nil {
		return backoff.Permanent(errors.New("the webhook URL cannot be read"))
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := p.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("post to Slack: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	switch {
	case err != nil:
		return fmt.Errorf("post to Slack: the answer broke off: %w", err)
	case resp.StatusCode == http.StatusOK && strings.TrimSpace(string(answer)) == "ok":
		return nil
	case resp.StatusCode == http.StatusTooManyRequests:
		if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after > 0 && time.Duration(after)*time.Second <= longestWait {
			return fmt.Errorf("post to Slack: answered 429: %w", &backoff.RetryAfterError{Duration: time.Duration(after) * time.Second})
		}
		return errors.New("post to Slack: answered 429")
	case resp.StatusCode >= 500:
		return fmt.Errorf("post to Slack: answered %d", resp.StatusCode)
	default:
		return backoff.Permanent(fmt.Errorf("post to Slack: answered %d %s", resp.StatusCode, oneLine(string(answer), 100)))
	}
}

// longestWait is the longest that Slack may ask to wait.
const longestWait = 5 * time.Minute
