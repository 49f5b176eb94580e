package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

func TestProductionIsRefusedWithEveryReason(t *testing.T) {
	read := func(environ ...string) error {
		t.Helper()
		env, err := wiring.Read(append(environ, "ENVIRONMENT=production"))
		if err != nil {
			t.Fatal(err)
		}
		return checkProduction(env)
	}
	err := read("DISABLE_AUTH=true", "RATE_LIMIT_ENABLED=false", "CA_ROOT_API_KEY=short")
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, reason := range []string{"CA_ROOT_API_KEY is shorter", "DISABLE_AUTH", "RATE_LIMIT_ENABLED", "KMS_KEY_NAME", "CORS_ORIGINS is not set", "embedded warehouse"} {
		if !strings.Contains(err.Error(), reason) {
			t.Errorf("%q is not among the reasons: %v", reason, err)
		}
	}
	if strings.Contains(err.Error(), "short\n") || strings.Contains(err.Error(), "=short") {
		t.Errorf("the reasons hold the key: %v", err)
	}
	if err := read(); err == nil || !strings.Contains(err.Error(), "CA_ROOT_API_KEY is not set") {
		t.Errorf("a missing root key: %v", err)
	}
	good := []string{"GCP_PROJECT_ID=p", "CA_ROOT_API_KEY=" + strings.Repeat("k", 32), "KMS_KEY_NAME=projects/p/locations/l/keyRings/r/cryptoKeys/k", "CORS_ORIGINS=https://app.example"}
	if err := read(good...); err != nil {
		t.Errorf("what is safe is refused: %v", err)
	}
	if err := read(append(good, "CORS_ORIGINS=*")...); err == nil || !strings.Contains(err.Error(), "holds *") {
		t.Errorf("every origin: %v", err)
	}
	env, err := wiring.Read([]string{"DISABLE_AUTH=true", "RATE_LIMIT_ENABLED=false"})
	if err != nil || checkProduction(env) != nil {
		t.Errorf("development is held to production's rules: %v %v", err, checkProduction(env))
	}
}

func TestWhetherRunsCanKeepFilesIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := writable(dir); err != nil {
			t.Fatal(err)
		}
	}
	runs := filepath.Join(dir, "runs")
	if left, err := os.ReadDir(runs); err != nil || len(left) != 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
	if err := os.Remove(runs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(runs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writable(dir); err == nil {
		t.Error("a folder that cannot be written to is writable")
	}
}
