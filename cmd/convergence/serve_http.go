package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/launcher"
)

// Bounds of a connection. An answer that takes longer, such as a stream of events, moves
// its own deadline.
const (
	headTimeout  = 10 * time.Second
	readTimeout  = 30 * time.Second
	writeTimeout = 60 * time.Second
	idleTimeout  = 2 * time.Minute
	maxHeader    = 32 << 10
)

func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
}

// httpConfig is what the environment says of the service.
func (a *app) httpConfig(env wiring.Environment, log *slog.Logger) api.Config {
	s := env.Service
	cfg := api.Config{
		Version: version, Environment: env.Name, Now: launcher.Clock, Log: log,
		RootKey: s.RootKey, OpenOrg: s.OpenOrg, NoDocs: s.NoDocs, TrustedProxies: s.TrustedProxies,
		CORS: api.CORS{Origins: s.CORSOrigins, Methods: s.CORSMethods, Headers: s.CORSHeaders, Credentials: s.Credentials},
	}
	if s.Limited {
		cfg.Limits = api.Limits{Address: s.AddressLimit, Global: s.GlobalLimit, Org: s.OrgLimit, Run: s.RunLimit}
	}
	return cfg
}
