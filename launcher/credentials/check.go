package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Doer sends requests; *http.Client is one. It decides which addresses may be reached.
type Doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// verdict is what a live check found. A passing one says nothing about the credential:
// the provider was not reached, or had no time. No text quotes what came from outside,
// where the secret may be repeated.
type verdict struct {
	status  Status // VALID, INVALID, or PENDING when nothing is known
	problem string // why it is not VALID, or what a VALID one cannot do
}

// tester tries credentials.
type tester struct {
	http  Doer
	clock func() time.Time
}

// try tries a credential of a provider.
func (t tester) try(ctx context.Context, p Provider, kind Type, secret Secret) verdict {
	switch kind {
	case ServiceAccountJSON:
		return t.tryAccount(ctx, p, secret)
	case OAuthClientJSON:
		return t.tryClient(ctx, p, secret)
	default:
		return t.tryChecks(ctx, p, kind, secret, nil)
	}
}

// tryChecks tries the checks of a provider, those that are meant for the key first, until
// one accepts it. Of refusals the first counts: it is of the check that fits best. One that
// says nothing counts less than a refusal.
func (t tester) tryChecks(ctx context.Context, p Provider, kind Type, secret Secret, vars map[string]string) verdict {
	if len(p.Checks) == 0 {
		return verdict{status: Valid}
	}
	checks := slices.Clone(p.Checks)
	fits := func(c Check) bool {
		return c.KeyPrefix != "" && strings.HasPrefix(strings.TrimSpace(secret.Reveal()), c.KeyPrefix)
	}
	slices.SortStableFunc(checks, func(a, b Check) int {
		if fits(a) == fits(b) {
			return 0
		}
		if fits(a) {
			return -1
		}
		return 1
	})
	var first verdict
	for i, c := range checks {
		target := c.URL
		for name, value := range vars {
			target = strings.ReplaceAll(target, "{"+name+"}", url.PathEscape(value))
		}
		v := t.get(ctx, p, kind, secret, target)
		if v.status == Valid {
			return v
		}
		if i == 0 || first.status == Pending && v.status == Invalid {
			first = v
		}
	}
	return first
}

func (t tester) get(ctx context.Context, p Provider, kind Type, secret Secret, target string) verdict {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return verdict{Pending, fmt.Sprintf("the address at which %s is checked is not a URL", p.DisplayName)}
	}
	p.authorise(req, kind, secret)
	_, code, problem := t.send(req, p.DisplayName)
	if problem != "" {
		return verdict{Pending, problem}
	}
	return judge(p.DisplayName, code)
}

// send returns the body and the status of an answer, or what kept it away.
func (t tester) send(req *http.Request, name string) (body []byte, code int, problem string) {
	req.Header.Set("Accept", "application/json")
	resp, err := t.http.Do(req)
	if err != nil {
		return nil, 0, fmt.Sprintf("%s at %s was not reached: %s", name, req.URL.Host, reason(err))
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, 0, fmt.Sprintf("the answer of %s at %s broke off", name, req.URL.Host)
	}
	return body, resp.StatusCode, ""
}

// reason leaves out the URL, which url.Error repeats; the address is in the message once.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return "it did not answer in time"
		}
		return u.Err.Error()
	}
	return err.Error()
}

func judge(name string, code int) verdict {
	switch {
	case code == http.StatusOK:
		return verdict{status: Valid}
	case code == http.StatusUnauthorized:
		return verdict{Invalid, fmt.Sprintf("%s refuses the credential: it is wrong, expired or revoked (401)", name)}
	case code == http.StatusForbidden:
		return verdict{Invalid, fmt.Sprintf("%s knows the credential but it lacks the permission that is needed (403)", name)}
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed:
		return verdict{Pending, fmt.Sprintf("%s has no such address there (%d): check the base URL", name, code)}
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return verdict{Pending, fmt.Sprintf("%s answered %d: try again later", name, code)}
	default:
		return verdict{Invalid, fmt.Sprintf("%s answered %d to the check of the credential", name, code)}
	}
}

// tryAccount gets a token for a service account; the checks of the provider then say
// what the account may do, and one that may not is still VALID.
func (t tester) tryAccount(ctx context.Context, p Provider, secret Secret) verdict {
	a, err := p.account(secret)
	if err != nil {
		return verdict{Invalid, err.Error()}
	}
	assertion, err := a.assertion(t.clock(), p.Scopes)
	if err != nil {
		return verdict{Invalid, err.Error()}
	}
	token, v := t.token(ctx, p, a.tokenURL, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
	}, nil)
	if v.status != Valid || len(p.Checks) == 0 {
		return v
	}
	v = t.tryChecks(ctx, p, ServiceAccountJSON, token, map[string]string{"project_id": a.project})
	if v.status != Valid {
		return verdict{Valid, "Partial: the account gets a token, but " + v.problem}
	}
	return v
}

// tryClient gets a token for an OAuth client and tries it at the checks of the provider.
func (t tester) tryClient(ctx context.Context, p Provider, secret Secret) verdict {
	c, err := p.oauthClient(secret)
	if err != nil {
		return verdict{Invalid, err.Error()}
	}
	token, v := t.token(ctx, p, c.TokenURL, url.Values{"grant_type": {"client_credentials"}}, &c)
	if v.status != Valid {
		return v
	}
	return t.tryChecks(ctx, p, OAuthClientJSON, token, nil)
}

// token asks a token endpoint. A client authenticates by HTTP Basic, with both parts
// form-encoded first (RFC 6749 §2.3.1).
func (t tester) token(ctx context.Context, p Provider, target string, form url.Values, client *oauthClient) (Secret, verdict) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return Secret{}, verdict{Invalid, "the address of the token endpoint is not a URL"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != nil {
		req.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.secret.Reveal()))
	}
	body, code, problem := t.send(req, "the token endpoint of "+p.DisplayName)
	if problem != "" {
		return Secret{}, verdict{Pending, problem}
	}
	if code == http.StatusBadRequest { // invalid_grant, invalid_client: RFC 6749 §5.2
		code = http.StatusUnauthorized
	}
	if v := judge("the token endpoint of "+p.DisplayName, code); v.status != Valid {
		return Secret{}, v
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" {
		return Secret{}, verdict{Invalid, fmt.Sprintf("the token endpoint of %s answered without an access token", p.DisplayName)}
	}
	return NewSecret(answer.AccessToken), verdict{status: Valid}
}
