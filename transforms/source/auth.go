package source

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudact/convergence/transforms/registry"
)

// Kinds of authentication.
const (
	authBearer = "bearer"
	authHeader = "header"
	authQuery  = "query"
	authBasic  = "basic"
	authOAuth2 = "oauth2"
)

// Auth says how a request is authenticated. It refers to a credential and never holds one.
type Auth struct {
	Type       string `json:"type,omitempty" jsonschema:"enum=bearer,enum=header,enum=query,enum=basic,enum=oauth2,description=How the credential travels; default bearer"`
	Provider   string `json:"provider,omitempty" jsonschema:"description=Provider whose credential of the organisation is used such as OPENAI"`
	SecretKey  string `json:"secret_key,omitempty" jsonschema:"description=Another way to name the provider: its context key"`
	HeaderName string `json:"header_name,omitempty" jsonschema:"description=Header for type header; default X-API-Key"`
	ParamName  string `json:"param_name,omitempty" jsonschema:"description=Query parameter for type query; default api_key"`
}

// withDefaults fills what an author may leave out. A nil Auth stays nil: no credential.
func (a *Auth) withDefaults() *Auth {
	if a == nil {
		return nil
	}
	out := *a
	out.Type = orElse(out.Type, authBearer)
	out.HeaderName = orElse(out.HeaderName, "X-API-Key")
	out.ParamName = orElse(out.ParamName, "api_key")
	if out.Provider == "" && out.SecretKey != "" {
		if byKey := current().providers; byKey != nil {
			out.Provider = byKey(out.SecretKey)
		}
	}
	out.Provider = strings.ToUpper(out.Provider)
	return &out
}

func (a *Auth) validate() error {
	if a == nil {
		return nil
	}
	switch orElse(a.Type, authBearer) {
	case authBearer, authHeader, authQuery, authBasic, authOAuth2:
	default:
		return &registry.FieldError{Path: "auth.type", Message: `"` + a.Type + `" is not supported: use bearer, header, query or basic, or leave auth out for none`}
	}
	if a.Provider == "" && a.SecretKey == "" {
		return &registry.FieldError{Path: "auth", Message: "provider is needed: it names whose credential is used"}
	}
	return nil
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// credential is an opened secret with the way it travels. The zero value adds nothing.
type credential struct {
	auth   Auth
	secret string
}

// openCredential resolves the secret of an organisation. Its errors name organisation
// and provider and repeat nothing of what the resolver said.
func openCredential(ctx context.Context, w wiring, org string, auth *Auth) (credential, error) {
	if auth == nil {
		return credential{}, nil
	}
	if auth.Provider == "" {
		return credential{}, failf(codeCredential, "no provider has the context key %q: name one in auth.provider", auth.SecretKey)
	}
	if w.secrets == nil {
		return credential{}, failf(codeCredential, "no credential store is set up for provider %s of organisation %s", auth.Provider, org)
	}
	secret, err := w.secrets.Resolve(ctx, org, auth.Provider)
	if err != nil || secret == "" {
		return credential{}, failf(codeCredential, "the credential of organisation %s for provider %s cannot be opened: set up or validate its integration", org, auth.Provider)
	}
	secret = unwrapKey(secret)
	if strings.ContainsAny(secret, "\r\n\x00") {
		return credential{}, failf(codeCredential, "the credential of organisation %s for provider %s holds control characters: set it up again", org, auth.Provider)
	}
	return credential{auth: *auth, secret: secret}, nil
}

// unwrapKey takes api_key out of a credential that was stored as a JSON object.
func unwrapKey(secret string) string {
	var stored struct {
		APIKey string `json:"api_key"`
	}
	trimmed := strings.TrimSpace(secret)
	if strings.HasPrefix(trimmed, "{") && json.Unmarshal([]byte(trimmed), &stored) == nil && stored.APIKey != "" {
		return stored.APIKey
	}
	return trimmed
}

func (c credential) apply(req *http.Request) {
	switch c.auth.Type {
	case authBearer:
		req.Header.Set("Authorization", "Bearer "+c.secret)
	case authHeader:
		req.Header.Set(c.auth.HeaderName, c.secret)
	case authQuery:
		query := req.URL.Query()
		query.Set(c.auth.ParamName, c.secret)
		req.URL.RawQuery = query.Encode()
	case authBasic:
		user, password, _ := strings.Cut(c.secret, ":")
		req.SetBasicAuth(user, password)
	}
}

const redacted = "[redacted]"

// redact removes the secret from a text in every form in which a request carries it.
func (c credential) redact(text string) string {
	if c.secret == "" {
		return text
	}
	forms := []string{
		c.secret, url.QueryEscape(c.secret), url.PathEscape(c.secret),
		strings.ReplaceAll(c.secret, "/", `\/`), base64.StdEncoding.EncodeToString([]byte(c.secret)),
		base64.StdEncoding.EncodeToString([]byte(c.secret + ":")),
	}
	if _, password, ok := strings.Cut(c.secret, ":"); ok && password != "" {
		forms = append(forms, password, url.QueryEscape(password))
	}
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}
