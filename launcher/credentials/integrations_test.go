package credentials_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/testing/providers/anthropic"
	"github.com/cloudact/convergence/testing/providers/google"
	"github.com/cloudact/convergence/testing/providers/openai"
	"github.com/cloudact/convergence/transforms/source"
)

// directory is what the product and one organisation declare.
type directory map[string]credentials.Provider

var otherNames = map[string]string{"claude": "ANTHROPIC", "gcp": "GCP_SA"}

func (d directory) Provider(_, name string) (credentials.Provider, bool) {
	if full, ok := otherNames[strings.ToLower(name)]; ok {
		name = full
	}
	p, ok := d[strings.ToUpper(name)]
	return p, ok
}

func (d directory) Providers(string) []credentials.Provider {
	var all []credentials.Provider
	for _, p := range d {
		all = append(all, p)
	}
	return all
}

// office is a cloud with simulated providers and the life of integrations over them.
type office struct {
	*cloud
	integrations *credentials.Integrations
	directory    directory
	openai       *openai.Server
	google       *google.Server
	ready        []string
	readyErr     error
}

const (
	openAIAdmin = "sk-admin-" + canary
	openAIKey   = "sk-proj-" + canary
	claudeAdmin = "sk-ant-admin01-" + canary
)

var account = google.Account{Name: "reader", Project: "acme-prod"}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{cloud: newCloud(t)}
	var openAIBase, claudeBase, googleBase string
	o.openai, openAIBase = openai.RunT(t, openai.Config{Orgs: []openai.Org{{Name: "acme", AdminKey: openAIAdmin, StandardKey: openAIKey}}})
	_, claudeBase = anthropic.RunT(t, anthropic.Config{Orgs: []anthropic.Org{{Name: "acme", AdminKey: claudeAdmin}}})
	o.google, googleBase = google.RunT(t, google.Config{
		Accounts: []google.Account{account, {Name: "blind", Project: "acme-prod", NoBigQuery: true}}, Clock: func() time.Time { return o.now },
	})
	o.directory = directory{
		"OPENAI": {
			Name: "OPENAI", DisplayName: "OpenAI", Type: credentials.APIKey, KeyPrefix: []string{"sk-"}, Header: "Authorization", Prefix: "Bearer ",
			Checks: []credentials.Check{{URL: openAIBase + "/models"}, {URL: openAIBase + "/organization/projects?limit=1", KeyPrefix: "sk-admin-"}},
		},
		"ANTHROPIC": {
			Name: "ANTHROPIC", DisplayName: "Anthropic", Type: credentials.APIKey, KeyPrefix: []string{"sk-ant-"}, Header: "x-api-key",
			Extra:  map[string]string{"anthropic-version": "2023-06-01"},
			Checks: []credentials.Check{{URL: claudeBase + "/models"}, {URL: claudeBase + "/organizations/me", KeyPrefix: "sk-ant-admin"}},
		},
		"GCP_SA": {
			Name: "GCP_SA", DisplayName: "Google Cloud", Type: credentials.ServiceAccountJSON, ExpectedType: "service_account",
			RequiredFields: []string{"project_id", "private_key_id", "private_key", "client_email"}, TokenURL: googleBase + "/token",
			Scopes: []string{"https://www.googleapis.com/auth/bigquery.readonly"},
			Checks: []credentials.Check{{URL: googleBase + "/bigquery/v2/projects/{project_id}/datasets?maxResults=1"}},
		},
	}
	o.integrations = credentials.NewIntegrations(credentials.IntegrationsConfig{
		Store: o.store, Directory: o.directory, HTTP: source.Guard{AllowLoopback: true}.Client(5 * time.Second),
		Ready: func(_ context.Context, org string, p credentials.Provider) error {
			o.ready = append(o.ready, org+"/"+p.Name)
			return o.readyErr
		},
	})
	return o
}

