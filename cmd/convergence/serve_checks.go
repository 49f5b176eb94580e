package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

// minRootKey is what a root key must have to be none that can be guessed.
const minRootKey = 32

// checkProduction finds every reason why the service must not start in production.
func checkProduction(env wiring.Environment) error {
	if !env.Production() {
		return nil
	}
	s := env.Service
	var reasons []error
	for _, check := range []struct {
		bad    bool
		reason string
	}{
		{s.RootKey == "", "CA_ROOT_API_KEY is not set: nobody could work the scheduler"},
		{s.RootKey != "" && len(s.RootKey) < minRootKey, "CA_ROOT_API_KEY is shorter than 32 characters"},
		{s.OpenOrg != "", "DISABLE_AUTH is set: everybody could do everything"},
		{!s.Limited, "RATE_LIMIT_ENABLED is false"},
		{env.KMSKey == "", "no key encrypts credentials: set KMS_KEY_NAME, or KMS_PROJECT_ID"},
		{s.DefaultOrigins, "CORS_ORIGINS is not set: its default is a developer's browser"},
		{slices.Contains(s.CORSOrigins, "*"), "CORS_ORIGINS holds *: every page could read answers"},
		{env.Embedded(), "the embedded warehouse is for development: set GCP_PROJECT_ID"},
		{env.BigQueryEndpoint != "", "CONVERGENCE_BIGQUERY_ENDPOINT is set: the warehouse would not be Google's"},
	} {
		if check.bad {
			reasons = append(reasons, errors.New("production: "+check.reason))
		}
	}
	return errors.Join(reasons...)
}

// writable finds out whether runs can keep files in the data directory: its disk may be
// full, or gone.
func writable(dir string) error {
	const probed = 64 << 10 // bytes: what a run writes before its job starts, with some room
	runs := filepath.Join(dir, "runs")
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return fmt.Errorf("make the folder of runs: %w", err)
	}
	probe, err := os.CreateTemp(runs, ".probe-*")
	if err != nil {
		return fmt.Errorf("write into the folder of runs: %w", err)
	}
	_, err = probe.Write(make([]byte, probed))
	if err = errors.Join(err, probe.Sync(), probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("write into the folder of runs: %w", err)
	}
	return nil
}
