package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// volatile columns say who wrote a row and when, not what it says.
var volatile = []string{"_run_id", "_row_id", "extracted_at", "calculated_at"}

// tables are the contents of an organisation's tables: sorted rows without volatile
// columns, and the runs that wrote them.
type tables map[string]contents

type contents struct {
	rows []string
	runs []string
}

func (t tables) rows() int {
	n := 0
	for _, c := range t {
		n += len(c.rows)
	}
	return n
}

// query asks the warehouse through the product's sql command.
func (d *demo) query(ctx context.Context, org, sql string) ([][]string, error) {
	out, err := d.output(ctx, "sql", "--org", org, "--output", "csv", sql)
	if err != nil {
		return nil, err
	}
	return csv.NewReader(strings.NewReader(out)).ReadAll()
}

var pipelineTables = []string{"openai_usage_daily_raw", "openai_cost_daily"}

func (d *demo) snapshot(ctx context.Context, org string) (tables, error) {
	out := tables{}
	for _, name := range pipelineTables {
		records, err := d.query(ctx, org, "SELECT * FROM "+name)
		if err != nil {
			return nil, err
		}
		out[name] = contentsOf(records)
	}
	return out, nil
}

func contentsOf(records [][]string) contents {
	header := records[0]
	var c contents
	runs := map[string]bool{}
	for _, record := range records[1:] {
		var kept []string
		for i, value := range record {
			if header[i] == "_run_id" {
				runs[value] = true
			}
			if !slices.Contains(volatile, header[i]) {
				kept = append(kept, header[i]+"="+value)
			}
		}
		c.rows = append(c.rows, strings.Join(kept, "\x1f"))
	}
	slices.Sort(c.rows)
	for run := range runs {
		c.runs = append(c.runs, run)
	}
	return c
}

func (t tables) sameRowsAs(before tables) error {
	for name, now := range t {
		was := before[name]
		if len(now.rows) == 0 || !slices.Equal(now.rows, was.rows) {
			return fmt.Errorf("%s has %d rows, had %d, and they are not equal", name, len(now.rows), len(was.rows))
		}
		for _, run := range now.runs {
			if slices.Contains(was.runs, run) {
				return fmt.Errorf("%s still holds rows of run %s: it was not published anew", name, run)
			}
		}
	}
	return nil
}

// report prints what a person would look at.
func (d *demo) report(ctx context.Context) error {
	for _, org := range organisations {
		fmt.Printf("\n== %s ==\n", org.Name)
		for _, args := range [][]string{
			{"sql", "--org", org.Name, rowsPerTable},
			{"report", "--org", org.Name, "--by", "day", "--from", d.first(), "--to", d.last()},
			{"report", "--org", org.Name, "--by", "model", "--from", d.first(), "--to", d.last()},
		} {
			out, err := d.output(ctx, args...)
			if err != nil {
				return err
			}
			fmt.Print(out)
		}
	}
	return nil
}

const rowsPerTable = `SELECT 'openai_usage_daily_raw' AS table_name, COUNT(*) AS row_count, SUM(num_model_requests) AS requests FROM openai_usage_daily_raw
UNION ALL SELECT 'openai_cost_daily', COUNT(*), SUM(requests) FROM openai_cost_daily ORDER BY 1 DESC`

const costByDayAndModel = `SELECT CAST(usage_date AS STRING) AS day, model, SUM(requests) AS requests, SUM(total_cost_usd) AS cost, COUNTIF(pricing_status = 'UNPRICED') AS unpriced
FROM openai_cost_daily GROUP BY 1, 2 ORDER BY 1, 2`

var halfUnit = big.NewRat(5, 10_000_000_000) // 0.5e-9, the rounding error of one leaf

// reconcile holds the computed costs against the simulator's own, per day and model.
func (d *demo) reconcile(ctx context.Context) error {
	fmt.Println("\nCalculated cost against the provider's own bill, per day and priced model")
	for _, org := range organisations {
		totals, err := d.simulator.Totals(org.Name)
		if err != nil {
			return err
		}
		records, err := d.query(ctx, org.Name, costByDayAndModel)
		if err != nil {
			return err
		}
		check := newCheck(records[1:])
		for _, day := range totals.Days {
			if err := check.day(day); err != nil {
				return fmt.Errorf("%s: %w", org.Name, err)
			}
		}
		if err := check.complete(totals.Requests); err != nil {
			return fmt.Errorf("%s: %w", org.Name, err)
		}
		fmt.Printf("  %-7s %3d of %3d day-model totals equal within leaves x 0.5e-9; %s; billed %s, calculated %s USD; %d unpriced, cost unknown\n",
			org.Name, check.priced, check.priced, check.difference(), check.billed.FloatString(6), check.calculated.FloatString(6), check.unpriced)
	}
	return nil
}
