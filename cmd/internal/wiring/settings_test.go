package wiring_test

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

func TestAnEmptyEnvironmentIsALaptop(t *testing.T) {
	e, err := wiring.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Service
	if e.Name != "development" || !e.Embedded() || s.Addr != "127.0.0.1:8001" || s.RootKey != "" || s.OpenOrg != "" || !s.Limited || !s.DefaultOrigins {
		t.Errorf("%+v", e)
	}
	if s.OrgLimit != 100 || s.GlobalLimit != 10_000 || s.RunLimit != 50 || s.MaxRuns != 100 || s.QueueTime.Seconds() != 50 || s.Scheduler || !s.Metrics {
		t.Errorf("limits are %+v", s)
	}
}

func TestSettingsMeanWhatTheySay(t *testing.T) {
	e, err := wiring.Read([]string{
		"API_HOST=0.0.0.0", "PORT=8080", "CORS_ORIGINS=https://a.example, https://b.example:8443", "CORS_ALLOW_METHODS=[\"GET\"]",
		"DISABLE_AUTH=true", "DEFAULT_ORG_SLUG=mine", "LOG_LEVEL=warning", "ENABLE_API_DOCS=false", "CONVERGENCE_TRUSTED_PROXIES=10.0.0.0/8",
		"KMS_PROJECT_ID=keys", "RATE_LIMIT_ENABLED=", "SOMETHING_ELSE=1", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := e.Service
	if s.Addr != "0.0.0.0:8080" || len(s.CORSOrigins) != 2 || s.DefaultOrigins || len(s.CORSMethods) != 1 || s.OpenOrg != "mine" || !s.NoDocs || !s.Limited {
		t.Errorf("%+v", s)
	}
	if e.LogLevel != "WARN" || len(s.TrustedProxies) != 1 || e.KMSKey != "projects/keys/locations/us-central1/keyRings/convergence-keyring/cryptoKeys/convergence-encryption-key" {
		t.Errorf("%+v", e)
	}
}

func TestEverySettingThatIsWrongIsNamedAtOnce(t *testing.T) {
	wrong := map[string]string{
		"ENVIRONMENT": "prod", "LOG_LEVEL": "LOUD", "API_PORT": "99999", "DISABLE_AUTH": "perhaps", "CORS_ORIGINS": "https://a.example/path",
		"RATE_LIMIT_REQUESTS_PER_MINUTE": "0", "QUEUE_PROCESS_TIME_LIMIT_SECONDS": "5", "PIPELINE_GLOBAL_CONCURRENT_LIMIT": "many",
		"CONVERGENCE_DEBUG_ADDR": "0.0.0.0:9090", "CONVERGENCE_TRUSTED_PROXIES": "10.0.0.1", "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317",
		"CONVERGENCE_DATADIR": "x",
	}
	var environ []string
	for name, value := range wrong {
		environ = append(environ, name+"="+value)
	}
	_, err := wiring.Read(environ)
	if err == nil {
		t.Fatal("all of it was taken")
	}
	for name := range wrong {
		if !strings.Contains(err.Error(), "environment: "+name+" ") {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if n := len(strings.Split(err.Error(), "\n")); n != len(wrong) {
		t.Errorf("%d lines for %d mistakes: %v", n, len(wrong), err)
	}
	if !strings.Contains(err.Error(), "CONVERGENCE_DATA_DIR") {
		t.Errorf("the settings that there are stay unnamed: %v", err)
	}
}

func TestASecretSettingStaysOutOfErrorsAndJobs(t *testing.T) {
	e, err := wiring.Read([]string{"CA_ROOT_API_KEY=ca_root_canary"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.Join(e.JobEnviron(), " "), "canary") {
		t.Error("a job is told the root key")
	}
	for _, s := range wiring.Settings() {
		if s.Help == "" || s.Name == "CA_ROOT_API_KEY" && !s.Secret {
			t.Errorf("%+v", s)
		}
	}
}
