package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/beam/run"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/transforms/row"
)

const (
	previewRows     = 10
	previewDeadline = 5 * time.Minute
	mostPreviewed   = 1000
)

func (a *app) previewCommand() *cobra.Command {
	var f runFlags
	var step string
	var rows int
	c := &cobra.Command{
		Use:   "preview PIPELINE",
		Short: "Fetch and show the first rows of a step; nothing is written",
		Long: "The step runs as it would in a run, up to its first rows. For a step that flattens records without a\n" +
			"schema, the columns to declare are printed. Without --step it is the first that fetches.",
		Example: "  convergence preview openai/cost/usage_cost --org acme --date 2026-08-19\n  convergence preview my_pipeline.yml --step extract --rows 3 --output json",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if rows < 1 || rows > mostPreviewed {
				return usageError{fmt.Errorf("--rows is %d; it must be between 1 and %d", rows, mostPreviewed)}
			}
			f.runner = run.Direct
			return a.preview(c.Context(), args[0], step, rows, f)
		},
	}
	c.Flags().StringVar(&f.org, "org", defaultOrg, "organisation whose credentials are used")
	c.Flags().StringVar(&step, "step", "", "step whose rows are shown")
	c.Flags().IntVar(&rows, "rows", previewRows, "how many")
	c.Flags().StringVar(&f.date, "date", "", "one day, YYYY-MM-DD")
	c.Flags().StringVar(&f.from, "from", "", "first day")
	c.Flags().StringVar(&f.to, "to", "", "last day, inclusive")
	c.Flags().StringArrayVar(&f.vars, "var", nil, "run parameter as name=value; repeatable")
	return c
}

func (a *app) preview(ctx context.Context, target, step string, rows int, f runFlags) error {
	if err := parseBeamFlags(); err != nil {
		return err
	}
	catalog, err := a.env.Catalog()
	if err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	p := w.planner(catalog)
	p.preview = true
	request, err := f.request(p, target)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	planned, err := p.Plan(ctx, request, uuid.Nil.String(), now)
	if err != nil {
		return a.explain(err)
	}
	spec := runfolder.Spec{
		RunID: uuid.Nil.String(), Attempt: 1, Epoch: 1, Org: f.org, Env: w.env.Suffix(), Project: w.env.Project,
		Dataset: f.org + "_" + w.env.Suffix(), Location: w.env.Location, Pipeline: planned.Pipeline, Document: planned.Text,
		File: planned.File, Params: planned.Params, ProjectID: planned.ProjectID, AdminEmail: planned.AdminEmail, StartDate: planned.Start, EndDate: planned.End,
		Now: now, Deadline: now.Add(previewDeadline), Runner: run.Direct,
	}
	return a.previewSpec(ctx, w, catalog.For(f.org), spec, step, rows)
}

func (a *app) previewSpec(ctx context.Context, w *warehouse, catalog *configs.Catalog, spec runfolder.Spec, step string, rows int) error {
	p, err := run.PlanPreview(ctx, spec, catalog, "")
	if err != nil {
		return err
	}
	chosen, err := stepToShow(p, step)
	if err != nil {
		return usageError{err}
	}
	if chosen.Kind == configs.KindQuery {
		return a.previewQuery(ctx, w, p, chosen, rows)
	}
	w.env.Hooks(catalog, w.Clients)
	beam.Init()
	quiet := slog.New(slog.DiscardHandler)
	slog.SetDefault(quiet) // Init has set one that writes to standard error
	beamlog.SetLogger(&beamlog.Structural{})
	found, err := run.Preview(ctx, spec, catalog, chosen.ID, rows)
	if err != nil {
		return err
	}
	return a.printPreview(found)
}

// stepToShow finds a step by its id; without one it is the first that fetches.
func stepToShow(p *plan.Plan, id string) (*plan.Step, error) {
	var ids []string
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
		if s.ID == id || id == "" && s.Kind == configs.KindSource {
			return s, nil
		}
	}
	if id == "" {
		return nil, fmt.Errorf("no step of this pipeline fetches; name one with --step: %s", strings.Join(ids, ", "))
	}
	return nil, fmt.Errorf("--step is %q; the steps are %s", id, strings.Join(ids, ", "))
}

