package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/configs"
)

func (a *app) validateCommand() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Print every problem of every document as file:line:col",
		Long: "PATH is a file, a folder (every .yml, .yaml and .json below it) or the name of a shipped pipeline.\n" +
			"Pipelines, providers, dataset types, notification templates, schemas, central tables and price tables\n" +
			"are told apart by their keys. SQL is checked against the tables that the document, the folder and the\n" +
			"shipped schemas declare. Exit code 1 when anything is wrong; warnings and notes do not count.",
		Example: "  convergence validate my_pipeline.yml\n  convergence validate configs/\n  convergence validate --strict openai/cost/usage_cost",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name at least one file, folder or shipped pipeline; see \"convergence validate --help\"")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.validate(c.Context(), args, strict) },
	}
	c.Flags().BoolVar(&strict, "strict", false, "warnings are errors")
	return c
}

func (a *app) validate(ctx context.Context, args []string, strict bool) error {
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	bad, total := 0, 0
	for _, arg := range args {
		files, err := documents(catalog, arg)
		if err != nil {
			fmt.Fprintln(a.err, err)
			bad++
			continue
		}
		v := validation{plans: newPlanner(a.env, withFolder(catalog, arg)).plans, catalog: withFolder(catalog, arg)}
		for _, file := range files {
			total++
			problems := v.document(ctx, file)
			if strict {
				problems = problems.Strict()
			}
			for _, problem := range problems {
				fmt.Fprintln(a.err, problem)
			}
			if problems.Err() != nil {
				bad++
			}
		}
	}
	if bad > 0 {
		return failure{errors.New("invalid documents")}
	}
	fmt.Fprintf(a.out, "%d valid\n", total)
	return nil
}

func (a *app) graphCommand() *cobra.Command {
	var format string
	var vars []string
	c := &cobra.Command{
		Use:     "graph PIPELINE",
		Short:   "Print the compiled Beam graph",
		Example: "  convergence graph openai/cost/usage_cost\n  convergence graph my_pipeline.yml --format dot | dot -Tsvg > graph.svg",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			params, err := parameters(vars)
			if err != nil {
				return err
			}
			return a.graph(c.Context(), args[0], params, format)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, dot, mermaid or json")
	c.Flags().StringArrayVar(&vars, "var", nil, "run parameter as name=value; repeatable")
	return c
}

func (a *app) graph(ctx context.Context, target string, params map[string]string, format string) error {
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	planner := newPlanner(a.env, catalog)
	files, err := documents(catalog, target)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return usageError{fmt.Errorf("%s holds %d documents; name one", target, len(files))}
	}
	beam.Init()
	spec := run.DryRunSpec(files[0], run.Prism, time.Now().UTC())
	spec.Params = params
	if spec.Tables, err = planner.results(ctx, spec); err != nil {
		fmt.Fprintln(a.err, err)
		return failure{err}
	}
	pipeline, planned, err := run.Build(ctx, spec, catalog)
	var problems configs.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(a.err, problems)
		return failure{err}
	}
	if err != nil {
		return err
	}
	return a.printGraph(pipeline, planned.Hooks, format)
}

func (a *app) printGraph(pipeline *beam.Pipeline, hooks []plan.Hook, format string) error {
	g, err := compile.Describe(pipeline)
	if err != nil {
		return err
	}
	g = g.With(hooks)
	var text string
	switch format {
	case "text":
		text = g.Text()
	case "dot":
		text = g.Dot()
	case "mermaid":
		text = g.Mermaid()
	case "json":
		text, err = g.JSON()
	default:
		return usageError{fmt.Errorf("--format is %q; it must be text, dot, mermaid or json", format)}
	}
	fmt.Fprint(a.out, text)
	return err
}
