package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn2x2[context.Context, row.Page, row.Page, error](&openAICostFn{})
	registry.RegisterProcess(registry.Spec{
		Name:     "openai.cost",
		Summary:  "Prices OpenAI usage rows by model, usage date and service tier; rows without a price are UNPRICED, never 0.",
		Examples: examples,
		Provider: openAI,
		Output: registry.Output{
			SchemaRef: "openai/cost/openai_cost_daily", Table: "openai_cost_daily",
			WriteMode: "replace_partition", ByDay: true, MoneyTable: true,
		},
	}, OpenAICostConfig{SourceTable: "openai_usage_daily_raw", DestinationTable: "openai_cost_daily"}, buildOpenAICost)
}

const (
	openAI      = "OPENAI"
	openAITable = "openai_model_pricing"
)

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// OpenAICostConfig is the config of openai.cost.
type OpenAICostConfig struct {
	SourceTable      string `json:"source_table,omitempty" jsonschema:"description=Usage table; default openai_usage_daily_raw. Rows of a step that this one depends on are taken from that step"`
	DestinationTable string `json:"destination_table,omitempty" jsonschema:"description=Table of the cost rows; default openai_cost_daily"`
	PricingTable     string `json:"pricing_table,omitempty" jsonschema:"description=Table of the organisation's own prices; default openai_model_pricing. Its prices win over the shipped ones, model by model and category by category"`
	PricingSource    string `json:"pricing_source,omitempty" jsonschema:"description=Other spelling of pricing_table"`
	Date             string `json:"date,omitempty" jsonschema:"description=Usage day; the run's interval decides"`
	StartDate        string `json:"start_date,omitempty" jsonschema:"description=First usage day; the run's interval decides"`
	EndDate          string `json:"end_date,omitempty" jsonschema:"description=Last usage day; the run's interval decides"`
}

// Validate implements registry.Validator.
func (c OpenAICostConfig) Validate() error {
	if c.PricingTable != "" && c.PricingSource != "" && c.PricingTable != c.PricingSource {
		return &registry.FieldError{Path: "pricing_source", Message: fmt.Sprintf("is another spelling of pricing_table, which says %q: keep one", c.PricingTable)}
	}
	if table := c.ownTable(); !tableName.MatchString(table) {
		return &registry.FieldError{Path: "pricing_table", Message: fmt.Sprintf("%q is not the name of a table of the organisation", table)}
	}
	return nil
}

// ownTable is the table of the organisation's prices.
func (c OpenAICostConfig) ownTable() string {
	return cmp.Or(c.PricingTable, c.PricingSource, openAITable)
}

func buildOpenAICost(s beam.Scope, in beam.PCollection, step registry.Step[OpenAICostConfig]) (beam.PCollection, error) {
	fn := &openAICostFn{
		Step: step.ID, Org: step.Org, Now: step.Now, PriceTable: step.Config.ownTable(),
		Input: bare(step.Input), Output: bare(step.Schema),
		InputFingerprint: step.Input.Fingerprint(), OutputFingerprint: step.Schema.Fingerprint(),
	}
	if _, err := fn.layout(); err != nil {
		return beam.PCollection{}, fmt.Errorf("step %s: %w", step.ID, err)
	}
	return beam.ParDo(s.Scope("Cost"), fn, in), nil
}

// openAICostFn prices pages. Its exported fields travel to the workers.
type openAICostFn struct {
	Step, Org, PriceTable               string
	Now                                 int64
	Input, Output                       row.Schema
	InputFingerprint, OutputFingerprint string

	pricer                 *openAIPricer
	rows, unpriced, reject beam.Counter
}

func (f *openAICostFn) layout() (*openAILayout, error) {
	in, err := resolveInput(f.Input, openAIInput[:])
	if err != nil {
		return nil, err
	}
	for _, c := range []int{inUsageDate, inModel} {
		if in[c] < 0 {
			return nil, fmt.Errorf("the input has no column %s", openAIInput[c].name)
		}
	}
	if in[inInput] < 0 && in[inContext] < 0 {
		return nil, errors.New("the input has neither a column input_tokens nor context_tokens")
	}
	out, err := resolveOutput(f.Output, f.Input, openAIMade[:])
	if err != nil {
		return nil, err
	}
	return &openAILayout{in: in, out: out, input: f.Input, output: f.Output}, nil
}

// Setup checks that the schemas are those that the step was built for, resolves the
// columns and reads the price tables.
func (f *openAICostFn) Setup(ctx context.Context) error {
	if f.Input.Fingerprint() != f.InputFingerprint || f.Output.Fingerprint() != f.OutputFingerprint {
		return fmt.Errorf("step %s: a schema changed on its way to the worker", f.Step)
	}
	layout, err := f.layout()
	if err != nil {
		return fmt.Errorf("step %s: %w", f.Step, err)
	}
	prices, err := loadPrices(ctx, f.Org, f.PriceTable)
	if err != nil {
		return fmt.Errorf("step %s: %w", f.Step, err)
	}
	f.pricer = newOpenAIPricer(layout, prices, f.PriceTable, f.Org, f.Now)
	f.rows = beam.NewCounter(f.Step, "priced_rows")
	f.unpriced = beam.NewCounter(f.Step, "unpriced")
	f.reject = beam.NewCounter(f.Step, "refused_rows")
	return nil
}

// ProcessElement returns the page with cost rows instead of usage rows; the position
// and the rejects of earlier steps stay. It fails only when a row is not of the schema.
func (f *openAICostFn) ProcessElement(ctx context.Context, page row.Page) (row.Page, error) {
	rows := make([]row.Row, 0, len(page.Rows))
	rejects := slices.Clip(page.Rejects)
	var unpriced int64
	for i, r := range page.Rows {
		if len(r.Cells) != len(f.Input) {
			return row.Page{}, fmt.Errorf("step %s: row %d has %d cells, its schema %d columns", f.Step, i, len(r.Cells), len(f.Input))
		}
		out, priced, err := f.pricer.row(r)
		if err != nil {
			rejects = append(rejects, f.rejected(r, i, err))
			continue
		}
		if !priced {
			unpriced++
		}
		rows = append(rows, out)
	}
	f.rows.Inc(ctx, int64(len(rows)))
	f.unpriced.Inc(ctx, unpriced)
	f.reject.Inc(ctx, int64(len(rejects)-len(page.Rejects)))
	page.Rows, page.Rejects = rows, rejects
	return page, nil
}

func (f *openAICostFn) rejected(r row.Row, index int, err error) row.Reject {
	reject := row.Reject{Code: codeInvalid, Step: f.Step, Reason: err.Error(), Index: int64(index)}
	var bad *rowError
	if errors.As(err, &bad) {
		reject.Code = bad.code
	}
	if p := f.pricer.layout.in[inRaw]; p >= 0 {
		reject.Payload, _ = r.Cells[p].AsText()
	}
	if reject.Payload == "" {
		reject.Payload = string(f.Input.AppendJSON(nil, r))
	}
	return reject
}
