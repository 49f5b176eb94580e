package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudact/convergence/api/client"
)

const (
	provider = "OPENAI"
	valid    = "VALID"
	invalid  = "INVALID"
	wrongKey = "sk-admin-demo-nobody-000000"
)

// integrations stores each organisation's admin key through the API, which tries it
// against the provider and encrypts it with the embedded KMS.
func (d *demo) integrations(ctx context.Context) error {
	fmt.Println("\nStoring credentials: tried against the provider, encrypted by KMS")
	if err := d.setUp(ctx, organisations[0].Name, wrongKey, invalid); err != nil {
		return err
	}
	for _, org := range organisations {
		if err := d.setUp(ctx, org.Name, org.AdminKey, valid); err != nil {
			return err
		}
		if err := d.integrated(ctx, org.Name); err != nil {
			return err
		}
	}
	return d.sealed(ctx)
}

func (d *demo) setUp(ctx context.Context, org, key, want string) error {
	got, err := d.client(d.service.keys[org]).SetUp(ctx, org, strings.ToLower(provider), client.Setup{Credential: key})
	if err != nil {
		return fmt.Errorf("set up %s of %s: %w", provider, org, err)
	}
	fmt.Printf("  POST /api/v1/integrations/%s/openai/setup -> %s: %s\n", org, got.Status, got.Message)
	if got.Status != want {
		return fmt.Errorf("the credential of %s is %s, not %s: %s", org, got.Status, want, got.Error)
	}
	return nil
}

// integrated shows which providers are set up: the one that was, and no other.
func (d *demo) integrated(ctx context.Context, org string) error {
	got, err := d.client(d.service.keys[org]).Integrations(ctx, org)
	if err != nil {
		return fmt.Errorf("list integrations of %s: %w", org, err)
	}
	var without []string
	for name, i := range got.Integrations {
		if i.Status != valid {
			without = append(without, name)
		}
	}
	slices.Sort(without)
	fmt.Printf("  GET  /api/v1/integrations/%s -> %s %s; not set up: %s\n", org, strings.Join(got.Configured, ", "), got.Integrations[provider].Status, strings.Join(without, ", "))
	if !got.AllValid || !slices.Equal(got.Configured, []string{provider}) {
		return fmt.Errorf("%s has %v set up, all valid: %t; want %s alone", org, got.Configured, got.AllValid, provider)
	}
	return nil
}

const credentialRows = `SELECT org_slug, validation_status, LENGTH(encrypted_credential) AS bytes,
  STRPOS(TO_HEX(encrypted_credential), TO_HEX(b'sk-admin')) > 0 AS readable
FROM organizations.org_integration_credentials WHERE is_active ORDER BY org_slug`

// sealed checks that the warehouse holds the keys encrypted.
func (d *demo) sealed(ctx context.Context) error {
	records, err := d.query(ctx, organisations[0].Name, credentialRows)
	if err != nil {
		return err
	}
	if len(records) != len(organisations)+1 {
		return fmt.Errorf("%d active credentials are stored, want %d", len(records)-1, len(organisations))
	}
	for _, r := range records[1:] {
		if r[1] != valid || r[3] == "true" {
			return fmt.Errorf("the credential of %s is %s, readable: %s", r[0], r[1], r[3])
		}
		fmt.Printf("  organizations.org_integration_credentials: %s %s, %s bytes, none of them readable\n", r[0], r[1], r[2])
	}
	return nil
}