func (o *office) setup(t *testing.T, provider, secret string) credentials.Outcome {
	t.Helper()
	out, err := o.integrations.Setup(t.Context(), credentials.SetupRequest{Org: "acme", Provider: provider, Secret: credentials.NewSecret(secret), By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.Problem+out.Message, canary) {
		t.Errorf("the outcome repeats the secret: %+v", out)
	}
	o.now = o.now.Add(time.Second)
	return out
}

func (o *office) keyFile(t *testing.T, email string) string {
	t.Helper()
	text, err := o.google.KeyFile(email)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSetupTriesACredentialAndStoresTheOutcome(t *testing.T) {
	o := newOffice(t)
	blind := strings.Replace(account.Email(), "reader", "blind", 1)
	for _, c := range []struct {
		provider, secret string
		status           credentials.Status
		problem          string
	}{
		{"openai", openAIKey, credentials.Valid, ""},
		{"OpenAI", "  " + openAIAdmin + "\n", credentials.Valid, ""},
		{"openai", "sk-wrong-" + canary, credentials.Invalid, "(401)"},
		{"claude", claudeAdmin, credentials.Valid, ""},
		{"anthropic", "sk-ant-api03-" + canary, credentials.Invalid, "(401)"},
		{"gcp", o.keyFile(t, account.Email()), credentials.Valid, ""},
		{"gcp_sa", o.keyFile(t, blind), credentials.Valid, "Partial: the account gets a token, but Google Cloud knows the credential but it lacks the permission"},
		{"openai", "pk-" + canary, credentials.Failed, "begin with sk-"},
		{"openai", "sk-1", credentials.Failed, "10 characters"},
		{"openai", "sk-" + canary + "\nX-Other: 1", credentials.Failed, "control characters"},
	} {
		out := o.setup(t, c.provider, c.secret)
		if out.Status != c.status || !strings.Contains(out.Problem, c.problem) || (out.CredentialID == "") != (c.status == credentials.Failed) {
			t.Errorf("%s: %+v, want %s with %q", c.provider, out, c.status, c.problem)
		}
	}
	_, err := o.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err) // the last one that was stored is INVALID
	o.want(t, "acme", "gcp", strings.TrimSpace(o.keyFile(t, blind)))
	if got := strings.Join(o.ready, " "); got != "acme/OPENAI acme/OPENAI acme/ANTHROPIC acme/GCP_SA acme/GCP_SA" {
		t.Errorf("prepared %s", got)
	}
	if rows := o.sql(t, "SELECT provider FROM org_integration_credentials WHERE is_active AND created_by_user_id = 'ada' ORDER BY provider"); len(rows) != 3 {
		t.Errorf("active rows: %v", rows)
	}
	one, err := o.integrations.Status(t.Context(), "acme", "gcp")
	if err != nil || one.Info.Name != "GCP SA (acme-prod)" || !strings.Contains(string(one.Info.Metadata), account.Project) || strings.Contains(string(one.Info.Metadata), "PRIVATE") {
		t.Errorf("status: %+v, %v", one, err)
	}
}

func TestAnUnreachableProviderLeavesACredentialUnchecked(t *testing.T) {
	o := newOffice(t)
	o.openai.Fail(openai.Rule{PathPrefix: "/v1/", Status: 503, Times: -1})
	if out := o.setup(t, "openai", openAIKey); out.Status != credentials.Pending || !strings.Contains(out.Problem, "answered 503: try again later") || len(o.ready) != 0 {
		t.Fatalf("%+v", out)
	}
	_, err := o.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err)
	o.openai.ClearFaults()
	out, err := o.integrations.Validate(t.Context(), "acme", "openai")
	if err != nil || out.Status != credentials.Valid || len(o.ready) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	o.want(t, "acme", "openai", openAIKey)
	o.openai.Fail(openai.Rule{PathPrefix: "/v1/", Status: 500, Times: -1})
	if out, err := o.integrations.Validate(t.Context(), "acme", "openai"); err != nil || out.Status != credentials.Pending {
		t.Fatalf("%+v, %v", out, err)
	}
	o.want(t, "acme", "openai", openAIKey) // an outage takes nothing away
	o.openai.ClearFaults()
	o.openai.Fail(openai.Rule{PathPrefix: "/v1/", Status: 401, Times: -1})
	if out, err := o.integrations.Validate(t.Context(), "acme", "openai"); err != nil || out.Status != credentials.Invalid {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = o.store.Resolve(t.Context(), "acme", "OPENAI")
	wantNotConfigured(t, err)
}

func TestWhatIsNoKeyFileIsAWrongRequest(t *testing.T) {
	o := newOffice(t)
	good := o.keyFile(t, account.Email())
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":        {"this is no JSON at all", "JSON text"},
		"a list":         {`["service_account"]`, "JSON text"},
		"another type":   {strings.Replace(good, `"service_account"`, `"authorized_user"`, 1), `type "service_account"`},
		"no key":         {strings.Replace(good, `"private_key":`, `"other":`, 1), "has no private_key"},
		"other endpoint": {strings.Replace(good, google.TokenAudience, "https://evil.example/token", 1), "token_uri is not Google's"},
		"odd project":    {strings.Replace(good, `"acme-prod"`, `"a/../b"`, 1), "project_id"},
	} {
		_, err := o.integrations.Setup(t.Context(), credentials.SetupRequest{Org: "acme", Provider: "gcp", Secret: credentials.NewSecret(c.text)})
		var e *launcher.Error
		if !errors.As(err, &e) || e.Code != launcher.CodeInvalidParameter || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	damaged := strings.Replace(good, `PRIVATE KEY-----\n`, `PRIVATE KEY-----\nAAAA`, 1)
	if out := o.setup(t, "gcp", damaged); out.Status != credentials.Invalid || !strings.Contains(out.Problem, "not an RSA key") {
		t.Errorf("a damaged key: %+v", out)
	}
}

func TestGenericProvidersTakeKeysPairsAndOAuthClients(t *testing.T) {
	o := newOffice(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, basic := r.BasicAuth()
		switch {
		case r.URL.Path == "/token" && basic && user == "id%2F1" && password == canary:
			_, _ = io.WriteString(w, `{"access_token":"token-1"}`)
		case r.URL.Path == "/token":
			w.WriteHeader(http.StatusBadRequest)
		case r.Header.Get("Authorization") == "Bearer token-1", r.Header.Get("X-Vendor") == canary, basic && user == "ada" && password == canary:
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	check := []credentials.Check{{URL: api.URL + "/me"}}
	o.directory["VENDOR_KEY"] = credentials.Provider{Name: "VENDOR_KEY", DisplayName: "Vendor", Generic: true, Header: "X-Vendor", Checks: check}
	o.directory["VENDOR_PAIR"] = credentials.Provider{Name: "VENDOR_PAIR", DisplayName: "Vendor", Generic: true, Type: credentials.UserPassword, Checks: check}
	o.directory["VENDOR_OAUTH"] = credentials.Provider{Name: "VENDOR_OAUTH", DisplayName: "Vendor", Generic: true, Checks: check}
	o.directory["VENDOR_SILENT"] = credentials.Provider{Name: "VENDOR_SILENT", DisplayName: "Vendor", Generic: true}
	client := func(id, secret, tokenURL string) string {
		text, err := json.Marshal(map[string]string{"client_id": id, "client_secret": secret, "token_url": tokenURL})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		provider, secret string
		status           credentials.Status
		problem          string
	}{
		{"vendor_key", canary, credentials.Valid, ""},
		{"vendor_key", canary + "-not", credentials.Invalid, "401"},
		{"vendor_pair", "ada:" + canary, credentials.Valid, ""},
		{"vendor_pair", "ada:wrong-password", credentials.Invalid, "401"},
		{"vendor_pair", "no-password-at-all", credentials.Failed, "user:password"},
		{"vendor_oauth", client("id/1", canary, api.URL+"/token"), credentials.Valid, ""},
		{"vendor_oauth", client("id/1", "wrong", api.URL+"/token"), credentials.Invalid, "401"},
		{"vendor_oauth", client("id/1", "", api.URL+"/token"), credentials.Failed, "client_secret"},
		{"vendor_oauth", client("id/1", canary, "http://169.254.169.254/token"), credentials.Pending, "only https is allowed"},
		{"vendor_oauth", client("id/1", canary, "https://10.0.0.7/token"), credentials.Pending, "not a public address"},
		{"vendor_silent", canary, credentials.Valid, ""},
	} {
		if out := o.setup(t, c.provider, c.secret); out.Status != c.status || !strings.Contains(out.Problem, c.problem) {
			t.Errorf("%s: %+v, want %s with %q", c.provider, out, c.status, c.problem)
		}
	}
	types := o.sql(t, "SELECT STRING_AGG(DISTINCT credential_type ORDER BY credential_type) FROM org_integration_credentials")
	if types[0][0] != "API_KEY,OAUTH_CLIENT_JSON,USER_PASSWORD" {
		t.Errorf("types %v", types)
	}
}

func TestListShowsEveryProviderAndDeleteDeactivates(t *testing.T) {
	o := newOffice(t)
	o.setup(t, "openai", openAIKey)
	all, err := o.integrations.List(t.Context(), "acme")
	if err != nil || len(all) != 3 || all[0].Provider.Name != "ANTHROPIC" || all[0].Info.Status != credentials.NotConfigured || all[2].Info.Status != credentials.Valid {
		t.Fatalf("%+v, %v", all, err)
	}
	for range 2 {
		if err := o.integrations.Delete(t.Context(), "acme", "openai"); err != nil {
			t.Fatal(err)
		}
	}
	if rows := o.sql(t, "SELECT is_active FROM org_integration_credentials"); len(rows) != 1 || rows[0][0] != false {
		t.Errorf("rows %v", rows)
	}
	if out, err := o.integrations.Validate(t.Context(), "acme", "openai"); err != nil || out.Status != credentials.NotConfigured {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = o.integrations.Status(t.Context(), "acme", "azure")
	var e *launcher.Error
	if !errors.As(err, &e) || e.Code != launcher.CodeInvalidParameter || !strings.Contains(e.Message, "there are anthropic, gcp_sa, openai") {
		t.Errorf("unknown provider: %v", err)
	}
}

func TestAFailureToPrepareTablesDoesNotUndoTheSetup(t *testing.T) {
	o := newOffice(t)
	o.readyErr = errors.New("no such dataset")
	if out := o.setup(t, "openai", openAIKey); out.Status != credentials.Valid || !strings.Contains(out.Message, "tables could not be prepared") || strings.Contains(out.Message, "dataset") {
		t.Fatalf("%+v", out)
	}
	o.want(t, "acme", "openai", openAIKey)
}

// A moved row, a flipped bit and a disabled key version answer with the same words.
func TestWhatCannotBeOpenedAnswersAlike(t *testing.T) {
	o := newOffice(t)
	messages := map[string]bool{}
	sealed := func(change func()) {
		t.Helper()
		o.setup(t, "openai", openAIKey)
		change()
		_, err := o.store.Resolve(t.Context(), "acme", "OPENAI")
		wantSealed(t, err)
		messages[err.Error()] = true
		_, err = o.integrations.Validate(t.Context(), "acme", "OPENAI")
		wantSealed(t, err)
	}
	row := func() (id string, cipher []byte) {
		rows := o.sql(t, "SELECT credential_id, encrypted_credential FROM org_integration_credentials WHERE is_active AND org_slug = 'acme' AND provider = 'OPENAI'")
		return rows[0][0].(string), rows[0][1].([]byte)
	}
	write := func(id string, cipher []byte) {
		o.sql(t, "UPDATE org_integration_credentials SET encrypted_credential = @cipher WHERE credential_id = @id",
			bigquery.QueryParameter{Name: "cipher", Value: cipher}, bigquery.QueryParameter{Name: "id", Value: id})
	}
	sealed(func() {
		id, cipher := row()
		cipher[len(cipher)-1] ^= 1
		write(id, cipher)
	})
	sealed(func() {
		other := openAI("rival", openAIAdmin)
		o.set(t, other)
		id, _ := row()
		theirs := o.sql(t, "SELECT encrypted_credential FROM org_integration_credentials WHERE org_slug = 'rival'")
		write(id, theirs[0][0].([]byte))
	})
	sealed(func() {
		_, err := o.kms.UpdateCryptoKeyVersion(t.Context(), &kmspb.UpdateCryptoKeyVersionRequest{
			CryptoKeyVersion: &kmspb.CryptoKeyVersion{Name: credentials.DefaultKeyName(project) + "/cryptoKeyVersions/1", State: kmspb.CryptoKeyVersion_DISABLED},
			UpdateMask:       &fieldmaskpb.FieldMask{Paths: []string{"state"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(messages) != 1 {
		t.Errorf("the answers tell the causes apart: %v", messages)
	}
	if strings.Contains(o.log.String(), canary) {
		t.Error("the log holds the secret")
	}
}
