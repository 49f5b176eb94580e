package main

import (
	"context"
	"time"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/launcher/credentials"
)

// integrationsOf shows credentials to the API: it implements api.Integrations and
// api.IntegrationStates.
type integrationsOf struct{ of *credentials.Integrations }

// Setup implements api.Integrations.
func (i integrationsOf) Setup(ctx context.Context, r api.SetupRequest) (api.IntegrationOutcome, error) {
	out, err := i.of.Setup(ctx, credentials.SetupRequest{
		Org: r.Org, Provider: r.Provider, Secret: credentials.NewSecret(r.Secret), Name: r.Name, Metadata: r.Metadata, By: r.By, SkipValidation: r.SkipValidation,
	})
	return outcome(out), err
}

// Validate implements api.Integrations.
func (i integrationsOf) Validate(ctx context.Context, org, provider string) (api.IntegrationOutcome, error) {
	out, err := i.of.Validate(ctx, org, provider)
	return outcome(out), err
}

func outcome(o credentials.Outcome) api.IntegrationOutcome {
	return api.IntegrationOutcome{Provider: o.Provider, CredentialID: o.CredentialID, Status: string(o.Status), Problem: o.Problem, Message: o.Message}
}

// Integrations implements api.IntegrationStates.
func (i integrationsOf) Integrations(ctx context.Context, org string) ([]api.Integration, error) {
	all, err := i.of.List(ctx, org)
	if err != nil {
		return nil, err
	}
	out := make([]api.Integration, len(all))
	for n, one := range all {
		out[n] = integration(one)
	}
	return out, nil
}

// Integration implements api.IntegrationStates.
func (i integrationsOf) Integration(ctx context.Context, org, provider string) (api.Integration, error) {
	one, err := i.of.Status(ctx, org, provider)
	return integration(one), err
}

func integration(i credentials.Integration) api.Integration {
	out := api.Integration{Provider: i.Provider.Name, Status: string(i.Info.Status)}
	if i.Info.ID == "" {
		return out
	}
	out.Name, out.LastError = textOrNil(i.Info.Name), textOrNil(i.Info.LastError)
	out.Created, out.LastValidated = timeOrNil(i.Info.Created), timeOrNil(i.Info.LastValidated)
	return out
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Delete implements api.IntegrationStates.
func (i integrationsOf) Delete(ctx context.Context, org, provider string) (string, error) {
	one, err := i.of.Status(ctx, org, provider)
	if err != nil {
		return "", err
	}
	return one.Provider.Name, i.of.Delete(ctx, org, provider)
}
