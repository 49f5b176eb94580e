// Package dataflow is the Flex Template of a job: its parameters, from which the flags of
// the binary are made, and the container spec that describes them to the service. There
// is one list, so that the two cannot differ.
//
// The package knows neither Beam nor what a parameter is used for.
package dataflow

import (
	"encoding/json"
	"flag"
	"fmt"
	"regexp"
	"strings"
)

// Types of parameters, as the service knows them.
const (
	typeText = "TEXT"
	typeFile = "GCS_READ_FILE"
	typeEnum = "ENUM"
)

// Names of the parameters.
const (
	ParamSpec        = "spec"
	ParamEnvironment = "environment"
	ParamKMSKey      = "kms_key_name"
	ParamLogLevel    = "log_level"
)

// Parameter is a parameter of the template and a flag of the binary.
type Parameter struct {
	Name     string
	Label    string
	Help     string
	Required bool
	Pattern  string   // of the whole value; "" = any
	Enum     []string // the only values; nil = any
	Default  string
	file     bool
}

// Parameters are all parameters, in the order in which a form shows them.
func Parameters() []Parameter {
	return []Parameter{
		{
			Name: ParamSpec, Label: "Run spec", Required: true, file: true,
			Help:    "The spec.json of a run's folder in Cloud Storage, as the service writes it: pipeline, organisation, days and generations. It holds no secret.",
			Pattern: `gs://[a-z0-9][-._a-z0-9]{1,220}[a-z0-9]/\S+/spec\.json`,
		},
		{
			Name: ParamEnvironment, Label: "Environment", Default: "production", Enum: []string{"development", "staging", "production"},
			Help: "The environment that the job belongs to; only development reaches addresses of the machine that it runs on.",
		},
		{
			Name: ParamKMSKey, Label: "KMS key of credentials",
			Help:    "The Cloud KMS key that opens the credentials of organisations. Empty: the default key of the warehouse's project.",
			Pattern: `projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+`,
		},
		{
			Name: ParamLogLevel, Label: "Log level", Default: "INFO", Enum: []string{"DEBUG", "INFO", "WARN", "ERROR"},
			Help: "The least severe messages that the job logs.",
		},
	}
}

// Register makes the flags of the parameters and returns where their values will be. No
// flag has a default of its own: a parameter that is not given leaves the environment be.
func Register(flags *flag.FlagSet) map[string]*string {
	values := map[string]*string{}
	for _, p := range Parameters() {
		help := p.Help
		if p.Enum != nil {
			help += " One of " + strings.Join(p.Enum, ", ") + "."
		}
		values[p.Name] = flags.String(p.Name, "", help)
	}
	return values
}

// Check refuses a value that the service would refuse, too. An empty value is one that
// was not given.
func (p Parameter) Check(value string) error {
	switch {
	case value == "":
		return nil
	case p.Pattern != "" && !regexp.MustCompile(`^(?:`+p.Pattern+`)$`).MatchString(value):
		return fmt.Errorf("--%s is %q; it must match %s", p.Name, value, p.Pattern)
	}
	for _, v := range p.Enum {
		if v == value {
			return nil
		}
	}
	if p.Enum != nil {
		return fmt.Errorf("--%s is %q; it must be one of %s", p.Name, value, strings.Join(p.Enum, ", "))
	}
	return nil
}

// The container spec, as the service reads it.
type (
	containerSpec struct {
		Image              string   `json:"image"`
		SDKInfo            sdkInfo  `json:"sdkInfo"`
		Metadata           metadata `json:"metadata"`
		DefaultEnvironment struct{} `json:"defaultEnvironment"`
	}
	sdkInfo struct {
		Language string `json:"language"`
	}
	metadata struct {
		Name                string      `json:"name"`
		Description         string      `json:"description"`
		Streaming           bool        `json:"streaming"`
		SupportsAtLeastOnce bool        `json:"supportsAtLeastOnce"`
		SupportsExactlyOnce bool        `json:"supportsExactlyOnce"`
		Parameters          []parameter `json:"parameters"`
	}
	parameter struct {
		Name         string   `json:"name"`
		Label        string   `json:"label"`
		HelpText     string   `json:"helpText"`
		IsOptional   bool     `json:"isOptional"`
		Regexes      []string `json:"regexes,omitempty"`
		ParamType    string   `json:"paramType"`
		EnumOptions  []option `json:"enumOptions,omitempty"`
		DefaultValue string   `json:"defaultValue,omitempty"`
	}
	option struct {
		Value string `json:"value"`
		Label string `json:"label"`
	}
)

// Spec is the container spec of an image, as the file that launches name.
func Spec(image string) ([]byte, error) {
	if image == "" || strings.ContainsAny(image, " \t\n") {
		return nil, fmt.Errorf("%q is not the name of an image", image)
	}
	spec := containerSpec{Image: image, SDKInfo: sdkInfo{Language: "GO"}, Metadata: metadata{
		Name:        "Convergence run",
		Description: "Runs one Convergence pipeline for one organisation and lands its rows in BigQuery exactly once.",
		// Exactly once is the mode that batch jobs have.
		SupportsExactlyOnce: true,
	}}
	for _, p := range Parameters() {
		out := parameter{Name: p.Name, Label: p.Label, HelpText: p.Help, IsOptional: !p.Required, ParamType: typeText, DefaultValue: p.Default}
		switch {
		case p.file:
			out.ParamType = typeFile
		case p.Enum != nil:
			out.ParamType = typeEnum
			for _, v := range p.Enum {
				out.EnumOptions = append(out.EnumOptions, option{v, v})
			}
		}
		if p.Pattern != "" {
			out.Regexes = []string{"^" + p.Pattern + "$"}
		}
		spec.Metadata.Parameters = append(spec.Metadata.Parameters, out)
	}
	b, err := json.MarshalIndent(spec, "", "  ")
	return append(b, '\n'), err
}
