package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Integrations sets providers up. A Secret is never shown again.
type Integrations interface {
	Setup(ctx context.Context, r SetupRequest) (IntegrationOutcome, error)
	Validate(ctx context.Context, org, provider string) (IntegrationOutcome, error)
}

// IntegrationStates shows which providers are set up, and forgets credentials.
type IntegrationStates interface {
	Integrations(ctx context.Context, org string) ([]Integration, error)
	Integration(ctx context.Context, org, provider string) (Integration, error)
	// Delete answers with the provider's name; what is not set up is no error.
	Delete(ctx context.Context, org, provider string) (name string, err error)
}

// SetupRequest is a credential to become the one of an organisation and provider.
type SetupRequest struct {
	Org, Provider  string
	Secret         string
	Name           string
	Metadata       json.RawMessage // a JSON object; nil is none
	By             string
	SkipValidation bool
}

// IntegrationOutcome is what a set-up or validation came to.
type IntegrationOutcome struct {
	Provider     string
	CredentialID string // "" when nothing was stored
	Status       string // VALID, INVALID, PENDING, FAILED, NOT_CONFIGURED
	Problem      string
	Message      string
}

// Integration is the state of a provider.
type Integration struct {
	Provider      string     `json:"provider"`
	Status        string     `json:"status" enum:"VALID,INVALID,PENDING,EXPIRED,NOT_CONFIGURED"`
	Name          *string    `json:"credential_name"`
	LastValidated *time.Time `json:"last_validated_at"`
	LastError     *string    `json:"last_error"`
	Created       *time.Time `json:"created_at"`
}

const (
	statusValid         = "VALID"
	statusNotConfigured = "NOT_CONFIGURED"
	tagIntegrations     = "Integrations"
)

type setupInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	User     string `header:"X-User-ID" maxLength:"200"`
	Body     struct {
		Credential     string         `json:"credential,omitempty" minLength:"10" maxLength:"100000" doc:"API key, user:password, or the text of a key file"`
		APIKey         string         `json:"api_key,omitempty" minLength:"10" maxLength:"100000" doc:"the same under another name; give one of the two"`
		CredentialName *string        `json:"credential_name,omitempty" nullable:"true" minLength:"3" maxLength:"200"`
		Metadata       map[string]any `json:"metadata,omitempty" doc:"kept beside the credential, not secret"`
		SkipValidation bool           `json:"skip_validation,omitempty" doc:"store it as PENDING without trying it"`
	}
}

type integrationInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
}

type orgInput struct {
	Org string `path:"org"`
}

type setupOutput struct {
	Body struct {
		Success      bool    `json:"success" doc:"whether the credential is VALID; of a validation: whether there was one to try"`
		Provider     string  `json:"provider"`
		CredentialID *string `json:"credential_id"`
		Status       string  `json:"validation_status" enum:"VALID,INVALID,PENDING,FAILED,NOT_CONFIGURED"`
		Error        *string `json:"validation_error"`
		Message      string  `json:"message"`
	}
}

type integrationsOutput struct {
	Body struct {
		Org          string                 `json:"org_slug"`
		Integrations map[string]Integration `json:"integrations" doc:"by provider, all that there are"`
		AllValid     bool                   `json:"all_valid" doc:"whether every configured one is VALID; false when none is configured"`
		Configured   []string               `json:"providers_configured"`
	}
}

type integrationOutput struct{ Body Integration }

type deletedIntegration struct {
	Body struct {
		Success  bool   `json:"success"`
		Message  string `json:"message"`
		Provider string `json:"provider"`
	}
}

