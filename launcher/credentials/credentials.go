// Package credentials keeps provider credentials in the central BigQuery dataset, encrypted by Cloud KMS
// and bound to their organisation, provider and row, and tries them against their provider when they are
// set up. It is linked into the job binary too, so it knows only Google's clients and not where they
// point. It must not know the pipelines that use a credential, nor which addresses may be reached: the
// client of live checks is given to it.
package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	kms "cloud.google.com/go/kms/apiv1"
	"github.com/google/uuid"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/launcher"
)

var (
	orgRE      = regexp.MustCompile(`^[a-z0-9_]{3,50}$`)
	providerRE = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_-]{0,63}$`)
)

// Type says what a credential is.
type Type string

// The types that exist. The last two are of generic providers only.
const (
	APIKey             Type = "API_KEY"
	ServiceAccountJSON Type = "SERVICE_ACCOUNT_JSON"
	UserPassword       Type = "USER_PASSWORD"     // user:password
	OAuthClientJSON    Type = "OAUTH_CLIENT_JSON" // {"client_id", "client_secret", "token_url"}
)

var types = []Type{APIKey, ServiceAccountJSON, UserPassword, OAuthClientJSON}

// Status is the outcome of the last live validation. Only VALID credentials are used by pipelines.
type Status string

// The states that are written. Rows of other writers may also hold EXPIRED.
const (
	Valid   Status = "VALID"
	Invalid Status = "INVALID"
	Pending Status = "PENDING"
)

// Config wires a Store. BigQuery, KMS and KeyName are required.
type Config struct {
	BigQuery *bigquery.Client
	KMS      *kms.KeyManagementClient
	// KeyName is the resource name of the crypto key; see DefaultKeyName.
	KeyName string
	// Dataset is the central dataset; empty is "organizations".
	Dataset string
	// Aliases maps names of a provider, in lower case, to the upper-case name its rows have.
	// A name that is not in it stands for itself.
	Aliases map[string]string
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
	// Log receives what is not the caller's failure; nil discards it.
	Log *slog.Logger
}

// Store reads and writes credentials. It is safe for concurrent use.
type Store struct {
	cfg Config
	box envelope
}

// Credential is what Set stores. All fields but Name, Metadata, LastError and User are required.
type Credential struct {
	Org      string
	Provider string
	Name     string // for people
	Type     Type
	Secret   Secret
	Status   Status
	// LastError is why a live validation failed. It must not quote the secret.
	LastError string
	Metadata  json.RawMessage // a JSON value for people, not secret; nil is none
	User      string          // id of who sets it
}

// Info describes an active credential without its secret.
type Info struct {
	ID            string
	Provider      string
	Name          string
	Type          Type
	Status        Status
	LastValidated time.Time // zero if never
	LastError     string
	Metadata      json.RawMessage
	Created       time.Time
}

// DefaultKeyName is the crypto key that a project's credentials are encrypted with unless another is configured.
func DefaultKeyName(project string) string {
	return "projects/" + project + "/locations/global/keyRings/convergence/cryptoKeys/credentials"
}

// New returns a store over an existing table. The caller closes the clients.
func New(cfg Config) *Store {
	if cfg.Dataset == "" {
		cfg.Dataset = "organizations"
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{cfg: cfg, box: envelope{client: cfg.KMS, key: cfg.KeyName}}
}

// Set makes c the only active credential of its organisation and provider and returns its id.
// When it fails the previous one stays active.
func (s *Store) Set(ctx context.Context, c Credential) (string, error) {
	org, names, err := s.scope(c.Org, c.Provider)
	if err != nil {
		return "", err
	}
	if err := check(c); err != nil {
		return "", err
	}
	id := uuid.NewString()
	sealed, err := s.box.seal(ctx, c.Secret, boundTo(org, names[0], id))
	if err != nil {
		return "", fmt.Errorf("setting credential of %s for %s: %w", names[0], org, err)
	}
	now := s.cfg.Clock().UTC()
	validated := bigquery.NullTimestamp{Timestamp: now, Valid: c.Status != Pending}
	err = s.exec(ctx, "set.sql", map[string]any{
		"credential_id": id, "org": org, "provider": names[0], "providers": names, "credential_name": nullable(c.Name),
		"encrypted_credential": sealed, "credential_type": string(c.Type), "validation_status": string(c.Status),
		"last_validated_at": validated, "last_error": nullable(c.LastError), "user_id": nullable(c.User), "now": now,
		"metadata": bigquery.NullJSON{JSONVal: string(c.Metadata), Valid: c.Metadata != nil},
	})
	if err != nil {
		return "", fmt.Errorf("setting credential of %s for %s: %w", names[0], org, err)
	}
	return id, nil
}

func check(c Credential) error {
	switch {
	case !slices.Contains(types, c.Type):
		return invalid("credential type %q is none of %v", c.Type, types)
	case c.Status != Valid && c.Status != Invalid && c.Status != Pending:
		return invalid("validation status %q is none of %s, %s, %s", c.Status, Valid, Invalid, Pending)
	case c.Secret.Reveal() == "":
		return invalid("the credential is empty")
	case c.Metadata != nil && !json.Valid(c.Metadata):
		return invalid("the metadata is not JSON")
	}
	return nil
}

// Resolve returns the newest active VALID credential of a provider.
// Without one the error is a *launcher.Error with CodeNotConfigured.
func (s *Store) Resolve(ctx context.Context, org, provider string) (Secret, error) {
	_, secret, err := s.resolve(ctx, org, provider, Valid)
	return secret, err
}

// ResolveActive returns the newest active credential whatever its status, for live validation.
func (s *Store) ResolveActive(ctx context.Context, org, provider string) (Secret, error) {
	_, secret, err := s.resolve(ctx, org, provider, anyStatus...)
	return secret, err
}

// anyStatus are the states of an active credential; other writers set EXPIRED too.
var anyStatus = []Status{Valid, Invalid, Pending, "EXPIRED"}

type row struct {
	CredentialID string `bigquery:"credential_id"`
	Provider     string `bigquery:"provider"`
	Type         string `bigquery:"credential_type"`
	Sealed       []byte `bigquery:"encrypted_credential"`
}

func (s *Store) resolve(ctx context.Context, org, provider string, statuses ...Status) (row, Secret, error) {
	org, names, err := s.scope(org, provider)
	if err != nil {
		return row{}, Secret{}, err
	}
	it, err := s.read(ctx, "newest.sql", map[string]any{"org": org, "providers": names, "statuses": texts(statuses)})
	if err != nil {
		return row{}, Secret{}, fmt.Errorf("looking up credential of %s for %s: %w", names[0], org, err)
	}
	var r row
	switch err := it.Next(&r); {
	case errors.Is(err, iterator.Done):
		return row{}, Secret{}, &launcher.Error{
			Code:    launcher.CodeNotConfigured,
			Message: fmt.Sprintf("organisation %s has no valid credential for %s: set up the integration first", org, names[0]),
		}
	case err != nil:
		return row{}, Secret{}, fmt.Errorf("reading credential of %s for %s: %w", names[0], org, err)
	}
	secret, err := s.open(ctx, org, r)
	if err != nil {
		return row{}, Secret{}, s.openError(ctx, org, names[0], r.CredentialID, err)
	}
	return r, secret, nil
}

// open decrypts a row. A row from before credentials were bound to their place opens without
// authenticated data and is encrypted anew, bound, so that it is readable in its own row only.
func (s *Store) open(ctx context.Context, org string, r row) (Secret, error) {
	aad := boundTo(org, r.Provider, r.CredentialID)
	secret, err := s.box.open(ctx, r.Sealed, aad)
	if err == nil || !isWrongAAD(err) {
		return secret, err
	}
	secret, unboundErr := s.box.open(ctx, r.Sealed, nil)
	if unboundErr != nil {
		return Secret{}, err
	}
	sealed, err := s.box.seal(ctx, secret, aad)
	if err == nil {
		err = s.exec(ctx, "reencrypt.sql", map[string]any{
			"org": org, "credential_id": r.CredentialID,
			"encrypted_credential": sealed, "previous": r.Sealed, "now": s.cfg.Clock().UTC(),
		})
	}
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "credential stays encrypted without authenticated data until its next use",
			"org", org, "credential_id", r.CredentialID, "error", err)
	}
	return secret, nil
}

// List returns the active credential of every provider of an organisation, by provider name.
func (s *Store) List(ctx context.Context, org string) ([]Info, error) {
	if err := checkOrg(org); err != nil {
		return nil, err
	}
	it, err := s.read(ctx, "list.sql", map[string]any{"org": org})
	if err != nil {
		return nil, fmt.Errorf("listing credentials of %s: %w", org, err)
	}
	var infos []Info
	for {
		var r infoRow
		if err := it.Next(&r); errors.Is(err, iterator.Done) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("listing credentials of %s: %w", org, err)
		}
		info := r.info()
		info.Provider = s.canonical(info.Provider)
		older := slices.ContainsFunc(infos, func(i Info) bool { return i.Provider == info.Provider })
		if !older {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Provider, b.Provider) })
	return infos, nil
}

// SetStatus records the outcome of a live validation of the active credential.
// lastError must not quote the secret; it is empty for a VALID one.
func (s *Store) SetStatus(ctx context.Context, org, provider string, outcome Validation) error {
	org, names, err := s.scope(org, provider)
	if err != nil {
		return err
	}
	if outcome.Status != Valid && outcome.Status != Invalid {
		return invalid("validation status %q is none of %s, %s", outcome.Status, Valid, Invalid)
	}
	err = s.exec(ctx, "set_status.sql", map[string]any{
		"org": org, "providers": names, "now": s.cfg.Clock().UTC(),
		"validation_status": string(outcome.Status), "last_error": nullable(outcome.LastError),
		"credential_id": outcome.ID,
	})
	if err != nil {
		return fmt.Errorf("recording validation of %s for %s: %w", names[0], org, err)
	}
	return nil
}

// Validation is the outcome of a live validation: VALID, or INVALID and why.
type Validation struct {
	// ID is the credential that was tried; one that was replaced meanwhile stays as it is.
	// Empty means the active one, whichever it is.
	ID        string
	Status    Status
	LastError string // must not quote the secret
}

// Delete deactivates the credentials of a provider. Deleting what does not exist is no error.
func (s *Store) Delete(ctx context.Context, org, provider string) error {
	org, names, err := s.scope(org, provider)
	if err != nil {
		return err
	}
	if err := s.exec(ctx, "delete.sql", map[string]any{"org": org, "providers": names, "now": s.cfg.Clock().UTC()}); err != nil {
		return fmt.Errorf("deleting credential of %s for %s: %w", names[0], org, err)
	}
	return nil
}

// Plain gives resolved credentials as strings, to code that puts them straight into a request.
type Plain struct{ Store *Store }

// Resolve is Store.Resolve in the clear.
func (p Plain) Resolve(ctx context.Context, org, provider string) (string, error) {
	secret, err := p.Store.Resolve(ctx, org, provider)
	if err != nil {
		return "", err
	}
	return secret.Reveal(), nil
}

// scope validates names and returns every provider name that rows may have, the canonical one first.
func (s *Store) scope(org, provider string) (string, []string, error) {
	if err := checkOrg(org); err != nil {
		return "", nil, err
	}
	name := s.canonical(provider)
	if !providerRE.MatchString(name) {
		return "", nil, invalid("provider name %q is malformed", provider)
	}
	names := []string{name}
	for alias, target := range s.cfg.Aliases {
		if upper := strings.ToUpper(alias); target == name && !slices.Contains(names, upper) {
			names = append(names, upper)
		}
	}
	slices.Sort(names[1:])
	return org, names, nil
}

func (s *Store) canonical(provider string) string {
	if name, ok := s.cfg.Aliases[strings.ToLower(provider)]; ok {
		return name
	}
	return strings.ToUpper(provider)
}

func checkOrg(org string) error {
	if !orgRE.MatchString(org) {
		return invalid("organisation %q does not match %s", org, orgRE)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf(format, args...)}
}
