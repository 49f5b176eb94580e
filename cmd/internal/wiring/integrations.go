package wiring

import (
	"cmp"
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/transforms/source"
)

// checkPatience bounds one request of a live check.
const checkPatience = 15 * time.Second

// Ready prepares what a VALID integration needs.
type Ready = func(ctx context.Context, org string, p credentials.Provider) error

// Integrations returns the set-up and live checks of credentials. ready may be nil.
func (e Environment) Integrations(store *credentials.Store, d credentials.Directory, ready Ready) *credentials.Integrations {
	return credentials.NewIntegrations(credentials.IntegrationsConfig{
		Store: store, Directory: d, HTTP: e.guard().Client(checkPatience), Ready: ready,
	})
}

// guard says which addresses outgoing requests may reach.
func (e Environment) guard() source.Guard {
	return source.Guard{AllowLoopback: e.Name == "development"}
}

// Directory implements credentials.Directory over the providers of the catalogue.
type Directory struct {
	Environment Environment
	// Of returns the providers of an organisation: the product's and its own.
	Of func(org string) configs.Providers
}

// Provider implements credentials.Directory.
func (d Directory) Provider(org, name string) (credentials.Provider, bool) {
	all := d.Of(org)
	p, ok := all.Lookup(name)
	for range 3 { // an alias of an alias is a mistake of a document, not a loop here
		if !ok || p.AliasFor == "" {
			break
		}
		p, ok = all.Lookup(p.AliasFor)
	}
	if !ok {
		return credentials.Provider{}, false
	}
	return d.Environment.credentialProvider(p), true
}

// Providers implements credentials.Directory; aliases are left out.
func (d Directory) Providers(org string) []credentials.Provider {
	all := d.Of(org)
	var out []credentials.Provider
	for _, name := range all.Names() {
		if p, ok := all.Lookup(name); ok && p.AliasFor == "" {
			out = append(out, d.Environment.credentialProvider(p))
		}
	}
	return out
}

func (e Environment) credentialProvider(p configs.Provider) credentials.Provider {
	out := credentials.Provider{
		Name: p.Name, DisplayName: p.DisplayName, Generic: p.Type == "generic", Type: credentials.Type(p.CredentialType),
		KeyPrefix: p.KeyPrefix, RequiredFields: p.RequiredFields, ExpectedType: p.ExpectedType,
		Header: p.AuthHeader, Prefix: p.AuthPrefix, Extra: p.ExtraHeaders, TokenURL: e.address(p, p.TokenURL), Scopes: p.Scopes,
	}
	if out.DisplayName == "" {
		out.DisplayName = p.Name
	}
	if p.AuthType == "basic" {
		out.Type = credentials.UserPassword
	}
	endpoints := p.ValidationEndpoints
	if p.ValidationEndpoint != "" {
		endpoints = append([]configs.ValidationEndpoint{{Endpoint: p.ValidationEndpoint}}, endpoints...)
	}
	for _, v := range endpoints {
		target := v.Endpoint
		if strings.HasPrefix(target, "/") {
			target = strings.TrimRight(cmp.Or(p.APIBaseURL, p.Origin), "/") + target
		}
		out.Checks = append(out.Checks, credentials.Check{URL: e.address(p, target), KeyPrefix: v.KeyPrefix})
	}
	return out
}

// address returns a URL of a provider, at the origin that overrides the provider's own.
// Google has a host per API: all of them move.
func (e Environment) address(p configs.Provider, target string) string {
	override := strings.TrimRight(e.origin(p), "/")
	own := strings.TrimRight(p.Origin, "/")
	if target == "" || override == own || own == "" {
		return target
	}
	u, err := url.Parse(target)
	o, ownErr := url.Parse(own)
	if err != nil || ownErr != nil || u.Host != o.Host && !strings.HasSuffix(u.Host, "."+o.Host) {
		return target
	}
	_, rest, _ := strings.Cut(target, "://")
	rest = strings.TrimPrefix(rest, u.Host)
	if version, _, found := strings.Cut(strings.TrimPrefix(rest, "/"), "/"); found {
		override = strings.TrimSuffix(override, "/"+version) // given with or without /v1
	}
	return override + rest
}
