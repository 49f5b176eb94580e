package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store"
	"github.com/cloudact/convergence/local/daemon"
)

// warehouse is an open warehouse: the embedded one of the data directory, or the one
// that the environment names.
type warehouse struct {
	*wiring.Clients
	env   wiring.Environment // with the endpoints in use
	local *daemon.Client     // nil unless embedded
}

// errNotEmbedded is the answer of a binary that was built with the tag noembedded.
var errNotEmbedded = errors.New("no warehouse is configured, and this binary is built without the embedded one: set GCP_PROJECT_ID")

// open connects to the warehouse in use and starts the embedded one if it is that.
func (a *app) open(ctx context.Context) (*warehouse, error) {
	w := &warehouse{env: a.env}
	if a.env.Embedded() {
		if !embedded {
			return nil, errNotEmbedded
		}
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		w.local, err = daemon.Ensure(ctx, daemon.EnsureOptions{
			Dir: a.dataDir, Command: []string{exe, "local", "--daemon", "--data-dir", a.dataDir},
			Env: a.env.JobEnviron(), // not ours: a secret may stand in it, and the server outlives this process
		})
		if err != nil {
			return nil, fmt.Errorf("start the embedded warehouse: %w", err)
		}
		w.env.BigQueryEndpoint, w.env.KMSEndpoint = w.local.BigQueryURL, w.local.KMSAddr
	}
	clients, err := w.env.Connect(ctx)
	if err != nil {
		return nil, errors.Join(err, w.release())
	}
	w.Clients = clients
	return w, nil
}

// teller tells people how runs ended.
func (w *warehouse) teller(s *store.Store, log *slog.Logger) (func(context.Context, launcher.Run) error, error) {
	n, err := w.env.Notifier(log)
	if err != nil {
		return nil, err
	}
	accounts := store.NewAccounts(s)
	return w.env.Ended(n, func(ctx context.Context, org string) (string, error) {
		account, _, err := accounts.Account(ctx, org)
		return account.AdminEmail, err
	}, log), nil
}

func (w *warehouse) release() error {
	if w.local == nil {
		return nil
	}
	return w.local.Close()
}

// close gives the warehouse up; the embedded one leaves by itself later.
func (w *warehouse) close() {
	_ = errors.Join(w.Close(), w.release())
}

func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// serviceLogger logs JSON lines at the level of the environment.
func (a *app) serviceLogger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.env.LogLevel)); err != nil {
		level = slog.LevelInfo // the environment has been checked
	}
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
}
