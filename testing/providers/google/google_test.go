package google_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/jwt"

	"github.com/cloudact/convergence/testing/providers/google"
)

const (
	billingScope  = "https://www.googleapis.com/auth/cloud-billing.readonly"
	bigqueryScope = "https://www.googleapis.com/auth/bigquery.readonly"
	computeScope  = "https://www.googleapis.com/auth/compute.readonly"
)

var account = google.Account{Name: "reader", Project: "acme-prod", Billing: []string{"Main", "Research", "Old"}}

// client is Google's own OAuth library with the key file of an account.
func client(t *testing.T, s *google.Server, base string, change func(*jwt.Config), scopes ...string) *http.Client {
	t.Helper()
	text, err := s.KeyFile(account.Email())
	if err != nil {
		t.Fatal(err)
	}
	var key map[string]string
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		t.Fatal(err)
	}
	config := &jwt.Config{
		Email: key["client_email"], PrivateKey: []byte(key["private_key"]), PrivateKeyID: key["private_key_id"],
		Scopes: scopes, TokenURL: base + "/token", Audience: google.TokenAudience,
	}
	if change != nil {
		change(config)
	}
	return config.Client(context.Background())
}

func get(c *http.Client, address string) (int, string, error) {
	resp, err := c.Get(address)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestGooglesOwnClientGetsATokenAndReads(t *testing.T) {
	s, base := google.RunT(t, google.Config{Accounts: []google.Account{account}})
	c := client(t, s, base, nil, billingScope, bigqueryScope)
	for _, call := range []struct{ path, want string }{
		{"/v1/billingAccounts", `"displayName":"Main"`},
		{"/v1/services", `"displayName":"BigQuery"`},
		{"/bigquery/v2/projects/acme-prod/datasets", `"id":"acme-prod:billing_export"`},
		{"/bigquery/v2/projects/other/datasets", "PERMISSION_DENIED"},
		{"/compute/v1/projects/acme-prod/aggregated/instances", "insufficient authentication scopes"},
		{"/compute/v1/projects/acme-prod/there-is-no-such", "NOT_FOUND"},
	} {
		if status, body, err := get(c, base+call.path); err != nil || !strings.Contains(body, call.want) {
			t.Errorf("%s: %d %s %v, want %q", call.path, status, body, err, call.want)
		}
	}
	if status, body, err := get(http.DefaultClient, base+"/v1/billingAccounts"); err != nil || status != 401 || !strings.Contains(body, "UNAUTHENTICATED") {
		t.Errorf("without a token: %d %s %v", status, body, err)
	}
}

func TestWrongAssertionsAreRefused(t *testing.T) {
	s, base := google.RunT(t, google.Config{Accounts: []google.Account{account}})
	other, otherBase := google.RunT(t, google.Config{Accounts: []google.Account{account}})
	for name, c := range map[string]struct {
		client *http.Client
		want   string
	}{
		"another key":     {client(t, other, base, nil, billingScope), "Invalid JWT Signature"},
		"unknown account": {client(t, s, base, func(c *jwt.Config) { c.Email = "x@y" }, billingScope), "account not found"},
		"no scope":        {client(t, s, base, nil), "invalid_scope"},
		"another place":   {client(t, s, base, func(c *jwt.Config) { c.Audience = otherBase }, billingScope), "audience"},
		"too long":        {client(t, s, base, func(c *jwt.Config) { c.Expires = 3 * time.Hour }, billingScope), "short-lived"},
	} {
		if _, _, err := get(c.client, base+"/v1/billingAccounts"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := s.Disable(account.Email()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(client(t, s, base, nil, billingScope), base+"/v1/services"); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a disabled account got a token: %v", err)
	}
}

func TestTokensEnd(t *testing.T) {
	now := time.Now()
	s, base := google.RunT(t, google.Config{Accounts: []google.Account{account}, Clock: func() time.Time { return now }})
	c := client(t, s, base, nil, billingScope)
	if status, _, err := get(c, base+"/v1/services"); status != 200 || err != nil {
		t.Fatal(status, err)
	}
	now = now.Add(time.Hour)
	if status, _, err := get(c, base+"/v1/services"); status != 401 || err != nil {
		t.Fatalf("an old token opened the API: %d %v", status, err)
	}
}

func TestListsPage(t *testing.T) {
	s, base := google.RunT(t, google.Config{Accounts: []google.Account{account}, Instances: 7})
	c := client(t, s, base, nil, billingScope, computeScope)
	seen := map[string]bool{}
	token, pages := "", 0
	for {
		_, body, err := get(c, base+"/v1/billingAccounts?pageSize=2&pageToken="+token)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			BillingAccounts []struct{ Name string }
			NextPageToken   string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, a := range page.BillingAccounts {
			seen[a.Name] = true
		}
		pages++
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if pages != 2 || len(seen) != 3 {
		t.Errorf("%d pages with %d accounts, want 2 with 3", pages, len(seen))
	}
	_, body, err := get(c, base+"/compute/v1/projects/acme-prod/aggregated/instances?maxResults=3")
	if err != nil || strings.Count(body, `"machineType"`) != 3 || !strings.Contains(body, "NO_RESULTS_ON_PAGE") || !strings.Contains(body, "nextPageToken") {
		t.Errorf("instances: %s %v", body, err)
	}
	if status, _, err := get(c, base+"/v1/billingAccounts?pageToken=x"); status != 400 || err != nil {
		t.Error(fmt.Sprint("a wrong page token: ", status, err))
	}
}
