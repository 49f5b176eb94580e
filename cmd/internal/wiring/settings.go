package wiring

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Setting is an environment variable that means something.
type Setting struct {
	Name    string
	Default string // "" = none
	Help    string
	Secret  bool // its value is never shown

	set func(e *Environment, value string) error
}

// Settings lists all of them in the order in which they are best read.
func Settings() []Setting { return slices.Clone(settings) }

// Service is what only the service needs to know.
type Service struct {
	Addr           string // host:port to listen on
	DebugAddr      string // of metrics and profiling; "" = not served
	RootKey        string
	OpenOrg        string // organisation of requests without a key; "" = they are refused
	NoDocs         bool
	CORSOrigins    []string
	DefaultOrigins bool // CORSOrigins are those of a laptop
	CORSMethods    []string
	CORSHeaders    []string
	Credentials    bool // CORS
	TrustedProxies []netip.Prefix
	Limited        bool // rate limits are on
	OrgLimit       int  // calls a minute
	GlobalLimit    int
	RunLimit       int
	AddressLimit   int
	MaxRuns        int // at the same time
	QueueTime      time.Duration
	Scheduler      bool
	Metrics        bool
	OTLPEndpoint   string // "" = no traces
	OTLPName       string
	PubSubTopic    string
	PubSubWorker   string // subscription

	host, port  string
	disableAuth bool
	defaultOrg  string
	kms         kmsParts
}

// kmsParts name a key where KMS_KEY_NAME does not.
type kmsParts struct{ project, location, ring, key string }

func (k kmsParts) name() string {
	if k.project == "" {
		return ""
	}
	return "projects/" + k.project + "/locations/" + k.location + "/keyRings/" + k.ring + "/cryptoKeys/" + k.key
}

// laptopOrigins are the pages that a developer's browser shows.
const laptopOrigins = `["http://localhost:3000","http://localhost:8080"]`

