package main

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

func TestUnknownFlagsAreToleratedFromALauncherOnly(t *testing.T) {
	flags := flag.NewFlagSet("job", flag.ContinueOnError)
	flags.String("template_location", "", "")
	flags.String("spec", "", "")
	for args, want := range map[string]struct{ known, unknown string }{
		"--spec=a --new=1": {"--spec=a --new=1", ""}, // a person's mistake
		"--template_location=gs://b --new=1 --spec=a":           {"--template_location=gs://b --spec=a", "new"},
		"--new -other=2 --spec=a -template_location=gs://b":     {"--spec=a -template_location=gs://b", "new other"},
		"--new value --template_location=gs://b":                {"--template_location=gs://b", "new"},
		"--template_location=gs://b --spec a --new --newer=x=y": {"--template_location=gs://b --spec a", "new newer"},
	} {
		known, unknown := tolerate(strings.Fields(args), flags)
		if !slices.Equal(known, strings.Fields(want.known)) || !slices.Equal(unknown, strings.Fields(want.unknown)) {
			t.Errorf("%s: known %v, unknown %v", args, known, unknown)
		}
	}
}

func TestNamesOfRunners(t *testing.T) {
	for name, want := range map[string]string{"DataflowRunner": "dataflow", "dataflow": "dataflow", "prism": "prism", "": ""} {
		if got := runnerName(name); got != want {
			t.Errorf("%q is %q, not %q", name, got, want)
		}
	}
}

func TestParametersStandAboveTheEnvironment(t *testing.T) {
	set := func(args ...string) *options {
		flags := flag.NewFlagSet("job", flag.ContinueOnError)
		o := register(flags)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		return o
	}
	const spec = "--spec=gs://bucket-1/runs/1/spec.json"
	for name, c := range map[string]struct {
		args, environ []string
		want          string
	}{
		"a template's job is production":  {[]string{spec}, nil, "production"},
		"unless a parameter says not":     {[]string{spec, "--environment=staging"}, []string{"ENVIRONMENT=development"}, "staging"},
		"or the environment":              {[]string{spec}, []string{"ENVIRONMENT=development"}, "development"},
		"by hand it is a development one": {[]string{"--spec=/tmp/spec.json"}, nil, "development"},
	} {
		env, err := set(c.args...).environment(c.environ)
		if err != nil || env.Name != c.want {
			t.Errorf("%s: it is %q, %v", name, env.Name, err)
		}
	}
	if _, err := set(spec, "--environment=moon").environment(nil); err == nil || !strings.Contains(err.Error(), "--environment") {
		t.Errorf("a value that cannot be: %v", err)
	}
	if _, err := set("--spec=gs://bucket-1/other.json").environment(nil); err == nil || !strings.Contains(err.Error(), "--spec") {
		t.Errorf("a spec that is none: %v", err)
	}
}

func TestWorkersReadTheirSettingsFromPipelineOptions(t *testing.T) {
	env, err := wiring.Read(above([]string{"GCP_PROJECT_ID=of-the-machine", "PATH=/bin"}, map[string]string{envProject: "of-the-run", envName: ""}))
	if err != nil || env.Project != "of-the-run" || env.Name != "development" {
		t.Errorf("the settings are %+v, %v", env, err)
	}
}
