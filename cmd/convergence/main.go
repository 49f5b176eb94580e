// Command convergence is the product in one binary: the command line, the service, the
// embedded cloud, and the job that the service starts as a child.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/cmd/internal/wiring"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code := execute(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// failure is an error that has been explained to the user already.
type failure struct{ error }

// usageError is wrong usage: exit code 2.
type usageError struct{ error }

func execute(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	env, err := wiring.Read(environ)
	if err != nil && slices.Contains(args, "doctor") { // it says what is wrong, and what is right
		env, err = wiring.Read(nil)
	}
	if err != nil {
		fmt.Fprintln(stderr, "convergence:", err)
		return exitUsage
	}
	a := &app{env: env, environ: environ, out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err = root.ExecuteContext(ctx)
	var told failure
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &told):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "convergence: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "convergence: %v\n", err)
		return exitFailed
	}
}

// app is what every command shares.
type app struct {
	env     wiring.Environment
	environ []string // as doctor looks at it
	out     io.Writer
	err     io.Writer
	dataDir string
	output  string // text, json or csv
	verbose bool
	metrics *api.Metrics // of the service
}

const (
	outputText = "text"
	outputJSON = "json"
	outputCSV  = "csv"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "convergence",
		Short:         "Beam-native, YAML-driven ETL for LLM and cloud cost",
		Long:          "Convergence compiles a YAML pipeline into an Apache Beam graph, runs it, lands exact rows in\nBigQuery and prices every token. Without a project or endpoint in the environment, commands use\nthe embedded warehouse in --data-dir.",
		Example:       "  convergence run openai/cost/usage_cost --org acme --date 2026-08-19\n  convergence report --org acme --by model",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; %q lists them", args[0], c.CommandPath()+" --help")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch a.output {
			case outputText, outputJSON, outputCSV:
				return nil
			default:
				return usageError{fmt.Errorf("--output is %q; it must be text, json or csv", a.output)}
			}
		},
	}
	root.PersistentFlags().StringVar(&a.dataDir, "data-dir", a.env.DataDir, "folder of the embedded warehouse, keys and runs")
	root.PersistentFlags().StringVar(&a.env.ConfigsDir, "configs", a.env.ConfigsDir, "folder of pipelines beside the shipped ones; organizations' own are in orgs/{org}")
	root.PersistentFlags().StringVar(&a.output, "output", outputText, "text, json or csv, where a command prints data")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "log what is done to standard error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.serveCommand(), a.runCommand(), a.validateCommand(), a.graphCommand(), a.previewCommand(), a.sqlCommand(), a.reportCommand(),
		a.credentialsCommand(), a.processorsCommand(), a.languageCommand(), a.initCommand(), a.localCommand(), a.jobCommand(), a.versionCommand(),
		a.backfillCommand(), a.runsCommand(), a.stateCommand(), a.dlqCommand(), a.doctorCommand(a.environ),
	)
	return root
}

var orgSlug = regexp.MustCompile(`^[a-z0-9_]{3,50}$`)

// checkOrg refuses what cannot be an organisation before anything is started for it.
func checkOrg(org string) error {
	if orgSlug.MatchString(org) {
		return nil
	}
	return usageError{fmt.Errorf("--org is %q; slugs are 3 to 50 lower-case letters, digits and underscores", org)}
}

// exactArgs is cobra's, with exit code 2.
func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(c, args); err != nil {
			return usageError{fmt.Errorf("%w; see %q", err, c.CommandPath()+" --help")}
		}
		return nil
	}
}