var settings = []Setting{
	{Name: envName, Default: "development", Help: "development, staging or production", set: oneOf(func(e *Environment) *string { return &e.Name }, "development", "staging", "production")},
	{Name: envProject, Default: defaultProject, Help: "project of the warehouse; none: the embedded one", set: func(e *Environment, v string) error {
		e.Project, e.project = v, true
		return nil
	}},
	{Name: envLocation, Default: defaultLocation, Help: "location of datasets and jobs", set: text(func(e *Environment) *string { return &e.Location })},
	{Name: envBigQueryEndpoint, Help: "base URL of a BigQuery-compatible server instead of Google's", set: text(func(e *Environment) *string { return &e.BigQueryEndpoint })},
	{Name: envKMSEndpoint, Help: "host:port of a KMS without TLS instead of Google's", set: text(func(e *Environment) *string { return &e.KMSEndpoint })},
	{Name: "CONVERGENCE_DATA_DIR", Default: defaultDataDir, Help: "folder of the embedded warehouse, keys and runs", set: text(func(e *Environment) *string { return &e.DataDir })},
	{Name: envConfigsDir, Help: "folder of pipelines, schemas and organizations' own documents, beside the shipped ones", set: text(func(e *Environment) *string { return &e.ConfigsDir })},
	{Name: envKMSKey, Help: "resource name of the key that credentials are encrypted with", set: text(func(e *Environment) *string { return &e.KMSKey })},
	{Name: "KMS_PROJECT_ID", Help: "project of that key, where KMS_KEY_NAME is not set", set: text(func(e *Environment) *string { return &e.Service.kms.project })},
	{Name: "KMS_LOCATION", Default: "us-central1", Help: "its location", set: text(func(e *Environment) *string { return &e.Service.kms.location })},
	{Name: "KMS_KEYRING", Default: "convergence-keyring", Help: "its key ring", set: text(func(e *Environment) *string { return &e.Service.kms.ring })},
	{Name: "KMS_KEY", Default: "convergence-encryption-key", Help: "its name", set: text(func(e *Environment) *string { return &e.Service.kms.key })},
	{Name: envLogLevel, Default: "INFO", Help: "DEBUG, INFO, WARNING, ERROR or CRITICAL", set: logLevel},

	{Name: "CONVERGENCE_RUNNER", Default: RunnerPrism, Help: "runner of runs whose pipeline names none: prism, direct or dataflow", set: oneOf(func(e *Environment) *string { return &e.Runner }, RunnerPrism, RunnerDirect, RunnerDataflow)},
	{Name: envTemplate, Help: "gs:// address of the container spec of the Flex Template", set: text(func(e *Environment) *string { return &e.Dataflow.Template }, bucketAddress)},
	{Name: envRegion, Help: "region of Dataflow jobs, such as europe-west1", set: text(func(e *Environment) *string { return &e.Dataflow.Region })},
	{Name: envFolder, Help: "gs:// folder below which Dataflow jobs find their specs and leave outcomes", set: text(func(e *Environment) *string { return &e.Dataflow.Folder }, bucketAddress)},
	{Name: "CONVERGENCE_DATAFLOW_SERVICE_ACCOUNT", Help: "account of Dataflow workers; none: the default one of Compute Engine", set: text(func(e *Environment) *string { return &e.Dataflow.ServiceAccount })},
	{Name: "CONVERGENCE_DATAFLOW_SUBNETWORK", Help: "subnetwork of Dataflow workers; none: the default network", set: text(func(e *Environment) *string { return &e.Dataflow.Subnetwork })},
	{Name: "CONVERGENCE_DATAFLOW_MACHINE_TYPE", Help: "machine type of Dataflow workers; none: Dataflow chooses", set: text(func(e *Environment) *string { return &e.Dataflow.MachineType })},
	{Name: "CONVERGENCE_DATAFLOW_MAX_WORKERS", Default: "1", Help: "most workers of a Dataflow job", set: number(func(e *Environment) *int { return &e.Dataflow.MaxWorkers }, 1000)},
	{Name: "CONVERGENCE_DATAFLOW_POLL_SECONDS", Default: "15", Help: "between looks at all Dataflow jobs together, 1 to 300", set: func(e *Environment, v string) error {
		n, err := between(v, 1, 300)
		e.Dataflow.Poll = time.Duration(n) * time.Second
		return err
	}},
	{Name: "CONVERGENCE_DATAFLOW_ENDPOINT", Help: "base URL of a Dataflow-compatible server instead of Google's", set: text(func(e *Environment) *string { return &e.Dataflow.Endpoint }, httpURL)},
	{Name: "CONVERGENCE_STORAGE_ENDPOINT", Help: "base URL of a Cloud-Storage-compatible server instead of Google's", set: text(func(e *Environment) *string { return &e.Dataflow.StorageEndpoint }, httpURL)},

	{Name: "API_HOST", Default: "127.0.0.1", Help: "address that serve listens on", set: text(func(e *Environment) *string { return &e.Service.host }, address)},
	{Name: "API_PORT", Default: "8001", Help: "its port", set: text(func(e *Environment) *string { return &e.Service.port }, port, address)},
	{Name: "PORT", Help: "the same, as containers are told it", set: text(func(e *Environment) *string { return &e.Service.port }, port, address)},
	{Name: "CONVERGENCE_DEBUG_ADDR", Help: "loopback host:port of all metrics, by organization too, and of profiling; none: not served", set: text(func(e *Environment) *string { return &e.Service.DebugAddr }, loopback)},
	{Name: "CONVERGENCE_TRUSTED_PROXIES", Help: "networks whose X-Forwarded-For is believed, such as 10.0.0.0/8, separated by commas", set: proxies},
	{Name: "CA_ROOT_API_KEY", Help: "the platform's root key, at least 32 characters in production", Secret: true, set: text(func(e *Environment) *string { return &e.Service.RootKey })},
	{Name: "DISABLE_AUTH", Default: "false", Help: "requests without a key speak for DEFAULT_ORG_SLUG; never in production", set: flag(func(e *Environment) *bool { return &e.Service.disableAuth }, openOrg)},
	{Name: "DEFAULT_ORG_SLUG", Default: "dev_org_local", Help: "who they speak for", set: text(func(e *Environment) *string { return &e.Service.defaultOrg }, openOrg)},
	{Name: "ENABLE_API_DOCS", Default: "true", Help: "whether /docs is served", set: func(e *Environment, v string) error {
		on, err := boolean(v)
		e.Service.NoDocs = !on
		return err
	}},
	{Name: "CORS_ORIGINS", Default: laptopOrigins, Help: "web origins that may read answers, a JSON list or separated by commas", set: origins},
	{Name: "CORS_ALLOW_CREDENTIALS", Default: "true", Help: "whether they may send cookies and the like", set: flag(func(e *Environment) *bool { return &e.Service.Credentials })},
	{Name: "CORS_ALLOW_METHODS", Default: "GET,POST,PUT,DELETE,OPTIONS,PATCH", Help: "what they may ask", set: list(func(e *Environment) *[]string { return &e.Service.CORSMethods })},
	{Name: "CORS_ALLOW_HEADERS", Default: "Content-Type,Authorization,X-API-Key,X-CA-Root-Key,X-User-ID,X-Request-ID,Idempotency-Key", Help: "with which headers", set: list(func(e *Environment) *[]string { return &e.Service.CORSHeaders })},
	{Name: "RATE_LIMIT_ENABLED", Default: "true", Help: "whether calls are limited; always in production", set: flag(func(e *Environment) *bool { return &e.Service.Limited })},
	{Name: "RATE_LIMIT_REQUESTS_PER_MINUTE", Default: "100", Help: "of an organisation", set: number(func(e *Environment) *int { return &e.Service.OrgLimit }, 1_000_000)},
	{Name: "RATE_LIMIT_GLOBAL_REQUESTS_PER_MINUTE", Default: "10000", Help: "of all together", set: number(func(e *Environment) *int { return &e.Service.GlobalLimit }, 100_000_000)},
	{Name: "RATE_LIMIT_PIPELINE_RUN_PER_MINUTE", Default: "50", Help: "of an organisation to the run endpoints", set: number(func(e *Environment) *int { return &e.Service.RunLimit }, 1_000_000)},
	{Name: "CONVERGENCE_RATE_LIMIT_ADDRESS_PER_MINUTE", Default: "1200", Help: "of a client address, before its key is looked at", set: number(func(e *Environment) *int { return &e.Service.AddressLimit }, 100_000_000)},
	{Name: "PIPELINE_GLOBAL_CONCURRENT_LIMIT", Default: "100", Help: "runs at the same time, 1 to 1000", set: number(func(e *Environment) *int { return &e.Service.MaxRuns }, 1000)},
	{Name: "QUEUE_PROCESS_TIME_LIMIT_SECONDS", Default: "50", Help: "of one call of process-queue, 10 to 300", set: func(e *Environment, v string) error {
		n, err := between(v, 10, 300)
		e.Service.QueueTime = time.Duration(n) * time.Second
		return err
	}},
	{Name: "SCHEDULER_ENABLED", Default: "false", Help: "whether serve itself triggers schedules and works the queue", set: flag(func(e *Environment) *bool { return &e.Service.Scheduler })},
	{Name: "ENABLE_METRICS", Default: "true", Help: "whether /metrics is served", set: flag(func(e *Environment) *bool { return &e.Service.Metrics })},
	{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Help: "where traces go, an http or https URL; none: there are none", set: text(func(e *Environment) *string { return &e.Service.OTLPEndpoint }, httpURL)},
	{Name: "OTEL_SERVICE_NAME", Default: "convergence-pipeline", Help: "name of the service in traces", set: text(func(e *Environment) *string { return &e.Service.OTLPName })},
	{Name: "CONVERGENCE_PUBSUB_TOPIC", Help: "Pub/Sub topic that batches are published to; none: there is no batch endpoint", set: text(func(e *Environment) *string { return &e.Service.PubSubTopic })},
	{Name: "CONVERGENCE_PUBSUB_SUBSCRIPTION", Help: "Pub/Sub subscription that serve takes runs from", set: text(func(e *Environment) *string { return &e.Service.PubSubWorker })},

	{Name: "NOTIFICATIONS_ENABLED", Default: "true", Help: "whether people are told how runs ended", set: flag(func(e *Environment) *bool { return &e.Notify.Enabled })},
	{Name: "NOTIFICATIONS_CONFIG_PATH", Help: "folder whose config.json holds notification settings of the service; they win over EMAIL_ and SLACK_", set: text(func(e *Environment) *string { return &e.Notify.Folder })},
	{Name: "EMAIL_NOTIFICATIONS_ENABLED", Default: "true", Help: "whether e-mails are sent where a server is set", set: flag(func(e *Environment) *bool { return &e.Notify.Email })},
	{Name: "EMAIL_SMTP_HOST", Help: "mail server; TLS is demanded of it", set: text(func(e *Environment) *string { return &e.Notify.Host })},
	{Name: "EMAIL_SMTP_PORT", Default: "587", Help: "its port; TLS starts at once on 465 and by STARTTLS on others", set: number(func(e *Environment) *int { return &e.Notify.Port }, 65535)},
	{Name: "EMAIL_SMTP_USERNAME", Help: "account there", set: text(func(e *Environment) *string { return &e.Notify.Username })},
	{Name: "EMAIL_SMTP_PASSWORD", Help: "its password", Secret: true, set: text(func(e *Environment) *string { return &e.Notify.password })},
	{Name: "EMAIL_FROM_ADDRESS", Help: "sender of e-mails", set: text(func(e *Environment) *string { return &e.Notify.From }, mailAddress)},
	{Name: "EMAIL_TO_ADDRESSES", Help: "who is told of failures that no notification of the pipeline tells by e-mail, separated by commas", set: mailAddresses},
	{Name: "SLACK_NOTIFICATIONS_ENABLED", Default: "true", Help: "whether Slack is told where a webhook is set", set: flag(func(e *Environment) *bool { return &e.Notify.Slack })},
	{Name: "SLACK_WEBHOOK_URL", Help: "https webhook, told of failures that no notification of the pipeline tells Slack; http on loopback in development", Secret: true, set: func(e *Environment, v string) error {
		e.Notify.webhook = v
		return nil
	}},
	{Name: "SLACK_CHANNEL", Help: "channel instead of that of the webhook", set: text(func(e *Environment) *string { return &e.Notify.Channel })},
}

