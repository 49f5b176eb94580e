package source

import (
	"context"
	"strings"
	"sync/atomic"
)

// Secrets opens the credential of an organisation for a provider. Implementations must
// be safe for concurrent use. The secret is used in requests and kept nowhere else; the
// text of an error is not shown to anybody.
type Secrets interface {
	Resolve(ctx context.Context, org, provider string) (string, error)
}

// wiring is what the main program knows and a pipeline graph must not carry.
type wiring struct {
	secrets   Secrets
	origins   func(provider string) string
	overrides map[string]string
	providers func(secretKey string) string
	guard     Guard
}

var wired atomic.Pointer[wiring]

func current() wiring {
	if w := wired.Load(); w != nil {
		return *w
	}
	return wiring{}
}

func rewire(change func(*wiring)) {
	w := current()
	change(&w)
	wired.Store(&w)
}

// UseSecrets sets where DoFns get credentials. Call it before a pipeline is run, in
// every process that runs one. Without it every request that needs a credential fails.
func UseSecrets(s Secrets) { rewire(func(w *wiring) { w.secrets = s }) }

// UseOrigins sets the base URL of each provider's API ("https://api.openai.com", with or
// without a trailing "/v1"); the function returns "" for a provider that it does not
// know. It must be safe for concurrent use.
func UseOrigins(origins func(provider string) string) {
	rewire(func(w *wiring) { w.origins = origins })
}

// UseOriginOverrides replaces default base URLs inside literal URLs of pipelines: key is
// a provider's default base URL, value the one in force, with or without the "/v1" with
// which what follows the key begins. Equal pairs change nothing.
func UseOriginOverrides(overrides map[string]string) {
	rewire(func(w *wiring) { w.overrides = overrides })
}

// UseContextKeys sets how `auth.secret_key` names a provider: the function returns the
// provider whose context key equals its argument, "" for none. It is needed where
// pipelines are built, not where they run.
func UseContextKeys(providers func(secretKey string) string) {
	rewire(func(w *wiring) { w.providers = providers })
}

// UseGuard sets what addresses requests may reach. The zero Guard is the strict one.
func UseGuard(g Guard) { rewire(func(w *wiring) { w.guard = g }) }

// address returns the URL that a partition's target stands for: a path is appended to
// the provider's origin, a literal URL follows the override of its base URL.
func (w wiring) address(provider, target string) (string, error) {
	if !strings.HasPrefix(target, "/") {
		return w.override(target), nil
	}
	origin := ""
	if w.origins != nil {
		origin = strings.TrimRight(w.origins(provider), "/")
	}
	if origin == "" {
		return "", failf(codeConfig, "no API base URL is configured for provider %s: set api_base_url in system/providers.yml", provider)
	}
	return join(origin, target), nil
}

// join appends a path to a base URL that may already end with the path's first part, the
// version of the API.
func join(base, path string) string {
	if version, _, found := strings.Cut(strings.TrimPrefix(path, "/"), "/"); found && strings.HasPrefix(path, "/") {
		base = strings.TrimSuffix(base, "/"+version)
	}
	return base + path
}

func (w wiring) override(target string) string {
	best := ""
	for base := range w.overrides {
		trimmed := strings.TrimRight(base, "/")
		rest, found := strings.CutPrefix(target, trimmed)
		if found && len(base) > len(best) && (rest == "" || strings.ContainsAny(rest[:1], "/?#")) {
			best = base
		}
	}
	if best == "" {
		return target
	}
	return join(strings.TrimRight(w.overrides[best], "/"), target[len(strings.TrimRight(best, "/")):])
}
