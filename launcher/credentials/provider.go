package credentials

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudact/convergence/launcher"
)

// Provider says what a provider's credentials look like and how they are tried.
type Provider struct {
	Name        string // canonical and upper case, e.g. OPENAI
	DisplayName string // e.g. OpenAI
	// Generic is a provider that an organisation defined: the form of its credentials is
	// told from their text.
	Generic bool
	Type    Type // of its credentials; ignored for a Generic one, unless it is UserPassword
	// KeyPrefix are the beginnings that a key may have; none means any.
	KeyPrefix []string
	// RequiredFields and ExpectedType are checked in a SERVICE_ACCOUNT_JSON.
	RequiredFields []string
	ExpectedType   string
	// Checks are tried one after the other until one accepts the credential. Without any,
	// a credential of the right form counts as VALID.
	Checks []Check
	// Header and Prefix carry a key, or a token, in a request; Header defaults to
	// Authorization with the prefix "Bearer ". Extra headers are added to every check.
	Header, Prefix string
	Extra          map[string]string
	// TokenURL is where a service account gets its token. A key file that names another
	// place than this or Google's own is refused.
	TokenURL string
	// Scopes are what a service account asks for.
	Scopes []string
}

// Check is one address that answers 200 to a credential that it accepts. {project_id} in
// it is the project of a service account.
type Check struct {
	URL string
	// KeyPrefix names the keys for which this check is tried first.
	KeyPrefix string
}

// minimum length of a credential.
const minSecret = 10

// errForm says that a text is no credential of its provider; it never quotes the text.
type errForm struct{ text string }

func (e *errForm) Error() string { return e.text }

func formf(format string, args ...any) error { return &errForm{fmt.Sprintf(format, args...)} }

// form checks the form of a credential and returns what kind it is. What is no service
// account at all is a wrong request (*launcher.Error); other mistakes are *errForm.
func (p Provider) form(secret Secret) (Type, error) {
	text := strings.TrimSpace(secret.Reveal())
	kind := p.Type
	if kind == "" {
		kind = APIKey
	}
	if p.Generic && strings.HasPrefix(text, "{") {
		kind = OAuthClientJSON
	}
	switch kind {
	case ServiceAccountJSON:
		_, err := p.account(secret)
		return kind, err
	case OAuthClientJSON:
		_, err := p.oauthClient(secret)
		return kind, err
	case UserPassword:
		if user, password, ok := strings.Cut(text, ":"); !ok || user == "" || password == "" {
			return "", formf("a credential of %s has the form user:password", p.DisplayName)
		}
		return kind, plain(text)
	default:
		return kind, p.key(text)
	}
}

// CheckForm refuses what cannot be a credential of the provider, before anything is asked
// or stored. The error never quotes the text.
func (p Provider) CheckForm(secret Secret) error {
	_, err := p.form(secret)
	return err
}

func (p Provider) key(text string) error {
	if err := plain(text); err != nil {
		return err
	}
	for _, prefix := range p.KeyPrefix {
		if strings.HasPrefix(text, prefix) {
			return p.long(text)
		}
	}
	if len(p.KeyPrefix) == 0 {
		return p.long(text)
	}
	return formf("this is no key of %s: they begin with %s", p.Name, strings.Join(p.KeyPrefix, " or "))
}

func (p Provider) long(text string) error {
	if len(text) < minSecret {
		return formf("a credential of %s has %d characters at least", p.Name, minSecret)
	}
	return nil
}

// plain refuses what cannot travel in a header.
func plain(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return formf("the credential holds control characters, such as the end of a line")
	}
	return nil
}

// account reads a key file of a service account.
func (p Provider) account(secret Secret) (account, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(secret.Reveal()), &fields); err != nil || fields == nil {
		return account{}, refused("a credential of %s is the JSON text of a service account's key file", p.DisplayName)
	}
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(fields[name], &s) // what is no text counts as missing
		return s
	}
	if p.ExpectedType != "" && text("type") != p.ExpectedType {
		return account{}, refused(`the key file must have the type %q`, p.ExpectedType)
	}
	for _, name := range p.RequiredFields {
		if text(name) == "" {
			return account{}, refused("the key file has no %s", name)
		}
	}
	a := account{
		project: text("project_id"), email: text("client_email"), keyID: text("private_key_id"),
		key: NewSecret(text("private_key")), tokenURL: p.TokenURL,
	}
	if uri := text("token_uri"); uri != "" && uri != p.TokenURL && !googleTokenURLs[uri] {
		return account{}, refused("the key file's token_uri is not Google's")
	}
	if !projectRE.MatchString(a.project) {
		return account{}, refused("the key file's project_id is not the id of a project")
	}
	return a, nil
}

func refused(format string, args ...any) error {
	return &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf(format, args...)}
}

// oauthClient is a credential of the OAuth 2.0 client credentials grant.
type oauthClient struct {
	ID       string `json:"client_id"`
	secret   Secret
	TokenURL string `json:"token_url"`
}

func (p Provider) oauthClient(secret Secret) (oauthClient, error) {
	var c struct {
		ID       string `json:"client_id"`
		Secret   string `json:"client_secret"`
		TokenURL string `json:"token_url"`
	}
	if err := json.Unmarshal([]byte(secret.Reveal()), &c); err != nil || c.ID == "" || c.Secret == "" || c.TokenURL == "" {
		return oauthClient{}, formf(`a JSON credential of %s has client_id, client_secret and token_url`, p.DisplayName)
	}
	u, err := url.Parse(c.TokenURL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return oauthClient{}, formf("the token_url of the credential is not the address of a server")
	}
	return oauthClient{ID: c.ID, secret: NewSecret(c.Secret), TokenURL: c.TokenURL}, nil
}

// authorise puts a key, or a token, into a request.
func (p Provider) authorise(req *http.Request, kind Type, secret Secret) {
	for name, value := range p.Extra {
		req.Header.Set(name, value)
	}
	text := strings.TrimSpace(secret.Reveal())
	switch {
	case kind == UserPassword:
		user, password, _ := strings.Cut(text, ":")
		req.SetBasicAuth(user, password)
	case p.Header == "":
		req.Header.Set("Authorization", "Bearer "+text)
	default:
		req.Header.Set(p.Header, p.Prefix+text)
	}
}
