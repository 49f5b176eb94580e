package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/cmd/internal/wiring"
)

// Verdicts of a symptom.
const (
	pass = "pass"
	warn = "warn"
	fail = "fail"
)

// symptom is a line of doctor. Do is what to do about it, empty when it passes.
type symptom struct {
	Area    string `json:"area"`
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Found   string `json:"found"`
	Do      string `json:"do,omitempty"`
}

// diagnosis are in the order in which they were made.
type diagnosis []symptom

func (f *diagnosis) add(area, name, verdict, found, do string) {
	*f = append(*f, symptom{area, name, verdict, found, do})
}

// doctorCommand is reachable when the environment is wrong, which is what it is for.
func (a *app) doctorCommand(environ []string) *cobra.Command {
	var orgs []string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check environment, credentials, endpoints, tables and prices",
		Long: "Every line is pass, warn or fail, with what to do. Nothing is changed but the embedded warehouse,\n" +
			"which is started if it is the one in use. Exit code 1 when a line fails. Secrets are never shown.",
		Example: "  convergence doctor --org acme\n  convergence doctor --output json",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, org := range orgs {
				if err := checkOrg(org); err != nil {
					return err
				}
			}
			all := a.examine(c.Context(), environ, orgs)
			if err := a.showDiagnosis(all); err != nil {
				return err
			}
			if all.failed() > 0 {
				return failure{fmt.Errorf("%d checks failed", all.failed())}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&orgs, "org", nil, "organisation whose credentials are opened; repeatable, default all that have some")
	return c
}

func (f diagnosis) failed() (n int) {
	for _, one := range f {
		if one.Verdict == fail {
			n++
		}
	}
	return n
}

func (a *app) showDiagnosis(all diagnosis) error {
	if a.output == outputJSON {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	area := ""
	for _, f := range all {
		if f.Area != area {
			area = f.Area
			fmt.Fprintln(a.out, area)
		}
		line := "  " + f.Verdict + "  " + f.Name + ": " + f.Found
		if f.Do != "" {
			line += " -> " + f.Do
		}
		fmt.Fprintln(a.out, line)
	}
	fmt.Fprintf(a.out, "%d checks, %d failed\n", len(all), all.failed())
	return nil
}

const (
	areaEnvironment = "environment"
	areaFiles       = "files"
	areaPrices      = "prices"
	areaProduction  = "production"
	areaWarehouse   = "warehouse"
	areaCredentials = "credentials"
)

// examine makes all checks. Those of the warehouse need an environment that can be read.
func (a *app) examine(ctx context.Context, environ, orgs []string) diagnosis {
	var all diagnosis
	readable := checkEnvironment(&all, environ)
	checkDataDir(&all, a.dataDir)
	checkKeysFile(&all, a.dataDir)
	if !readable {
		return all
	}
	checkPrices(&all, a.env)
	checkStart(&all, a.env)
	a.checkWarehouse(ctx, &all, orgs)
	return all
}

// checkEnvironment reports every setting, and those that are wrong.
func checkEnvironment(all *diagnosis, environ []string) bool {
	values := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	wrong := map[string]string{}
	_, err := wiring.Read(environ)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			name, reason, _ := strings.Cut(strings.TrimPrefix(line, "environment: "), " ")
			wrong[name] = reason
		}
	}
	for _, s := range wiring.Settings() {
		value, reason := values[s.Name], wrong[s.Name]
		delete(wrong, s.Name)
		switch {
		case reason != "" && s.Secret:
			all.add(areaEnvironment, s.Name, fail, "set and wrong", s.Help)
		case reason != "":
			all.add(areaEnvironment, s.Name, fail, reason, s.Help)
		case value == "" && s.Default != "":
			all.add(areaEnvironment, s.Name, pass, "not set; default "+s.Default, "")
		case value == "":
			all.add(areaEnvironment, s.Name, pass, "not set ("+s.Help+")", "")
		case s.Secret:
			all.add(areaEnvironment, s.Name, pass, "set", "")
		default:
			all.add(areaEnvironment, s.Name, pass, "set to "+value, "")
		}
	}
	for name, reason := range wrong { // no settings of ours
		all.add(areaEnvironment, name, fail, reason, "unset it or correct its name")
	}
	return err == nil
}

// checkDataDir finds out whether runs can be kept, and whether others could read them.
func checkDataDir(all *diagnosis, dir string) {
	name := "data directory " + dir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		all.add(areaFiles, name, pass, "not there yet; the first command makes it", "")
		return
	case err != nil:
		all.add(areaFiles, name, fail, err.Error(), "give this user rights, or choose another with --data-dir")
		return
	case !info.IsDir():
		all.add(areaFiles, name, fail, "is no folder", "choose another with --data-dir")
		return
	}
	probe, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		all.add(areaFiles, name, fail, "cannot be written to", "give this user rights, or choose another with --data-dir")
		return
	}
	_ = errors.Join(probe.Close(), os.Remove(probe.Name()))
	const others = 0o007
	if info.Mode().Perm()&others != 0 {
		all.add(areaFiles, name, warn, fmt.Sprintf("is open to every user (mode %04o)", info.Mode().Perm()), "chmod o-rwx "+dir)
		return
	}
	all.add(areaFiles, name, pass, "can be written to", "")
}
