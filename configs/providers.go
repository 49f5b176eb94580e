package configs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Provider is where a kind of credential comes from and how it is used.
type Provider struct {
	Name               string `json:"-"`    // e.g. OPENAI
	Type               string `json:"type"` // llm, cloud or generic
	DisplayName        string `json:"display_name"`
	CredentialType     string `json:"credential_type"` // API_KEY or SERVICE_ACCOUNT_JSON
	ContextKey         string `json:"context_key"`     // what auth.secret_key names
	AliasFor           string `json:"alias_for"`
	Origin             string `json:"origin"`       // scheme and host of the API
	OriginEnv          string `json:"origin_env"`   // environment variable that overrides it
	APIBaseURL         string `json:"api_base_url"` // of the live check
	ValidationEndpoint string `json:"validation_endpoint"`
	// ValidationEndpoints are further ones, for keys that ValidationEndpoint does not accept.
	ValidationEndpoints []ValidationEndpoint `json:"validation_endpoints"`
	TokenURL            string               `json:"token_url"` // of service accounts
	Scopes              []string             `json:"scopes"`    // that a service account is checked with
	AuthType            string               `json:"auth_type"` // basic: the credential is user:password
	AuthHeader          string               `json:"auth_header"`
	AuthPrefix          string               `json:"auth_prefix"`
	ExtraHeaders        map[string]string    `json:"extra_headers"`
	KeyPrefix           []string             `json:"key_prefix"` // a key starts with one of them
	RequiredFields      []string             `json:"required_fields"`
	ExpectedType        string               `json:"expected_type"`
	RateLimitPerMinute  int                  `json:"rate_limit_per_minute"`
	DataTables          map[string]string    `json:"data_tables"`
}

// Keys of older documents that say nothing about a provider here.
var (
	idleProviderKeys = []string{"validation_model", "max_retries", "retry_backoff_seconds", "gemini_data_tables"}
	idleRootKeys     = []string{"provider_groups", "defaults"}
)

// normaliseProviders rewrites older spellings: a key prefix may be one text.
func normaliseProviders(root *yaml.Node) {
	for _, key := range idleRootKeys {
		remove(root, key)
	}
	all := get(root, "providers")
	if all == nil || all.Kind != yaml.MappingNode {
		return
	}
	n := normaliser{}
	for i := 1; i < len(all.Content); i += 2 {
		for _, key := range idleProviderKeys {
			remove(all.Content[i], key)
		}
		n.list(all.Content[i], "key_prefix")
	}
}

// ValidationEndpoint is an address that answers 200 to a good credential.
type ValidationEndpoint struct {
	Endpoint  string `json:"endpoint"`   // below api_base_url, or a whole URL
	KeyPrefix string `json:"key_prefix"` // keys for which it is tried first
}

// Providers are all providers by name.
type Providers struct {
	byName  map[string]Provider
	aliases map[string]string
}

type providersFileJSON struct {
	Providers map[string]Provider `json:"providers"`
	Aliases   map[string]string   `json:"aliases"`
}

func parseProviders(text []byte) (Providers, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return Providers{}, fmt.Errorf("read %s: %w", providersFile, err)
	}
	var file providersFileJSON
	if len(root.Content) > 0 {
		normaliseProviders(root.Content[0])
		b, err := jsonOf(root.Content[0])
		if err == nil {
			err = strictJSON(b, &file)
		}
		if err != nil {
			return Providers{}, fmt.Errorf("read %s: %w", providersFile, err)
		}
	}
	out := Providers{byName: file.Providers, aliases: map[string]string{}}
	for name, p := range out.byName {
		p.Name = name
		if p.ContextKey == "" {
			p.ContextKey = strings.ToLower(name) + "_credential"
		}
		out.byName[name] = p
	}
	for alias, name := range file.Aliases {
		if _, ok := out.byName[name]; !ok {
			return Providers{}, fmt.Errorf("read %s: alias %q means %q, which is no provider", providersFile, alias, name)
		}
		out.aliases[strings.ToLower(alias)] = name
	}
	return out, nil
}

// Lookup finds a provider by name or alias in any case.
func (p Providers) Lookup(name string) (Provider, bool) {
	if full, ok := p.aliases[strings.ToLower(name)]; ok {
		name = full
	}
	found, ok := p.byName[strings.ToUpper(name)]
	return found, ok
}

// ByContextKey finds the provider that auth.secret_key means.
func (p Providers) ByContextKey(key string) (Provider, bool) {
	for _, name := range p.Names() {
		if found := p.byName[name]; found.ContextKey == key {
			return found, true
		}
	}
	return Provider{}, false
}

// ContextKeys returns the keys that ByContextKey knows, by provider name.
func (p Providers) ContextKeys() []string {
	var keys []string
	for _, name := range p.Names() {
		keys = append(keys, p.byName[name].ContextKey)
	}
	return keys
}

// Names returns the names of all providers, sorted.
func (p Providers) Names() []string { return slices.Sorted(maps.Keys(p.byName)) }

// JSON writes the named providers and their aliases, as WithProviders reads them.
func (p Providers) JSON(names []string) (json.RawMessage, error) {
	file := providersFileJSON{Providers: map[string]Provider{}, Aliases: map[string]string{}}
	for _, name := range names {
		if one, ok := p.byName[name]; ok {
			file.Providers[name] = one
		}
	}
	for alias, name := range p.aliases {
		if _, ok := file.Providers[name]; ok {
			file.Aliases[alias] = name
		}
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("write the providers: %w", err)
	}
	return text, nil
}
