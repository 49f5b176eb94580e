package dataflow_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"regexp"
	"slices"
	"testing"

	df "google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/templates/dataflow"
)

func TestContainerSpecDescribesEveryFlagAsTheServiceReadsIt(t *testing.T) {
	b, err := dataflow.Spec("registry.example/job:1")
	if err != nil {
		t.Fatal(err)
	}
	var spec df.ContainerSpec
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	if spec.Image != "registry.example/job:1" || spec.SdkInfo.Language != "GO" || spec.Metadata.Streaming {
		t.Errorf("the spec is %s", b)
	}
	flags := flag.NewFlagSet("job", flag.ContinueOnError)
	dataflow.Register(flags)
	n := 0
	flags.VisitAll(func(*flag.Flag) { n++ })
	if n != len(spec.Metadata.Parameters) {
		t.Errorf("%d flags, %d parameters", n, len(spec.Metadata.Parameters))
	}
	// Limits of the service, which refuses a template that exceeds them.
	name := regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)
	types := []string{"TEXT", "GCS_READ_FILE", "ENUM"}
	for _, p := range spec.Metadata.Parameters {
		if flags.Lookup(p.Name) == nil || !name.MatchString(p.Name) || p.Label == "" || p.HelpText == "" || !slices.Contains(types, p.ParamType) {
			t.Errorf("parameter %+v", p)
		}
		for _, r := range p.Regexes {
			regexp.MustCompile(r)
		}
		if (p.ParamType == "ENUM") != (len(p.EnumOptions) > 0) {
			t.Errorf("parameter %s has the type %s and %d options", p.Name, p.ParamType, len(p.EnumOptions))
		}
		if p.DefaultValue != "" && !slices.ContainsFunc(p.EnumOptions, func(o *df.ParameterMetadataEnumOption) bool { return o.Value == p.DefaultValue }) {
			t.Errorf("the default %q of %s is none of its options", p.DefaultValue, p.Name)
		}
	}
}

func TestValuesAreChecked(t *testing.T) {
	byName := map[string]dataflow.Parameter{}
	for _, p := range dataflow.Parameters() {
		byName[p.Name] = p
	}
	for value, c := range map[string]struct {
		name string
		ok   bool
	}{
		"gs://bucket-1/runs/acme/1/a1-e1-x/spec.json":       {dataflow.ParamSpec, true},
		"gs://bucket-1/runs/spec.json?x=1":                  {dataflow.ParamSpec, false},
		"gs://bucket-1/runs/secrets.json":                   {dataflow.ParamSpec, false},
		"https://example.com/spec.json":                     {dataflow.ParamSpec, false},
		"production":                                        {dataflow.ParamEnvironment, true},
		"prod":                                              {dataflow.ParamEnvironment, false},
		"projects/p/locations/eu/keyRings/r/cryptoKeys/k":   {dataflow.ParamKMSKey, true},
		"projects/p/locations/eu/keyRings/r/cryptoKeys/k/x": {dataflow.ParamKMSKey, false},
		"TRACE": {dataflow.ParamLogLevel, false},
	} {
		if err := byName[c.name].Check(value); (err == nil) != c.ok {
			t.Errorf("%s = %q: %v", c.name, value, err)
		}
	}
	for _, p := range dataflow.Parameters() {
		if err := p.Check(""); err != nil {
			t.Errorf("%s that is not given: %v", p.Name, err)
		}
	}
}

func TestAnImageIsNeeded(t *testing.T) {
	for _, image := range []string{"", "two words"} {
		if _, err := dataflow.Spec(image); err == nil {
			t.Errorf("the image %q is taken", image)
		}
	}
}
