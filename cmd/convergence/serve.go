package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/store"
)

const (
	keysFile  = "keys.json"
	stopGrace = 20 * time.Second
)

type serveFlags struct {
	addr  string
	local bool
	orgs  []string
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the service: launch and watch runs over REST",
		Long:  "With --local the service uses the embedded BigQuery and KMS of --data-dir, seeds development\norganisations and keeps their API keys in keys.json there.",
		Example: "  convergence serve --local --org acme --org globex\n" +
			"  curl -H \"X-API-Key: $(jq -r .acme .convergence/keys.json)\" http://127.0.0.1:8001/api/v1/pipelines/runs",
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), f) },
	}
	c.Flags().StringVar(&f.addr, "addr", a.env.Service.Addr, "address to listen on; port 0 = a free one")
	c.Flags().BoolVar(&f.local, "local", false, "use the embedded warehouse and seed development organisations")
	c.Flags().StringArrayVar(&f.orgs, "org", []string{defaultOrg}, "organisation to seed with --local; repeatable")
	return c
}

func (a *app) serve(ctx context.Context, f serveFlags) error {
	if err := errors.Join(a.checkServe(f), checkProduction(a.env)); err != nil {
		return err
	}
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	// Before anything is started for a service whose address is taken.
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }()
	a.metrics = api.NewMetrics()
	a.env.Calls = a.metrics.WarehouseCall
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	s, err := openStore(ctx, w, catalog)
	if err != nil {
		return err
	}
	if f.local {
		if err := a.seed(ctx, w, s, f.orgs); err != nil {
			return err
		}
	}
	return a.answer(ctx, w, s, catalog, listener)
}

func (a *app) checkServe(f serveFlags) error {
	switch {
	case f.local && a.env.Production():
		return errors.New("--local is refused when ENVIRONMENT=production: it seeds organisations and keys")
	case !f.local && a.env.Embedded():
		return errors.New("no warehouse is configured: set GCP_PROJECT_ID, or use --local")
	case f.local && !a.env.Embedded():
		return errors.New("--local uses the embedded warehouse, but the environment names another: unset GCP_PROJECT_ID and CONVERGENCE_BIGQUERY_ENDPOINT")
	}
	for _, org := range f.orgs {
		if err := checkOrg(org); err != nil {
			return err
		}
	}
	return nil
}

// seed adds development organisations; their keys are made once and kept.
func (a *app) seed(ctx context.Context, w *warehouse, s *store.Store, orgs []string) error {
	path := filepath.Join(a.dataDir, keysFile)
	keys := map[string]string{}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &keys)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, org := range orgs {
		if keys[org] == "" {
			keys[org] = org + "_api_" + rand.Text()
		}
		sum := sha256.Sum256([]byte(keys[org]))
		err := s.SeedDevelopment(ctx, store.DevelopmentOrg{
			Slug: org, Company: org, AdminEmail: "admin@" + org + ".example", KeyHash: hex.EncodeToString(sum[:]), Env: w.env.Suffix(),
		})
		if err != nil {
			return err
		}
	}
	b, err = json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return fmt.Errorf("encode keys: %w", err)
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return os.Rename(temp, path)
}

// answer serves until ctx ends.
func (a *app) answer(ctx context.Context, w *warehouse, s *store.Store, catalog *configs.Catalog, listener net.Listener) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	log := a.serviceLogger()
	p, err := a.assemble(w, s, catalog, []string{exe, "job"}, log)
	if err != nil {
		return err
	}
	defer p.close()
	go p.work(ctx)
	if addr := w.env.Service.DebugAddr; addr != "" {
		if err := serveDebug(ctx, addr, p.metrics.Handler(), log); err != nil {
			return err
		}
	}
	cfg := p.config()
	stopBatches, err := p.startBatches(ctx, &cfg)
	if err != nil {
		return err
	}
	defer stopBatches()
	handler, closeTraces, err := traced(ctx, w.env, api.New(cfg), log)
	if err != nil {
		return err
	}
	defer closeTraces()
	server := newServer(handler)
	fmt.Fprintf(a.out, "listening on http://%s\n", listener.Addr())
	if w.local != nil {
		fmt.Fprintf(a.out, "API keys of the development organisations are in %s\n", filepath.Join(a.dataDir, keysFile))
		go func() {
			err := w.local.Watch(ctx)
			if ctx.Err() == nil {
				log.Error("watch the embedded warehouse", "error", err)
			}
		}()
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		p.stopping.Store(true)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			log.Warn("shut down", "error", err)
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	<-drained // Serve returns when Shutdown begins: requests that are under way need the parts
	return nil
}
