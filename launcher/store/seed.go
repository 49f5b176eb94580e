package store

import (
	"context"
	"fmt"

	"cloud.google.com/go/bigquery"
	"github.com/google/uuid"
)

// DevelopmentOrg is an organisation that a laptop starts with.
type DevelopmentOrg struct {
	Slug       string
	Company    string
	AdminEmail string
	KeyHash    string // lower-case hex SHA-256 of its API key
	Env        string
}

// SeedDevelopment adds an organisation with an active trial and one key, and creates its
// dataset. What exists already is left alone.
func (s *Store) SeedDevelopment(ctx context.Context, org DevelopmentOrg) error {
	dataset := org.Slug + "_" + org.Env
	if err := CreateDataset(ctx, s.cfg.Client, dataset, s.cfg.Location); err != nil {
		return err
	}
	params := []bigquery.QueryParameter{
		{Name: "org", Value: org.Slug},
		{Name: "company", Value: org.Company},
		{Name: "email", Value: org.AdminEmail},
		{Name: "dataset", Value: dataset},
		{Name: "hash", Value: org.KeyHash},
		{Name: "now", Value: s.cfg.Now()},
		{Name: "key_id", Value: uuid.NewString()},
		{Name: "subscription_id", Value: uuid.NewString()},
	}
	for _, name := range []string{"seed_profile.sql", "seed_subscription.sql", "seed_key.sql"} {
		if err := s.execute(ctx, name, params...); err != nil {
			return fmt.Errorf("seed organisation %s: %w", org.Slug, err)
		}
	}
	return nil
}