// ownNames are the settings that only this program has.
func ownNames() []string {
	var out []string
	for _, s := range settings {
		if strings.HasPrefix(s.Name, ownPrefix) {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}

// text sets a text, then does what follows from it.
func text(into func(*Environment) *string, then ...func(*Environment, string) error) func(*Environment, string) error {
	return func(e *Environment, v string) error {
		*into(e) = v
		for _, f := range then {
			if err := f(e, v); err != nil {
				return err
			}
		}
		return nil
	}
}

func oneOf(into func(*Environment) *string, words ...string) func(*Environment, string) error {
	return text(into, func(_ *Environment, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("is %q; it must be one of %s", v, strings.Join(words, ", "))
		}
		return nil
	})
}

func boolean(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	default:
		return false, fmt.Errorf("is %q; it must be true or false", v)
	}
}

func flag(into func(*Environment) *bool, then ...func(*Environment, string) error) func(*Environment, string) error {
	return func(e *Environment, v string) error {
		on, err := boolean(v)
		if err != nil {
			return err
		}
		*into(e) = on
		for _, f := range then {
			if err := f(e, v); err != nil {
				return err
			}
		}
		return nil
	}
}

func between(v string, least, most int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("is %q; it must be a number from %d to %d", v, least, most)
	}
	return n, nil
}

