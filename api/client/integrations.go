package client

import (
	"context"
	"net/http"
	"time"
)

const integrationsPath = base + "/integrations"

// Setup is a credential for a provider.
type Setup struct {
	Credential     string         `json:"credential"`
	Name           string         `json:"credential_name,omitempty"`
	Metadata       map[string]any `json:"metadata,omitempty"` // not secret
	SkipValidation bool           `json:"skip_validation,omitempty"`
}

// SetupAnswer says what a set-up or validation came to.
type SetupAnswer struct {
	Success      bool   `json:"success"`
	Provider     string `json:"provider"`
	CredentialID string `json:"credential_id"`
	Status       string `json:"validation_status"` // VALID, INVALID, PENDING, FAILED, NOT_CONFIGURED
	Error        string `json:"validation_error"`
	Message      string `json:"message"`
}

// Integration is the state of a provider.
type Integration struct {
	Provider      string     `json:"provider"`
	Status        string     `json:"status"`
	Name          string     `json:"credential_name"`
	LastValidated *time.Time `json:"last_validated_at"`
	LastError     string     `json:"last_error"`
	Created       *time.Time `json:"created_at"`
}

// Integrations is the state of all providers.
type Integrations struct {
	Org          string                 `json:"org_slug"`
	Integrations map[string]Integration `json:"integrations"`
	AllValid     bool                   `json:"all_valid"`
	Configured   []string               `json:"providers_configured"`
}

// SetUp checks and stores the credential of a provider. That it is not VALID is in the
// answer, not in the error.
func (c *Client) SetUp(ctx context.Context, org, provider string, s Setup) (SetupAnswer, error) {
	return fetch[SetupAnswer](ctx, c, http.MethodPost, parts(integrationsPath, org, provider, "setup"), s)
}

// ValidateIntegration tries the stored credential again.
func (c *Client) ValidateIntegration(ctx context.Context, org, provider string) (SetupAnswer, error) {
	return fetch[SetupAnswer](ctx, c, http.MethodPost, parts(integrationsPath, org, provider, "validate"), nil)
}

// Integrations says which providers are set up.
func (c *Client) Integrations(ctx context.Context, org string) (Integrations, error) {
	return fetch[Integrations](ctx, c, http.MethodGet, parts(integrationsPath, org), nil)
}

// Integration says whether a provider is set up.
func (c *Client) Integration(ctx context.Context, org, provider string) (Integration, error) {
	return fetch[Integration](ctx, c, http.MethodGet, parts(integrationsPath, org, provider), nil)
}

// DeleteIntegration forgets the credential of a provider; without one it does nothing.
func (c *Client) DeleteIntegration(ctx context.Context, org, provider string) error {
	return c.call(ctx, http.MethodDelete, parts(integrationsPath, org, provider), nil, nil)
}
