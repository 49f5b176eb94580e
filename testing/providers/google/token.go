package google

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	jwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// An assertion may live for an hour; clocks may differ by this much.
	longestLife = time.Hour
	skew        = 5 * time.Minute
)

type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	TokenType   string `json:"token_type"`
}

// giveToken is the token endpoint: RFC 7523 with RS256.
func (s *Server) giveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		writeStatus(w, http.StatusMethodNotAllowed, "INVALID_ARGUMENT", "The token endpoint takes POST.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != jwtGrant {
		writeJSON(w, http.StatusBadRequest, tokenError{"unsupported_grant_type", "Invalid grant_type: " + r.PostForm.Get("grant_type")})
		return
	}
	h, scopes, failure := s.verify(r.PostForm.Get("assertion"))
	if failure != nil {
		writeJSON(w, http.StatusBadRequest, failure)
		return
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		writeStatus(w, http.StatusInternalServerError, "INTERNAL", "No token could be made.")
		return
	}
	token := "ya29." + base64.RawURLEncoding.EncodeToString(random)
	s.mu.Lock()
	s.tokens[token] = grant{account: h, scopes: scopes, expires: s.config.Clock().Add(s.config.TokenLife)}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, tokenAnswer{token, int64(s.config.TokenLife.Seconds()), "Bearer"})
}

type claims struct {
	Issuer   string `json:"iss"`
	Scope    string `json:"scope"`
	Audience string `json:"aud"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

func grantError(text string) *tokenError { return &tokenError{"invalid_grant", text} }

// verify checks an assertion as the real endpoint does: form, account, key, signature,
// audience, times and scope.
func (s *Server) verify(assertion string) (*holder, []string, *tokenError) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return nil, nil, grantError("Invalid JWT: it must have three parts.")
	}
	var header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid"`
	}
	var c claims
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &c) || header.Algorithm != "RS256" {
		return nil, nil, grantError("Invalid JWT: it must be JSON signed with RS256.")
	}
	s.mu.Lock()
	h := s.accounts[c.Issuer]
	disabled := h != nil && h.disabled
	s.mu.Unlock()
	if h == nil || disabled {
		return nil, nil, grantError("Invalid grant: account not found")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || header.KeyID != "" && header.KeyID != h.keyID || rsa.VerifyPKCS1v15(&h.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return nil, nil, grantError("Invalid JWT Signature.")
	}
	now, issued, expires := s.config.Clock(), time.Unix(c.Issued, 0), time.Unix(c.Expires, 0)
	switch {
	case c.Audience != TokenAudience:
		return nil, nil, grantError("Invalid JWT: the audience is not this endpoint.")
	case expires.Sub(issued) > longestLife || issued.After(now.Add(skew)) || expires.Before(now.Add(-skew)):
		return nil, nil, grantError("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	case c.Scope == "":
		return nil, nil, &tokenError{"invalid_scope", "Invalid OAuth scope or ID token audience provided."}
	}
	return h, strings.Fields(c.Scope), nil
}

func decodePart(text string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && json.Unmarshal(raw, v) == nil
}