func (s *service) integrations() {
	at := func(method, path, id, summary, scope, action string) route {
		return route{
			method: method, path: prefix + "/integrations/{org}" + path, id: id, summary: summary, tag: tagIntegrations,
			key: keyOrg, scope: "integrations:" + scope, action: action, resource: resourceIntegration,
		}
	}
	add(s, at(http.MethodPost, "/{provider}/setup", "setup-integration", "Check and store the credential of a provider", "create", actionCreate), s.setup)
	validate := at(http.MethodPost, "/{provider}/validate", "validate-integration", "Try the stored credential again", "validate", actionExecute)
	validate.also = []int{http.StatusConflict}
	add(s, validate, s.validateIntegration)
	add(s, at(http.MethodGet, "", "list-integrations", "Which providers are set up", "read", actionRead), s.listIntegrations)
	add(s, at(http.MethodGet, "/{provider}", "get-integration", "Whether a provider is set up", "read", actionRead), s.getIntegration)
	add(s, at(http.MethodDelete, "/{provider}", "delete-integration", "Forget the credential of a provider", "delete", actionDelete), s.deleteIntegration)
}

func (s *service) setup(ctx context.Context, in *setupInput) (*setupOutput, error) {
	b := in.Body
	if (b.Credential == "") == (b.APIKey == "") {
		return nil, refuse(codeInvalidPayload, "a set-up needs one credential", "body.credential", "give credential or api_key, not both")
	}
	r := SetupRequest{Org: principal(ctx).Org, Provider: in.Provider, Secret: b.Credential + b.APIKey, By: in.User, SkipValidation: b.SkipValidation}
	if b.CredentialName != nil {
		r.Name = *b.CredentialName
	}
	if b.Metadata != nil {
		text, err := json.Marshal(b.Metadata)
		if err != nil {
			return nil, refuse(codeInvalidPayload, "the metadata is no JSON object", "body.metadata", err.Error())
		}
		r.Metadata = text
	}
	out, err := s.cfg.Integrations.Setup(ctx, r)
	if err != nil {
		return nil, s.problem(ctx, "set up integration", err)
	}
	return outcomeOf(out, out.Status == statusValid), nil
}

func (s *service) validateIntegration(ctx context.Context, in *integrationInput) (*setupOutput, error) {
	out, err := s.cfg.Integrations.Validate(ctx, principal(ctx).Org, in.Provider)
	if err != nil {
		return nil, s.problem(ctx, "validate integration", err)
	}
	out.CredentialID = ""
	return outcomeOf(out, out.Status != statusNotConfigured), nil
}

func outcomeOf(o IntegrationOutcome, success bool) *setupOutput {
	var out setupOutput
	out.Body.Success, out.Body.Provider, out.Body.Status, out.Body.Message = success, o.Provider, o.Status, o.Message
	out.Body.CredentialID, out.Body.Error = orNull(o.CredentialID), orNull(o.Problem)
	return &out
}

// orNull is null in JSON for an empty text.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *service) listIntegrations(ctx context.Context, in *orgInput) (*integrationsOutput, error) {
	all, err := s.cfg.IntegrationStates.Integrations(ctx, in.Org)
	if err != nil {
		return nil, s.problem(ctx, "list integrations", err)
	}
	var out integrationsOutput
	out.Body.Org, out.Body.Integrations, out.Body.Configured = in.Org, map[string]Integration{}, []string{}
	valid := true
	for _, i := range all {
		out.Body.Integrations[i.Provider] = i
		if i.Status != statusNotConfigured {
			out.Body.Configured = append(out.Body.Configured, i.Provider)
			valid = valid && i.Status == statusValid
		}
	}
	out.Body.AllValid = valid && len(out.Body.Configured) > 0
	return &out, nil
}

func (s *service) getIntegration(ctx context.Context, in *integrationInput) (*integrationOutput, error) {
	i, err := s.cfg.IntegrationStates.Integration(ctx, in.Org, in.Provider)
	if err != nil {
		return nil, s.problem(ctx, "get integration", err)
	}
	return &integrationOutput{Body: i}, nil
}

func (s *service) deleteIntegration(ctx context.Context, in *integrationInput) (*deletedIntegration, error) {
	name, err := s.cfg.IntegrationStates.Delete(ctx, in.Org, in.Provider)
	if err != nil {
		return nil, s.problem(ctx, "delete integration", err)
	}
	var out deletedIntegration
	out.Body.Success, out.Body.Provider = true, name
	out.Body.Message = "The credential of " + name + " is not used any more"
	return &out, nil
}