// previewQuery shows the first rows of a statement; the warehouse keeps them in a table of
// its own that expires.
func (a *app) previewQuery(ctx context.Context, w *warehouse, p *plan.Plan, s *plan.Step, limit int) error {
	statement := s.Units[0].Statement
	q := w.BigQuery.Query(statement.SQL)
	q.DefaultProjectID, q.DefaultDatasetID, q.Location = p.Project, p.Dataset, p.Location
	for _, one := range statement.Params {
		q.Parameters = append(q.Parameters, bigquery.QueryParameter{Name: one.Name, Value: &bigquery.QueryParameterValue{
			Type: bigquery.StandardSQLDataType{TypeKind: one.Type.String()}, Value: one.Value,
		}})
	}
	it, err := q.Read(ctx)
	if err != nil {
		return fmt.Errorf("step %s: %w", s.ID, plainError(err))
	}
	var rows [][]bigquery.Value
	for len(rows) < limit {
		var one []bigquery.Value
		err := it.Next(&one)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return fmt.Errorf("step %s: %w", s.ID, plainError(err))
		}
		rows = append(rows, one)
	}
	if err := a.printRows(it.Schema, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%d of %d rows; nothing was written\n", len(rows), it.TotalRows)
	if len(s.Schema.Fields) > 0 {
		return nil
	}
	columns, err := columnsOfResult(it.Schema)
	if err != nil {
		return fmt.Errorf("step %s: %w", s.ID, err)
	}
	return a.printDeclaration("the step declares no schema", columns)
}

// columnsOfResult are the columns of a result as a schema declares them.
func columnsOfResult(result bigquery.Schema) (row.Schema, error) {
	var out row.Schema
	for _, f := range result {
		t, err := row.ParseType(string(f.Type))
		if err != nil || f.Repeated {
			return nil, fmt.Errorf("column %q of the result is no type that a table of a pipeline holds; cast it, or write it with TO_JSON_STRING", f.Name)
		}
		out = append(out, row.Field{Name: f.Name, Type: t})
	}
	return out, nil
}

// printPreview prints the rows of a step and what became of the others.
func (a *app) printPreview(found run.Rows) error {
	schema := make(bigquery.Schema, len(found.Schema))
	for i, f := range found.Schema {
		schema[i] = &bigquery.FieldSchema{Name: f.Name, Type: bigquery.FieldType(f.Type.String())}
	}
	rows := make([][]bigquery.Value, len(found.Rows))
	for i, r := range found.Rows {
		for _, c := range r.Cells {
			rows[i] = append(rows[i], a.shown(c))
		}
	}
	if err := a.printRows(schema, rows); err != nil {
		return err
	}
	more := "there are more"
	if found.Complete {
		more = "that is all"
	}
	fmt.Fprintf(a.err, "%d rows, %s; nothing was written\n", len(found.Rows), more)
	for _, r := range found.Rejects {
		fmt.Fprintf(a.err, "rejected: %s: %s\n", r.Code, r.Reason)
	}
	return a.printDeclaration("the step flattens records and declares no schema", found.Declare)
}

const widest = 48

// shown is a cell as the printers of SQL results take it. A table cuts long texts.
func (a *app) shown(c row.Cell) bigquery.Value {
	if c.IsNull() {
		return nil
	}
	if v, ok := c.AsBool(); ok {
		return v
	}
	if v, ok := c.AsInt64(); ok {
		return v
	}
	text := []rune(c.Text())
	if a.output == outputText && len(text) > widest {
		return string(text[:widest]) + "…"
	}
	return string(text)
}

// printDeclaration prints the schema that an author declares for rows of these columns.
func (a *app) printDeclaration(why string, columns row.Schema) error {
	if columns == nil {
		return nil
	}
	text, err := json.MarshalIndent(configs.TableSchema{Fields: columns}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the schema: %w", err)
	}
	fmt.Fprintf(a.err, "%s. Save this as configs/{provider}/{domain}/schemas/{name}.json and name it in destination.schema_ref:\n", why)
	fmt.Fprintf(a.out, "%s\n", text)
	return nil
}
