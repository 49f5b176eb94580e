// Package wiring is what both binaries do before a job can run: read the environment,
// connect to the warehouse and the key service, and set the hooks through which
// transforms reach credentials, origins, prices and the warehouse. It is the only place
// beside the mains that reads the environment.
package wiring

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudact/convergence/configs"
)

// Names of environment variables that more than one place speaks of; the others are in
// settings. A job gets those of JobEnviron and nothing else.
const (
	envName             = "ENVIRONMENT"
	envProject          = "GCP_PROJECT_ID"
	envLocation         = "BIGQUERY_LOCATION"
	envKMSKey           = "KMS_KEY_NAME"
	envLogLevel         = "LOG_LEVEL"
	envBigQueryEndpoint = "CONVERGENCE_BIGQUERY_ENDPOINT"
	envKMSEndpoint      = "CONVERGENCE_KMS_ENDPOINT"
	envDataDir          = "CONVERGENCE_DATA_DIR"
	envConfigsDir       = "CONVERGENCE_CONFIGS_DIR"
	envOTLPEndpoint     = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envOTLPName         = "OTEL_SERVICE_NAME"
	ownPrefix           = "CONVERGENCE_"
)

const (
	defaultProject  = "local-dev-project"
	defaultLocation = "US"
	defaultDataDir  = ".convergence"
)

// systemNames are passed on to jobs because libraries read them.
var systemNames = []string{
	"PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"GOOGLE_APPLICATION_CREDENTIALS", "GOMEMLIMIT", "GOMAXPROCS", "GOGC",
}

// suffixes end dataset names: {org}_{suffix}.
var suffixes = map[string]string{"development": "local", "staging": "stage", "production": "prod"}

// Environment is the configuration of a process. The zero value is not useful.
type Environment struct {
	Name             string // development, staging or production
	Project          string
	Location         string
	BigQueryEndpoint string // base URL; "" = Google's
	KMSEndpoint      string // host:port without TLS; "" = Google's
	KMSKey           string // resource name; "" = the default key of the project
	DataDir          string
	ConfigsDir       string // documents beside the shipped ones; "" = none
	LogLevel         string
	Runner           string            // of runs whose pipeline names none
	Dataflow         Dataflow          // where jobs of the runner dataflow run
	Service          Service           // of the service alone
	Calls            Calls             // told of requests to the warehouse; nil: nobody is
	Notify           Notify            // who tells people how runs ended
	origins          map[string]string // OPENAI_API_BASE_URL and the like, as set
	system           []string          // KEY=value of systemNames, as set
	project          bool              // a project was named
}

// Embedded reports whether the warehouse of the data directory is in use: no endpoint
// and no project are configured.
func (e Environment) Embedded() bool { return e.BigQueryEndpoint == "" && !e.project }

// Read reads an environment; environ is as os.Environ returns it. The error names every
// setting that is wrong. Unknown CONVERGENCE_ names are among them, because a misspelt
// setting would be silently ignored. An empty value is no value.
func Read(environ []string) (Environment, error) {
	e := Environment{origins: map[string]string{}}
	known := map[string]Setting{}
	for _, s := range settings {
		known[s.Name] = s
		if s.Default != "" {
			if err := s.set(&e, s.Default); err != nil {
				return Environment{}, fmt.Errorf("environment: default of %s: %w", s.Name, err)
			}
		}
	}
	e.project = false // a default names no project
	var wrong []error
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		setting, ok := known[name]
		switch {
		case ok && value != "":
			if err := setting.set(&e, value); err != nil {
				wrong = append(wrong, fmt.Errorf("environment: %s %w", name, err))
			}
		case ok:
		case strings.HasPrefix(name, ownPrefix):
			wrong = append(wrong, fmt.Errorf("environment: %s is not a setting; there are %s", name, strings.Join(ownNames(), ", ")))
		case strings.HasSuffix(name, "_API_BASE_URL") && value != "":
			e.origins[name] = value
		case slices.Contains(systemNames, strings.ToUpper(name)):
			e.system = append(e.system, pair)
		}
	}
	if e.KMSKey == "" {
		e.KMSKey = e.Service.kms.name()
	}
	if err := errors.Join(wrong...); err != nil {
		return Environment{}, err
	}
	return e, nil
}

// Suffix is the end of dataset names in this environment.
func (e Environment) Suffix() string { return suffixes[e.Name] }

// Production reports whether strict rules apply.
func (e Environment) Production() bool { return e.Name == "production" }

// JobEnviron is the whole environment of a child process: allow-listed names only.
func (e Environment) JobEnviron() []string {
	env := slices.Clone(e.system)
	for name, value := range map[string]string{
		envName: e.Name, envProject: e.Project, envLocation: e.Location, envKMSKey: e.KMSKey, envLogLevel: e.LogLevel,
		envBigQueryEndpoint: e.BigQueryEndpoint, envKMSEndpoint: e.KMSEndpoint, envConfigsDir: e.ConfigsDir,
		envOTLPEndpoint: e.Service.OTLPEndpoint, envOTLPName: e.Service.OTLPName,
	} {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	if dir, err := filepath.Abs(e.DataDir); err == nil && e.DataDir != "" { // a child runs in a folder of its own
		env = append(env, envDataDir+"="+dir)
	}
	for name, value := range e.origins {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// origin is a provider's base URL: the override of its variable, else its own.
func (e Environment) origin(p configs.Provider) string {
	if p.OriginEnv != "" && e.origins[p.OriginEnv] != "" {
		return e.origins[p.OriginEnv]
	}
	return p.Origin
}
