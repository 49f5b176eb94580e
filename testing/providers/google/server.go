package google

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/cloudact/convergence/testing/providers/faults"
	"github.com/cloudact/convergence/testing/providers/trace"
)

// TokenAudience is who an assertion has to be for.
const TokenAudience = "https://oauth2.googleapis.com/token"

// Account is a service account of the simulated cloud.
type Account struct {
	// Name is the part of its address before the @.
	Name string
	// Project is where it lives and what it may read.
	Project string
	// Billing are the accounts that it sees, by display name.
	Billing []string
	// NoBigQuery refuses it the list of datasets.
	NoBigQuery bool
}

// Email is the address of the account.
func (a Account) Email() string { return a.Name + "@" + a.Project + ".iam.gserviceaccount.com" }

// Config describes a simulated cloud.
type Config struct {
	Accounts []Account
	// Clock tells the time that assertions and tokens are checked against; nil is
	// time.Now.
	Clock func() time.Time
	// TokenLife is how long a token opens the APIs; 0 means an hour.
	TokenLife time.Duration
	// Instances is the number of virtual machines of a project, over three zones; 0
	// means 7.
	Instances int
}

// Server is a simulated cloud. It is safe for concurrent use and holds nothing that needs
// closing.
type Server struct {
	*faults.Injector

	config   Config
	handler  http.Handler
	accounts map[string]*holder // by address

	mu     sync.Mutex
	tokens map[string]grant
}

// holder is an account with its key.
type holder struct {
	Account
	key      *rsa.PrivateKey
	keyID    string
	disabled bool
}

// grant is what a token opens.
type grant struct {
	account *holder
	scopes  []string
	expires time.Time
}

const keyBits = 2048

// New returns a cloud with a fresh key for each account.
func New(config Config) (*Server, error) {
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.TokenLife == 0 {
		config.TokenLife = time.Hour
	}
	if config.Instances == 0 {
		config.Instances = 7
	}
	s := &Server{config: config, accounts: map[string]*holder{}, tokens: map[string]grant{}}
	for _, a := range config.Accounts {
		if a.Name == "" || a.Project == "" || s.accounts[a.Email()] != nil {
			return nil, errors.New("start google simulator: every account needs a name of its own and a project")
		}
		key, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return nil, fmt.Errorf("start google simulator: make key: %w", err)
		}
		s.accounts[a.Email()] = &holder{Account: a, key: key, keyID: trace.ID(a.Project, a.Name, 40)}
	}
	s.Injector = faults.New(writeFault, map[string]bool{
		"pageSize": true, "pageToken": true, "maxResults": true, "startTime": true, "endTime": true, "currencyCode": true, "filter": true,
	})
	s.handler = s.Observed(s.routes())
	return s, nil
}

// Handler serves all APIs. Any HTTP server may run it.
func (s *Server) Handler() http.Handler { return s.handler }

// TB is the part of a test that RunT needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// RunT serves a cloud on a free port of 127.0.0.1 until the test ends and returns its
// base URL.
func RunT(t TB, config Config) (*Server, string) {
	t.Helper()
	s, err := New(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	listener := httptest.NewServer(s.Handler())
	t.Cleanup(listener.Close)
	return s, listener.URL
}

// KeyFile returns the key file of an account as the real console gives it out.
func (s *Server) KeyFile(email string) (string, error) {
	h := s.accounts[email]
	if h == nil {
		return "", fmt.Errorf("google simulator has no account %q", email)
	}
	der, err := x509.MarshalPKCS8PrivateKey(h.key)
	if err != nil {
		return "", fmt.Errorf("encode key of %s: %w", email, err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": h.Project, "private_key_id": h.keyID,
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": email, "client_id": trace.ID(h.Project, h.Name+"/id", 21),
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": TokenAudience,
	})
	return string(text), err
}

// Disable makes the key of an account useless; tokens that were given stay good.
func (s *Server) Disable(email string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.accounts[email]
	if h == nil {
		return fmt.Errorf("google simulator has no account %q", email)
	}
	h.disabled = true
	return nil
}
