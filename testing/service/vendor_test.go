package service

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// vendorProvider is a provider that a deployment declares beside the shipped ones.
const vendorProvider = `providers:
  VENDOR:
    type: generic
    display_name: Vendor
    credential_type: API_KEY
    context_key: vendor_key
    origin: https://api.vendor.example
    origin_env: VENDOR_API_BASE_URL
    validation_endpoint: /me
    auth_header: X-Vendor-Key
`

// TestAProviderOfTheDeploymentIsSetUpLikeAShippedOne declares a provider, sets a key of it
// up over the API and by command, and runs a pipeline that uses it.
func TestAProviderOfTheDeploymentIsSetUpLikeAShippedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.seed(20, "acme")
	var pages atomic.Int64
	vendor := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Vendor-Key") != lab.Canary:
			rw.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/me":
			_, _ = rw.Write([]byte(`{"id": "me"}`))
		default:
			pages.Add(1)
			w.provider.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(func() { vendor.CloseClientConnections(); vendor.Close() })
	w.write("system/providers.yml", vendorProvider)
	w.write("my-api/usage/vendor.yml", strings.Replace(strings.ReplaceAll(document, "$API", vendor.URL),
		"      pagination:", "      auth: {type: header, provider: VENDOR, header_name: X-Vendor-Key}\n      pagination:", 1))
	pipeline := client.Pipeline{Provider: "my-api", Domain: "usage", Name: "vendor"}
	s := w.serve(w.fresh(), "VENDOR_API_BASE_URL="+vendor.URL)
	acme := s.as("acme")
	if _, err := acme.Run(t.Context(), "acme", pipeline, day(0)); err == nil || !strings.Contains(err.Error(), "VENDOR") {
		t.Errorf("without a key the run was answered with %v", err)
	}
	if got, err := acme.SetUp(t.Context(), "acme", "vendor", client.Setup{Credential: "another key that is wrong"}); err != nil || got.Status != "INVALID" {
		t.Errorf("a wrong key is %+v: %v", got, err)
	}
	if got, err := acme.SetUp(t.Context(), "acme", "vendor", client.Setup{Credential: lab.Canary}); err != nil || got.Status != "VALID" {
		t.Fatalf("the key is %+v: %v", got, err)
	}
	started, err := acme.Run(t.Context(), "acme", pipeline, day(0))
	if err != nil {
		t.Fatal(err)
	}
	if run := s.wait("acme", started.ID); run.Status != client.Completed || pages.Load() != 1 {
		t.Errorf("the run ended %s after %d pages: %s: %s", run.Status, pages.Load(), run.Code, run.Error)
	}
	for _, c := range []struct {
		args, want string
	}{
		{"list", "VENDOR"},
		{"validate VENDOR", "VALID"},
		{"delete VENDOR", "deactivated"},
		{"set vendor --from-env VENDOR_KEY", "stored credential"},
		{"validate vendor", "VALID"},
		{"list", "VENDOR"},
	} {
		out := w.command(lab.Binary, w.fresh(), "VENDOR_API_BASE_URL="+vendor.URL, "VENDOR_KEY="+lab.Canary)
		out.Args = append([]string{out.Args[0], "credentials"}, append(strings.Fields(c.args), "--org", "acme")...)
		if text := printed(t, out); !strings.Contains(text, c.want) {
			t.Errorf("credentials %s printed %s", c.args, text)
		} else {
			lab.Absent(t, "credentials "+c.args, text)
		}
	}
}

// printed runs a command, which has to succeed.
func printed(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	command = bound(ctx, command)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v", command.Args, err)
	}
	return string(out)
}

// bound is a command that ends with a context.
func bound(ctx context.Context, c *exec.Cmd) *exec.Cmd {
	out := exec.CommandContext(ctx, c.Path, c.Args[1:]...)
	out.Env, out.Dir = c.Env, c.Dir
	return out
}
