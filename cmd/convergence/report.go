package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher"
)

const costReport = "cost_by_"

type reportFlags struct {
	org, from, to, by string
}

func (a *app) reportCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:     "report",
		Short:   "Print cost tables from the warehouse",
		Long:    "Unpriced models are always shown below the costs: their cost is unknown, not zero.",
		Example: "  convergence report --org acme --from 2026-08-19 --to 2026-08-23\n  convergence report --org acme --by project --output csv",
		Args:    exactArgs(0),
		RunE:    func(c *cobra.Command, _ []string) error { return a.report(c.Context(), f) },
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation")
	c.Flags().StringVar(&f.from, "from", "", "first day; empty = the beginning")
	c.Flags().StringVar(&f.to, "to", "", "last day, inclusive; empty = the end")
	c.Flags().StringVar(&f.by, "by", "model", "model, project, key or day")
	return c
}

func (a *app) report(ctx context.Context, f reportFlags) error {
	if err := checkOrg(f.org); err != nil {
		return err
	}
	from, to, err := f.days()
	if err != nil {
		return err
	}
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	name := costReport + f.by
	if _, ok := catalog.Report(name); !ok {
		return usageError{fmt.Errorf("--by is %q; it must be one of %s", f.by, strings.Join(reportKeys(catalog), ", "))}
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	for _, part := range []string{name, "unpriced"} {
		if err := a.reportPart(ctx, w, catalog, part, f.org, from, to); err != nil {
			return fmt.Errorf("report %s of %s: %w", part, f.org, err)
		}
	}
	return nil
}

func reportKeys(catalog *configs.Catalog) []string {
	var keys []string
	for _, name := range catalog.Reports() {
		if key, ok := strings.CutPrefix(name, costReport); ok {
			keys = append(keys, key)
		}
	}
	return slices.Sorted(slices.Values(keys))
}

func (f reportFlags) days() (from, to civil.Date, err error) {
	from, to = civil.Date{Year: 1, Month: 1, Day: 1}, civil.Date{Year: 9999, Month: 12, Day: 31}
	for _, d := range []struct {
		name, value string
		into        *civil.Date
	}{{"--from", f.from, &from}, {"--to", f.to, &to}} {
		if d.value == "" {
			continue
		}
		if *d.into, err = civil.ParseDate(d.value); err != nil {
			return from, to, usageError{fmt.Errorf("%s is %q; write it as YYYY-MM-DD", d.name, d.value)}
		}
	}
	return from, to, nil
}

func (a *app) reportPart(ctx context.Context, w *warehouse, catalog *configs.Catalog, name, org string, from, to civil.Date) error {
	r, ok := catalog.Report(name)
	if !ok {
		return fmt.Errorf("configs hold no report of that name")
	}
	sql, err := r.SQL(w.env.Project, launcher.Dataset(org, w.env.Suffix()))
	if err != nil {
		return err
	}
	if a.output == outputText {
		fmt.Fprintln(a.out, r.Title)
	}
	q := w.BigQuery.Query(sql)
	q.Parameters = []bigquery.QueryParameter{{Name: "from", Value: from}, {Name: "to", Value: to}}
	return a.query(ctx, q)
}
