package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// States that a stored credential never has.
const (
	// NotConfigured is the state of an integration without a credential.
	NotConfigured Status = "NOT_CONFIGURED"
	// Failed is the outcome of a set-up that stored nothing.
	Failed Status = "FAILED"
)

// checkTimeout bounds one live check, all of its requests together.
const checkTimeout = 20 * time.Second

// Directory knows the providers of an organisation: those of the product and those that
// the organisation defined. Names may be in any case, and aliases.
type Directory interface {
	Provider(org, name string) (Provider, bool)
	Providers(org string) []Provider
}

// IntegrationsConfig wires Integrations. Store, Directory and HTTP are required.
type IntegrationsConfig struct {
	Store     *Store
	Directory Directory
	HTTP      Doer
	// Ready is called after a set-up left a VALID credential, before Setup returns. Its
	// error does not undo the set-up: it is logged and part of the message.
	Ready func(ctx context.Context, org string, p Provider) error
}

// Integrations is the life of credentials as people see it: set up, tried, listed and
// deleted. It is safe for concurrent use.
type Integrations struct {
	cfg  IntegrationsConfig
	test tester
	log  *slog.Logger
}

// NewIntegrations returns integrations over a store.
func NewIntegrations(cfg IntegrationsConfig) *Integrations {
	return &Integrations{cfg: cfg, test: tester{http: cfg.HTTP, clock: cfg.Store.cfg.Clock}, log: cfg.Store.cfg.Log}
}

// SetupRequest asks for a credential to become the one of an organisation and provider.
type SetupRequest struct {
	Org      string
	Provider string
	Secret   Secret
	Name     string          // for people; empty takes the provider's name
	Metadata json.RawMessage // a JSON object for people, not secret; nil is none
	By       string          // id of the user
	// SkipValidation stores the credential as PENDING without trying it.
	SkipValidation bool
	// Trust stores as VALID what could not be tried, on the word of who runs the program;
	// the problem stays on the row. A refusal of the provider still counts.
	Trust bool
}

// Outcome is what a set-up or a validation came to. Texts never quote the secret.
type Outcome struct {
	Provider     string
	CredentialID string // empty when nothing was stored
	Status       Status // VALID, INVALID, PENDING; FAILED when nothing was stored
	Problem      string // why it is not VALID, or what a VALID one cannot do
	Message      string // for people
}

// Setup checks the form of a credential, tries it against the provider and makes it the
// only active one of the organisation and provider; the previous one is deactivated. One
// that the provider refuses is stored as INVALID, one that could not be tried as PENDING:
// pipelines use neither. A wrong form stores nothing (FAILED). An error means that nothing
// was stored either; what is no key file at all is a *launcher.Error.
func (i *Integrations) Setup(ctx context.Context, r SetupRequest) (Outcome, error) {
	p, err := i.provider(r.Org, r.Provider)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Provider: p.Name}
	kind, err := p.form(r.Secret)
	var wrong *errForm
	if errors.As(err, &wrong) {
		out.Status, out.Problem, out.Message = Failed, wrong.text, "Nothing was stored: "+wrong.text
		return out, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	found := verdict{status: Pending}
	if !r.SkipValidation {
		found = i.tried(ctx, p, kind, r.Secret)
	}
	if r.Trust && found.status == Pending {
		found.status = Valid
	}
	metadata, name, err := describe(p, kind, r)
	if err != nil {
		return Outcome{}, err
	}
	out.CredentialID, err = i.cfg.Store.Set(ctx, Credential{
		Org: r.Org, Provider: p.Name, Name: name, Type: kind, Secret: NewSecret(strings.TrimSpace(r.Secret.Reveal())),
		Status: found.status, LastError: found.problem, Metadata: metadata, User: r.By,
	})
	if err != nil {
		return Outcome{}, err
	}
	out.Status, out.Problem = found.status, found.problem
	out.Message = i.finish(ctx, r.Org, p, found)
	return out, nil
}

func (i *Integrations) tried(ctx context.Context, p Provider, kind Type, secret Secret) verdict {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return i.test.try(ctx, p, kind, secret)
}

// finish prepares what a VALID integration needs and words the outcome.
func (i *Integrations) finish(ctx context.Context, org string, p Provider, found verdict) string {
	switch found.status {
	case Invalid:
		return fmt.Sprintf("The credential of %s was stored but is not valid: %s", p.DisplayName, found.problem)
	case Pending:
		return fmt.Sprintf("The credential of %s was stored but not checked: validate it before pipelines use it", p.DisplayName)
	}
	message := fmt.Sprintf("The credential of %s was checked and stored", p.DisplayName)
	if i.cfg.Ready == nil {
		return message
	}
	if err := i.cfg.Ready(ctx, org, p); err != nil {
		i.log.ErrorContext(ctx, "tables of an integration were not prepared", "org", org, "provider", p.Name, "error", err)
		return message + "; its tables could not be prepared: set it up again to try once more"
	}
	return message
}

