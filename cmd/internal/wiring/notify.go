package wiring

import (
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/notify"
	"github.com/cloudact/convergence/templates"
)

// slackPatience bounds one request to Slack.
const slackPatience = 30 * time.Second

// Notifier tells people how runs ended. settings are those of an organisation, or of the
// service where it has none.
func (e Environment) Notifier(settings func(org string) (notify.Settings, error), log *slog.Logger) (*notify.Notifier, error) {
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
	return notify.New(notify.Config{
		Settings: settings, Descriptors: descriptors, Templates: templates.Notifications(),
		HTTP: e.guard().Client(slackPatience), Log: log,
	})
}
