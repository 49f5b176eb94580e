package credentials_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	bqlocal "github.com/cloudact/convergence/local/bigquery"
	"github.com/cloudact/convergence/local/kms"
)

const (
	project = "p-1"
	table   = "org_integration_credentials"
)

// cloud is an embedded warehouse with the credentials table, an embedded KMS, and a store over both.
type cloud struct {
	store *credentials.Store
	bq    *bigquery.Client
	kms   *kmsapi.KeyManagementClient
	log   *bytes.Buffer
	now   time.Time
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{log: &bytes.Buffer{}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	c.bq, c.kms = warehouse(t), keys(t)
	c.store = credentials.New(credentials.Config{
		BigQuery: c.bq, KMS: c.kms, KeyName: credentials.DefaultKeyName(project),
		Aliases: map[string]string{"claude": "ANTHROPIC", "gcp": "GCP_SA"},
		Clock:   func() time.Time { return c.now },
		Log:     slog.New(slog.NewTextHandler(c.log, nil)),
	})
	return c
}

func warehouse(t *testing.T) *bigquery.Client {
	t.Helper()
	server, err := bqlocal.Open(t.Context(), bqlocal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := bigquery.NewClient(t.Context(), project, option.WithEndpoint(web.URL+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.Dataset("organizations").Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("../../configs/organizations/" + table + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Fields json.RawMessage }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	schema, err := bigquery.SchemaFromJSON(doc.Fields)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Dataset("organizations").Table(table).Create(t.Context(), &bigquery.TableMetadata{Schema: schema}); err != nil {
		t.Fatal(err)
	}
	return client
}

func keys(t *testing.T) *kmsapi.KeyManagementClient {
	t.Helper()
	server, err := kms.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureKey(credentials.DefaultKeyName(project)); err != nil {
		t.Fatal(err)
	}
	client, err := kmsapi.NewKeyManagementClient(t.Context(), option.WithEndpoint(kms.RunT(t, server)), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func openAI(org, secret string) credentials.Credential {
	return credentials.Credential{
		Org: org, Provider: "openai", Name: "OpenAI API Key", Type: credentials.APIKey,
		Secret: credentials.NewSecret(secret), Status: credentials.Valid,
	}
}

func (c *cloud) set(t *testing.T, cred credentials.Credential) string {
	t.Helper()
	id, err := c.store.Set(t.Context(), cred)
	if err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Second)
	return id
}

func (c *cloud) want(t *testing.T, org, provider, secret string) {
	t.Helper()
	got, err := c.store.Resolve(t.Context(), org, provider)
	if err != nil {
		t.Fatal(err)
	}
	if got.Reveal() != secret {
		t.Fatalf("resolved another credential than %s's of %s", org, provider)
	}
}

func wantNotConfigured(t *testing.T, err error) {
	t.Helper()
	var e *launcher.Error
	if !errors.As(err, &e) || e.Code != launcher.CodeNotConfigured {
		t.Fatalf("error = %v, want %s", err, launcher.CodeNotConfigured)
	}
}

// wantSealed wants the one answer that credentials which cannot be opened have in common.
func wantSealed(t *testing.T, err error) {
	t.Helper()
	var e *launcher.Error
	if !errors.As(err, &e) || e.Code != credentials.CodeDecrypt || e.Err != nil || !strings.HasSuffix(e.Message, "cannot be opened: set the integration up again") {
		t.Fatalf("error = %v, want %s and no cause", err, credentials.CodeDecrypt)
	}
}

// sql runs a statement on the central dataset and returns its rows.
func (c *cloud) sql(t *testing.T, text string, params ...bigquery.QueryParameter) [][]bigquery.Value {
	t.Helper()
	q := c.bq.Query(text)
	q.DefaultProjectID, q.DefaultDatasetID, q.Parameters = project, "organizations", params
	it, err := q.Read(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var rows [][]bigquery.Value
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

func TestTheNewestCredentialReplacesTheOlder(t *testing.T) {
	c := newCloud(t)
	first := c.set(t, openAI("acme", "sk-first-000"))
	second := c.set(t, openAI("acme", canary))
	if first == second {
		t.Fatal("two credentials have one id")
	}
	c.want(t, "acme", "OpenAI", canary)
	rows := c.sql(t, "SELECT credential_id FROM org_integration_credentials WHERE is_active")
	if len(rows) != 1 || rows[0][0] != second {
		t.Fatalf("active rows = %v, want only %s", rows, second)
	}
	if rows := c.sql(t, "SELECT 1 FROM org_integration_credentials"); len(rows) != 2 {
		t.Fatalf("history has %d rows, want 2", len(rows))
	}
}

func TestSecretsAreStoredOnlyEncrypted(t *testing.T) {
	c := newCloud(t)
	c.set(t, openAI("acme", canary))
	rows := c.sql(t, "SELECT TO_JSON_STRING(t), encrypted_credential FROM org_integration_credentials AS t")
	if strings.Contains(rows[0][0].(string), canary) || bytes.Contains(rows[0][1].([]byte), []byte(canary)) {
		t.Fatal("the table holds the secret")
	}
}

func TestAnotherOrganisationCannotUseACopiedRow(t *testing.T) {
	c := newCloud(t)
	c.set(t, openAI("acme", canary))
	c.sql(t, "UPDATE org_integration_credentials SET org_slug = 'rival' WHERE TRUE")
	secret, err := c.store.Resolve(t.Context(), "rival", "OPENAI")
	wantSealed(t, err)
	if secret.Reveal() != "" {
		t.Fatal("a row moved between organisations opened")
	}
	_, err = c.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err)
}

func TestARowMovedToAnotherProviderDoesNotOpen(t *testing.T) {
	c := newCloud(t)
	c.set(t, openAI("acme", canary))
	c.sql(t, "UPDATE org_integration_credentials SET provider = 'ANTHROPIC' WHERE TRUE")
	_, err := c.store.Resolve(t.Context(), "acme", "ANTHROPIC")
	wantSealed(t, err)
}

func TestOrganisationsAndProvidersAreSeparate(t *testing.T) {
	c := newCloud(t)
	c.set(t, openAI("acme", "sk-acme-0000"))
	c.set(t, openAI("rival", "sk-rival-000"))
	claude := openAI("acme", "sk-ant-00000")
	claude.Provider = "claude"
	c.set(t, claude)
	c.want(t, "acme", "OPENAI", "sk-acme-0000")
	c.want(t, "rival", "OPENAI", "sk-rival-000")
	c.want(t, "acme", "anthropic", "sk-ant-00000")
	c.want(t, "acme", "CLAUDE", "sk-ant-00000")
	if err := c.store.Delete(t.Context(), "acme", "openai"); err != nil {
		t.Fatal(err)
	}
	_, err := c.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err)
	c.want(t, "rival", "OPENAI", "sk-rival-000")
	if err := c.store.Delete(t.Context(), "acme", "openai"); err != nil {
		t.Fatalf("deleting what is not there: %v", err)
	}
}

func TestOnlyValidatedCredentialsAreUsedByPipelines(t *testing.T) {
	c := newCloud(t)
	cred := openAI("acme", canary)
	cred.Status = credentials.Pending
	c.set(t, cred)
	_, err := c.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err)
	if got, err := c.store.ResolveActive(t.Context(), "acme", "OPENAI"); err != nil || got.Reveal() != canary {
		t.Fatalf("a pending credential cannot be validated: %v", err)
	}
	if err := c.store.SetStatus(t.Context(), "acme", "OPENAI", credentials.Validation{Status: credentials.Valid}); err != nil {
		t.Fatal(err)
	}
	c.want(t, "acme", "OPENAI", canary)
	if err := c.store.SetStatus(t.Context(), "acme", "OPENAI", credentials.Validation{Status: credentials.Invalid, LastError: "Invalid API key"}); err != nil {
		t.Fatal(err)
	}
	_, err = c.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err)
	infos, err := c.store.List(t.Context(), "acme")
	if err != nil || len(infos) != 1 || infos[0].Status != credentials.Invalid || infos[0].LastError != "Invalid API key" || !infos[0].LastValidated.Equal(c.now) {
		t.Fatalf("listed %+v, %v", infos, err)
	}
}

func TestListShowsWhatIsActiveByProvider(t *testing.T) {
	c := newCloud(t)
	if infos, err := c.store.List(t.Context(), "acme"); err != nil || len(infos) != 0 {
		t.Fatalf("an empty table lists %v, %v", infos, err)
	}
	created := c.now
	gcp := credentials.Credential{
		Org: "acme", Provider: "gcp", Type: credentials.ServiceAccountJSON, Status: credentials.Pending,
		Secret: credentials.NewSecret(`{"private_key":"` + canary + `"}`), Metadata: json.RawMessage(`{"project_id":"p-9"}`),
	}
	id := c.set(t, gcp)
	c.set(t, openAI("acme", canary))
	c.set(t, openAI("other", canary))
	infos, err := c.store.List(t.Context(), "acme")
	if err != nil || len(infos) != 2 || infos[0].Provider != "GCP_SA" || infos[1].Provider != "OPENAI" {
		t.Fatalf("listed %+v, %v", infos, err)
	}
	var meta map[string]string
	if err := json.Unmarshal(infos[0].Metadata, &meta); err != nil || meta["project_id"] != "p-9" {
		t.Errorf("metadata = %s, %v", infos[0].Metadata, err)
	}
	if g := infos[0]; g.ID != id || g.Type != credentials.ServiceAccountJSON || g.Status != credentials.Pending || !g.LastValidated.IsZero() || !g.Created.Equal(created) {
		t.Errorf("listed %+v", g)
	}
	if infos[1].Name != "OpenAI API Key" || infos[1].LastValidated.IsZero() || infos[1].Metadata != nil {
		t.Errorf("listed %+v", infos[1])
	}
}

// insertUnbound writes a row as it was written before credentials were bound to their place.
func (c *cloud) insertUnbound(t *testing.T, org, provider string) {
	t.Helper()
	res, err := c.kms.Encrypt(t.Context(), &kmspb.EncryptRequest{Name: credentials.DefaultKeyName(project), Plaintext: []byte(canary)})
	if err != nil {
		t.Fatal(err)
	}
	c.sql(t, `INSERT INTO org_integration_credentials
		(credential_id, org_slug, provider, encrypted_credential, credential_type, validation_status, is_active, created_at)
		VALUES ('old-1', @org, @provider, @sealed, 'API_KEY', 'VALID', TRUE, TIMESTAMP '2025-01-01 00:00:00+00')`,
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "provider", Value: provider},
		bigquery.QueryParameter{Name: "sealed", Value: res.Ciphertext})
}

func TestAnUnboundRowOpensAndIsBoundOnUse(t *testing.T) {
	c := newCloud(t)
	c.insertUnbound(t, "acme", "CLAUDE")
	c.want(t, "acme", "claude", canary)
	c.want(t, "acme", "claude", canary)
	if c.log.Len() != 0 {
		t.Errorf("logged %s", c.log)
	}
	c.sql(t, "UPDATE org_integration_credentials SET org_slug = 'rival' WHERE TRUE")
	_, err := c.store.Resolve(t.Context(), "rival", "claude")
	wantSealed(t, err)
}

func TestConcurrentSettersLeaveOneActiveCredential(t *testing.T) {
	c := newCloud(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, err := c.store.Set(t.Context(), openAI("acme", fmt.Sprintf("sk-racer-%04d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if rows := c.sql(t, "SELECT 1 FROM org_integration_credentials WHERE is_active"); len(rows) != 1 {
		t.Fatalf("%d active credentials", len(rows))
	}
}

func TestErrorsAndLogsNeverHoldTheSecret(t *testing.T) {
	c := newCloud(t)
	var texts []string
	fail := func(err error) {
		t.Helper()
		if err == nil {
			t.Fatal("no error")
		}
		texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	set := func(ctx context.Context, change func(*credentials.Credential)) {
		cred := openAI("acme", canary)
		change(&cred)
		_, err := c.store.Set(ctx, cred)
		fail(err)
		texts = append(texts, fmt.Sprintf("%v %+v %#v", cred, cred, &cred))
	}
	ctx := t.Context()
	set(ctx, func(cr *credentials.Credential) { cr.Org = "../x" })
	set(ctx, func(cr *credentials.Credential) { cr.Provider = "a b" })
	set(ctx, func(cr *credentials.Credential) { cr.Type = "OTHER" })
	set(ctx, func(cr *credentials.Credential) { cr.Status = "" })
	set(ctx, func(cr *credentials.Credential) { cr.Metadata = json.RawMessage("{") })
	ended, cancel := context.WithCancel(ctx)
	cancel()
	set(ended, func(*credentials.Credential) {})
	c.set(t, openAI("acme", canary))
	c.sql(t, "UPDATE org_integration_credentials SET encrypted_credential = CONCAT(encrypted_credential, b'x') WHERE TRUE")
	_, err := c.store.Resolve(ctx, "acme", "OPENAI")
	fail(err)
	if err := c.bq.Dataset("organizations").Table(table).Delete(ctx); err != nil {
		t.Fatal(err)
	}
	set(ctx, func(*credentials.Credential) {})
	_, err = c.store.Resolve(ctx, "acme", "OPENAI")
	fail(err)
	if all := strings.Join(texts, "\n") + c.log.String(); strings.Contains(all, canary) {
		t.Fatalf("the secret is in an error or log")
	}
}

func TestPlainFitsConsumersThatWantAString(t *testing.T) {
	c := newCloud(t)
	c.set(t, openAI("acme", canary))
	var resolver interface {
		Resolve(ctx context.Context, org, provider string) (string, error)
	} = credentials.Plain{Store: c.store}
	if got, err := resolver.Resolve(t.Context(), "acme", "openai"); err != nil || got != canary {
		t.Fatalf("resolved %q, %v", got, err)
	}
	_, err := resolver.Resolve(t.Context(), "nobody", "openai")
	wantNotConfigured(t, err)
}
