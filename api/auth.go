package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"

	"github.com/cloudact/convergence/launcher"
)

// maxKey bounds what is hashed: keys have some sixty characters.
const maxKey = 512

// Keys finds who an API key speaks for by the lower-case hex SHA-256 of its text.
type Keys interface {
	Lookup(ctx context.Context, hash string) (launcher.Principal, bool, error)
}

// keyKind is who may call a route.
type keyKind int

const (
	keyNone   keyKind = iota // anybody
	keyOrg                   // an organisation's key
	keyRoot                  // the platform's root key
	keyEither                // the root key for all organisations, or an organisation's for its own
)

// authenticate fills in who the request speaks for.
func (s *service) authenticate(x *exchange, r *http.Request, kind keyKind) *Problem {
	switch kind {
	case keyNone:
		return nil
	case keyRoot:
		return s.checkRoot(x, r)
	case keyEither:
		if len(r.Header[canonicalRootKey]) > 0 {
			return s.checkRoot(x, r)
		}
	case keyOrg:
	}
	p, problem := s.identify(r)
	if problem != nil {
		return problem
	}
	x.principal = p
	return nil
}

// theKey returns the only value of a header, which is named canonically, "" when it is missing, and whether it can be
// a key at all: two values mean that somebody between us and the caller added one.
func theKey(r *http.Request, name string) (key string, ok bool) {
	values := r.Header[name]
	switch {
	case len(values) == 0:
		return "", true
	case len(values) > 1 || len(values[0]) > maxKey:
		return "", false
	default:
		return values[0], true
	}
}

func (s *service) checkRoot(x *exchange, r *http.Request) *Problem {
	key, ok := theKey(r, canonicalRootKey)
	if ok && key == "" {
		return unauthorised(codeInvalidAPIKey, "RootKey", "the header "+headerRootKey+" is missing")
	}
	if s.cfg.RootKey == "" {
		return coded(launcher.CodeUnavailable, "this service has no root key; its operator sets CA_ROOT_API_KEY")
	}
	want, got := sha256.Sum256([]byte(s.cfg.RootKey)), sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !ok {
		s.cfg.Log.Warn("root key refused", "event_type", "root_auth_failed", "address", x.address, "request_id", x.id)
		p := coded(launcher.CodeForbidden, "this is not the root key")
		p.challenge = "RootKey"
		return p
	}
	x.root = true
	return nil
}

func (s *service) identify(r *http.Request) (launcher.Principal, *Problem) {
	key, ok := theKey(r, canonicalKey)
	switch {
	case ok && key == "" && s.cfg.OpenOrg != "":
		return launcher.Principal{Org: s.cfg.OpenOrg, KeyID: "dev-key", OrgStatus: "ACTIVE", SubscriptionStatus: "ACTIVE"}, nil
	case ok && key == "":
		return launcher.Principal{}, unauthorised(codeInvalidAPIKey, "ApiKey", "the header "+headerKey+" is missing")
	case !ok:
		return launcher.Principal{}, unauthorised(codeInvalidAPIKey, "ApiKey", invalidKey)
	}
	sum := sha256.Sum256([]byte(key))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	p, found, err := s.cfg.Keys.Lookup(r.Context(), string(text[:]))
	now := s.cfg.Now()
	switch {
	case err != nil:
		s.cfg.Log.Error("look up API key", "error", err, "request_id", requestIDOf(r.Context()))
		return launcher.Principal{}, coded(launcher.CodeUnavailable, "keys cannot be checked at the moment; try again")
	case !found:
		return launcher.Principal{}, unauthorised(codeInvalidAPIKey, "ApiKey", invalidKey)
	case !p.KeyExpires.IsZero() && !now.Before(p.KeyExpires):
		return p, unauthorised(codeAPIKeyExpired, "ApiKey", "API key has expired")
	case p.OrgStatus != "ACTIVE":
		return p, coded(codeOrgInactive, "organisation "+p.Org+" is not active")
	case !p.Subscribed(now):
		return p, coded(launcher.CodeSubscriptionInactive, "organisation "+p.Org+" has no active subscription or trial")
	default:
		return p, nil
	}
}

const invalidKey = "Invalid or inactive API key"

func unauthorised(code launcher.Code, scheme, detail string) *Problem {
	p := coded(code, detail)
	p.challenge = scheme
	return p
}
