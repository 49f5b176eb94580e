package credentials

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
	"time"
)

// googleAudience is who the assertion of a service account is for, wherever a test or a
// proxy takes it: https://developers.google.com/identity/protocols/oauth2/service-account
const googleAudience = "https://oauth2.googleapis.com/token"

// googleTokenURLs are the places that Google's key files have named over time.
var googleTokenURLs = map[string]bool{
	googleAudience: true,
	"https://accounts.google.com/o/oauth2/token": true,
	"https://www.googleapis.com/oauth2/v4/token": true,
	"https://www.googleapis.com/oauth2/v3/token": true,
}

// projectRE accepts ids of Google projects, those of old domains included.
var projectRE = regexp.MustCompile(`^[a-z0-9.:-]{4,80}$`)

// assertionLife is the longest that Google accepts.
const assertionLife = time.Hour

// account is an opened key file.
type account struct {
	project, email, keyID string
	key                   Secret
	tokenURL              string
}

var errNoKey = errors.New("the key file's private_key is not an RSA key in PEM form")

func (a account) privateKey() (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(a.key.Reveal()))
	if block == nil {
		return nil, errNoKey
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errNoKey
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errNoKey
	}
	return key, nil
}

// assertion returns the signed JWT that a token is given for (RFC 7523).
func (a account) assertion(now time.Time, scopes []string) (string, error) {
	key, err := a.privateKey()
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.keyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": a.email, "scope": strings.Join(scopes, " "), "aud": googleAudience,
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", errNoKey
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