// describe returns the metadata and the name that a credential is stored with.
func describe(p Provider, kind Type, r SetupRequest) (json.RawMessage, string, error) {
	name := r.Name
	if name == "" && kind != ServiceAccountJSON {
		name = p.DisplayName + " API Key"
	}
	if kind != ServiceAccountJSON {
		return r.Metadata, name, nil
	}
	a, err := p.account(r.Secret)
	if err != nil {
		return nil, "", err
	}
	if name == "" {
		name = "GCP SA (" + a.project + ")"
	}
	fields := map[string]any{}
	if r.Metadata != nil {
		if err := json.Unmarshal(r.Metadata, &fields); err != nil {
			return nil, "", invalid("the metadata is not a JSON object")
		}
	}
	if fields == nil { // the metadata was null
		fields = map[string]any{}
	}
	fields["project_id"], fields["client_email"] = a.project, a.email
	metadata, err := json.Marshal(fields)
	return metadata, name, err
}

// Validate tries the active credential, whatever its state, and records the outcome. When
// the provider was not reached the stored state stays, and the outcome says PENDING.
// Without a credential the state is NOT_CONFIGURED.
func (i *Integrations) Validate(ctx context.Context, org, provider string) (Outcome, error) {
	p, err := i.provider(org, provider)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Provider: p.Name}
	r, secret, err := i.cfg.Store.resolve(ctx, org, p.Name, anyStatus...)
	var e *launcher.Error
	if errors.As(err, &e) && e.Code == launcher.CodeNotConfigured {
		out.Status, out.Message = NotConfigured, fmt.Sprintf("There is no credential of %s", p.DisplayName)
		return out, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	out.CredentialID = r.CredentialID
	kind, err := p.form(secret)
	found := verdict{status: Invalid}
	if err != nil {
		found.problem = err.Error()
	} else {
		found = i.tried(ctx, p, kind, secret)
	}
	out.Status, out.Problem = found.status, found.problem
	if found.status == Pending {
		out.Message = fmt.Sprintf("The credential of %s was not checked: %s", p.DisplayName, found.problem)
		return out, nil
	}
	err = i.cfg.Store.SetStatus(ctx, org, p.Name, Validation{ID: r.CredentialID, Status: found.status, LastError: found.problem})
	if err != nil {
		return Outcome{}, err
	}
	if found.status == Invalid {
		out.Message = fmt.Sprintf("The credential of %s is not valid: %s", p.DisplayName, found.problem)
		return out, nil
	}
	out.Message = i.finish(ctx, org, p, found)
	return out, nil
}

// Integration is a provider with the state of its credential. Info is zero but for its
// provider and NOT_CONFIGURED when there is none.
type Integration struct {
	Provider Provider
	Info     Info
}

// Status returns one integration.
func (i *Integrations) Status(ctx context.Context, org, provider string) (Integration, error) {
	p, err := i.provider(org, provider)
	if err != nil {
		return Integration{}, err
	}
	infos, err := i.cfg.Store.List(ctx, org)
	if err != nil {
		return Integration{}, err
	}
	return of(p, infos), nil
}

// List returns every provider of an organisation, by name.
func (i *Integrations) List(ctx context.Context, org string) ([]Integration, error) {
	infos, err := i.cfg.Store.List(ctx, org)
	if err != nil {
		return nil, err
	}
	var all []Integration
	for _, p := range i.cfg.Directory.Providers(org) {
		all = append(all, of(p, infos))
	}
	slices.SortFunc(all, func(a, b Integration) int { return strings.Compare(a.Provider.Name, b.Provider.Name) })
	return all, nil
}

func of(p Provider, infos []Info) Integration {
	for _, info := range infos {
		if info.Provider == p.Name {
			return Integration{Provider: p, Info: info}
		}
	}
	return Integration{Provider: p, Info: Info{Provider: p.Name, Status: NotConfigured}}
}

// Delete deactivates the credentials of a provider; the rows stay. Deleting what does not
// exist is no error.
func (i *Integrations) Delete(ctx context.Context, org, provider string) error {
	p, err := i.provider(org, provider)
	if err != nil {
		return err
	}
	return i.cfg.Store.Delete(ctx, org, p.Name)
}

func (i *Integrations) provider(org, name string) (Provider, error) {
	if err := checkOrg(org); err != nil {
		return Provider{}, err
	}
	p, ok := i.cfg.Directory.Provider(org, name)
	if ok {
		return p, nil
	}
	var names []string
	for _, p := range i.cfg.Directory.Providers(org) {
		names = append(names, strings.ToLower(p.Name))
	}
	slices.Sort(names)
	return Provider{}, invalid("unknown provider; there are %s", strings.Join(names, ", "))
}