// number reads a count from 1 to most.
func number(into func(*Environment) *int, most int) func(*Environment, string) error {
	return func(e *Environment, v string) error {
		n, err := between(v, 1, most)
		*into(e) = n
		return err
	}
}

// words reads a list in either spelling.
func words(v string) ([]string, error) {
	var out []string
	if strings.HasPrefix(strings.TrimSpace(v), "[") {
		if err := json.Unmarshal([]byte(v), &out); err != nil {
			return nil, errors.New("is no JSON list of texts")
		}
		return out, nil
	}
	for word := range strings.SplitSeq(v, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out, nil
}

func list(into func(*Environment) *[]string) func(*Environment, string) error {
	return func(e *Environment, v string) (err error) {
		*into(e), err = words(v)
		return err
	}
}

func origins(e *Environment, v string) error {
	found, err := words(v)
	if err != nil {
		return err
	}
	for _, o := range found {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || strings.Contains(o, "*")) {
			return fmt.Errorf("holds %q, which is no origin such as https://app.example", o)
		}
	}
	e.Service.CORSOrigins, e.Service.DefaultOrigins = found, v == laptopOrigins
	return nil
}

func logLevel(e *Environment, v string) error {
	level, ok := map[string]slog.Level{
		"DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "WARNING": slog.LevelWarn, "ERROR": slog.LevelError, "CRITICAL": slog.LevelError,
	}[strings.ToUpper(v)]
	if !ok {
		return fmt.Errorf("is %q; it must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL", v)
	}
	e.LogLevel = level.String()
	return nil
}

func port(_ *Environment, v string) error {
	_, err := between(v, 0, 65535)
	return err
}

func address(e *Environment, _ string) error {
	e.Service.Addr = e.Service.host + ":" + e.Service.port
	return nil
}

func openOrg(e *Environment, _ string) error {
	e.Service.OpenOrg = ""
	if e.Service.disableAuth {
		e.Service.OpenOrg = e.Service.defaultOrg
	}
	return nil
}

func loopback(_ *Environment, v string) error {
	a, err := netip.ParseAddrPort(v)
	if err != nil || !a.Addr().IsLoopback() {
		return fmt.Errorf("is %q; it must be a loopback address with a port, such as 127.0.0.1:9090", v)
	}
	return nil
}

func proxies(e *Environment, v string) error {
	names, err := words(v)
	if err != nil {
		return err
	}
	e.Service.TrustedProxies = nil
	for _, name := range names {
		p, err := netip.ParsePrefix(name)
		if err != nil {
			return fmt.Errorf("holds %q, which is no network such as 10.0.0.0/8", name)
		}
		e.Service.TrustedProxies = append(e.Service.TrustedProxies, p)
	}
	return nil
}

func httpURL(_ *Environment, v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("is no http or https URL")
	}
	return nil
}
