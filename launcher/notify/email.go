package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/wneessen/go-mail"
)

// letter is one mail, ready to be sent.
type letter struct {
	settings EmailSettings
	message  *mail.Msg
}

// mail makes the mail of a hook, or nil when nobody is left to send it to.
func (n *Notifier) mail(e Event, h Hook, s Settings, m message) (*letter, error) {
	if s.Email == nil {
		return nil, errors.New("no mail server is configured: set EMAIL_SMTP_HOST, or email in the organisation's notification settings")
	}
	text, html, err := n.render(m)
	if err != nil {
		return nil, err
	}
	to := n.addresses(e, h.Step, "to_emails", h.To, m.vars)
	if len(to) == 0 {
		n.cfg.Log.Warn("notification not sent: none of its recipients has an address", "org", e.Org, "run_id", e.RunID, "step", h.Step)
		return nil, nil
	}
	msg := mail.NewMsg()
	from, name := s.Email.From, s.Email.FromName
	if own := n.addresses(e, h.Step, "from_email", []string{h.From}, m.vars); len(own) == 1 {
		from = own[0].Address
	}
	if err := msg.FromFormat(oneLine(name, maxSubject), from); err != nil {
		return nil, errors.New("the sender's address is not valid")
	}
	msg.ToMailAddress(to...)
	if cc := n.addresses(e, h.Step, "cc_emails", h.CC, m.vars); len(cc) > 0 {
		msg.CcMailAddress(cc...)
	}
	if bcc := n.addresses(e, h.Step, "bcc_emails", h.BCC, m.vars); len(bcc) > 0 {
		msg.BccMailAddress(bcc...)
	}
	msg.Subject(oneLine(strings.TrimSpace(s.Email.SubjectPrefix+" "+m.Title), maxSubject))
	msg.SetDateWithValue(n.cfg.Clock())
	msg.SetMessageIDWithValue(fmt.Sprintf("%s.%s@convergence", safeID(e.RunID), safeID(h.Step)))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, text)
	msg.AddAlternativeString(mail.TypeTextHTML, html)
	return &letter{settings: *s.Email, message: msg}, nil
}

// addresses fills in recipients and leaves out, with a warning, those without a value and
// those that are no address.
func (n *Notifier) addresses(e Event, step, key string, list []string, vars map[string]string) []*netmail.Address {
	var out []*netmail.Address
	for _, text := range list {
		if text == "" {
			continue
		}
		address, err := netmail.ParseAddress(strings.TrimSpace(fill(text, vars)))
		if err != nil || strings.ContainsAny(address.Address, "\r\n\x00") {
			n.cfg.Log.Warn("recipient left out: it has no value or is no address", "org", e.Org, "run_id", e.RunID, "step", step, "key", key)
			continue
		}
		address.Name = oneLine(address.Name, maxSubject)
		out = append(out, address)
	}
	return out
}

// safeID keeps what may stand in a message id.
func safeID(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, text)
}

// implicitTLS is the port on which TLS starts before SMTP.
const implicitTLS = 465

// send sends the mail once. An error that another attempt would only repeat is permanent.
func (l *letter) send(ctx context.Context) error {
	options := []mail.Option{mail.WithPort(l.settings.Port), mail.WithTimeout(attemptTime(ctx))}
	switch {
	case !l.settings.TLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case l.settings.Port == implicitTLS:
		options = append(options, mail.WithSSL())
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if l.settings.Roots != nil {
		options = append(options, mail.WithTLSConfig(&tls.Config{RootCAs: l.settings.Roots, ServerName: l.settings.Host, MinVersion: tls.VersionTLS12}))
	}
	if l.settings.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(l.settings.Username), mail.WithPassword(l.settings.Password.Reveal()))
	}
	client, err := mail.NewClient(l.settings.Host, options...)
	if err != nil {
		return backoff.Permanent(fmt.Errorf("use mail server %s: %w", l.settings.Host, err))
	}
	err = client.DialAndSendWithContext(ctx, l.message)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("send mail by %s: %w", l.settings.Host, err)
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return backoff.Permanent(err)
	}
	return err
}

func attemptTime(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultTimeout
	}
	return max(time.Until(deadline), time.Second)
}
