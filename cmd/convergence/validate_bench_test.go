package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudact/convergence/beam/compile"
	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/cmd/internal/wiring"
	"github.com/cloudact/convergence/configs"
)

// twentyStepsOfSQL is a pipeline of 5 extractions and 15 statements over their tables.
func twentyStepsOfSQL() configs.File {
	var b strings.Builder
	b.WriteString("pipeline_id: p\nsteps:\n")
	for i := range 5 {
		fmt.Fprintf(&b, "  - {step_id: e%d, ps_type: generic.api_extractor, config: {url: 'https://api.example.com/v%d', data_path: data}, destination: {table: raw%d, write_mode: append}}\n", i, i, i)
	}
	for i := range 15 {
		fmt.Fprintf(&b, `  - step_id: s%d
    ps_type: generic.local_bq_transformer
    config:
      sql: |
        WITH a AS (SELECT usage_date, org_slug, JSON_VALUE(raw_data, '$.model') AS model, SUM(CAST(JSON_VALUE(raw_data, '$.cost') AS NUMERIC)) AS cost
                   FROM `+"`{project}.{dataset}.raw%d`"+` WHERE usage_date BETWEEN DATE '{start_date}' AND DATE '{end_date}' GROUP BY 1, 2, 3)
        SELECT a.*, ROW_NUMBER() OVER (PARTITION BY model ORDER BY cost DESC) AS n, c.total_cost_usd
        FROM a LEFT JOIN openai_cost_daily c USING (usage_date, org_slug, model)
    destination: {table: t%d, write_mode: overwrite, schema_ref: example/finance/consolidated_subscription_costs_daily}
`, i, i%5, i)
	}
	return configs.File{Name: "p.yml", Text: []byte(b.String()), ID: "openai/cost/p"}
}

func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkValidateTwentySteps prints the CPU of reading, validating, planning and
// compiling a document: the first time in a process, and each time after that.
func BenchmarkValidateTwentySteps(b *testing.B) {
	env, err := wiring.Read(nil)
	if err != nil {
		b.Fatal(err)
	}
	catalog, err := configs.Open(configs.Shipped())
	if err != nil {
		b.Fatal(err)
	}
	f := twentyStepsOfSQL()
	dlq, _ := catalog.Table("system/" + compile.DeadLetterTable)
	once := func(p *planner) {
		planned, err := p.plans.Plan(context.Background(), benchRequest(f))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := compile.Pipeline(planned, compile.Options{Now: time.Unix(0, 0), DeadLetters: dlq}); err != nil {
			b.Fatal(err)
		}
	}
	start := cpu(b)
	p := newPlanner(env, catalog)
	once(p)
	cold := cpu(b) - start
	start = cpu(b)
	n := 0
	for b.Loop() {
		once(p)
		n++
	}
	b.ReportMetric(float64(cold.Microseconds())/1000, "cold-ms")
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/1000/float64(n), "warm-ms/op")
}

func benchRequest(f configs.File) plan.Request {
	return plan.Request{
		Source: f, Org: "acme", Env: "local", Project: "platform", Dataset: "acme_local", Location: "US",
		RunID: "0b5c1f0e-0000-5000-8000-000000000000", Now: time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC),
	}
}
