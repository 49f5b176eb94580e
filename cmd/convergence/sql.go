package main

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/launcher"
)

func (a *app) sqlCommand() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use:     "sql 'SELECT ...'",
		Short:   "Query the warehouse in use with GoogleSQL",
		Long:    "Unqualified tables are those of --org; `organizations.org_meta_pipeline_runs` and the like are\nthe central ones.",
		Example: "  convergence sql --org acme 'SELECT model, SUM(total_cost_usd) AS usd FROM openai_cost_daily GROUP BY 1'",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOrg(org); err != nil {
				return err
			}
			w, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer w.close()
			q := w.BigQuery.Query(args[0])
			q.DefaultProjectID, q.DefaultDatasetID = w.env.Project, launcher.Dataset(org, w.env.Suffix())
			return a.query(c.Context(), q)
		},
	}
	c.Flags().StringVar(&org, "org", defaultOrg, "organisation whose dataset is the default")
	return c
}

// query runs a query and prints its rows.
func (a *app) query(ctx context.Context, q *bigquery.Query) error {
	it, err := q.Read(ctx)
	if err != nil {
		return plainError(err)
	}
	var rows [][]bigquery.Value
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return plainError(err)
		}
		rows = append(rows, row)
	}
	return a.printRows(it.Schema, rows)
}

// plainError says what the warehouse said, without the client's wrapping.
func plainError(err error) error {
	var api *googleapi.Error
	if errors.As(err, &api) && api.Message != "" {
		return errors.New(api.Message)
	}
	return err
}

func (a *app) printRows(schema bigquery.Schema, rows [][]bigquery.Value) error {
	switch a.output {
	case outputJSON:
		return printJSON(a.out, schema, rows)
	case outputCSV:
		return printCSV(a.out, schema, rows)
	}
	if len(schema) == 0 {
		fmt.Fprintln(a.out, "done")
		return nil
	}
	t := table.NewWriter()
	t.SetOutputMirror(a.out)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	header := make(table.Row, len(schema))
	var columns []table.ColumnConfig
	for i, f := range schema {
		header[i] = f.Name
		switch f.Type {
		case bigquery.NumericFieldType, bigquery.BigNumericFieldType, bigquery.IntegerFieldType, bigquery.FloatFieldType:
			columns = append(columns, table.ColumnConfig{Number: i + 1, Align: text.AlignRight})
		}
	}
	t.SetColumnConfigs(columns)
	t.AppendHeader(header)
	for _, r := range rows {
		cells := make(table.Row, len(r))
		for i, v := range r {
			cells[i] = cellText(v, "NULL")
		}
		t.AppendRow(cells)
	}
	t.Render()
	return nil
}

func printJSON(out io.Writer, schema bigquery.Schema, rows [][]bigquery.Value) error {
	enc := json.NewEncoder(out)
	for _, r := range rows {
		object := make(map[string]any, len(r))
		for i, v := range r {
			switch v.(type) {
			case nil, bool, int64, float64, string:
				object[schema[i].Name] = v
			default:
				object[schema[i].Name] = cellText(v, "")
			}
		}
		if err := enc.Encode(object); err != nil {
			return fmt.Errorf("print row: %w", err)
		}
	}
	return nil
}

func printCSV(out io.Writer, schema bigquery.Schema, rows [][]bigquery.Value) error {
	w := csv.NewWriter(out)
	line := make([]string, len(schema))
	for i, f := range schema {
		line[i] = f.Name
	}
	if err := w.Write(line); err != nil {
		return fmt.Errorf("print header: %w", err)
	}
	for _, r := range rows {
		for i, v := range r {
			line[i] = cellText(v, "")
		}
		if err := w.Write(line); err != nil {
			return fmt.Errorf("print row: %w", err)
		}
	}
	w.Flush()
	return w.Error()
}

const numericScale = 9

// cellText prints a value; NUMERIC exactly, without trailing zeros.
func cellText(v bigquery.Value, null string) string {
	switch v := v.(type) {
	case nil:
		return null
	case *big.Rat:
		s := v.FloatString(numericScale)
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999 UTC")
	case []bigquery.Value:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = cellText(e, "NULL")
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		return fmt.Sprint(v)
	}
}
