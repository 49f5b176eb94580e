package source

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

const openAI = "OPENAI"

func init() {
	registry.RegisterSource(registry.Spec{
		Name:     "openai.usage",
		Summary:  "Fetches an organisation's daily usage from OpenAI's usage API, one row per bucket and group.",
		Examples: examples,
		Provider: openAI,
		Output: registry.Output{
			SchemaRef: "openai/cost/openai_usage_daily_raw", Table: "openai_usage_daily_raw",
			WriteMode: "replace_partition", ByDay: true,
		},
	}, openAIUsageDefaults, buildOpenAIUsage)
}

// OpenAIUsageConfig is the config of openai.usage.
type OpenAIUsageConfig struct {
	Endpoints        []string  `json:"endpoints,omitempty" jsonschema:"enum=completions,enum=embeddings,enum=moderations,description=Kinds of usage; default completions and embeddings"`
	GroupBy          Values    `json:"group_by,omitempty" jsonschema:"description=Dimensions of a row; default project_id user_id api_key_id model batch service_tier as far as the endpoint has them"`
	Limit            int       `json:"limit,omitempty" jsonschema:"minimum=1,maximum=31,description=Buckets per page; default 31"`
	Timeout          int       `json:"timeout,omitempty" jsonschema:"minimum=1,description=Seconds that one request may take; default 30"`
	RateLimit        RateLimit `json:"rate_limit,omitempty" jsonschema:"description=Pace and retries"`
	StartDate        string    `json:"start_date,omitempty" jsonschema:"description=First day of the run; the run's interval decides"`
	EndDate          string    `json:"end_date,omitempty" jsonschema:"description=Last day of the run; the run's interval decides"`
	DestinationTable string    `json:"destination_table,omitempty" jsonschema:"description=Table of the rows; default openai_usage_daily_raw"`
	StoreToBQ        *bool     `json:"store_to_bq,omitempty" jsonschema:"description=Accepted; rows are always stored"`
	BatchSize        int       `json:"batch_size,omitempty" jsonschema:"minimum=1,description=Accepted; batches are sized by the engine"`
}

const openAIMaxBuckets = 31

var openAIUsageDefaults = OpenAIUsageConfig{Limit: openAIMaxBuckets, Timeout: 30, RateLimit: defaultRate}

// openAIGroups are the dimensions that each endpoint can group by. The first endpoints
// are the default.
var (
	openAIDefaultEndpoints = []string{"completions", "embeddings"}
	openAIGroups           = map[string][]string{
		"completions": {"project_id", "user_id", "api_key_id", "model", "batch", "service_tier"},
		"embeddings":  {"project_id", "user_id", "api_key_id", "model"},
		"moderations": {"project_id", "user_id", "api_key_id", "model"},
	}
)

// Validate implements registry.Validator.
func (c OpenAIUsageConfig) Validate() error {
	if c.StoreToBQ != nil && !*c.StoreToBQ {
		return &registry.FieldError{Path: "store_to_bq", Message: "rows are always stored: leave the step out, or look at its rows with convergence preview"}
	}
	for i, name := range c.Endpoints {
		if _, known := openAIGroups[name]; !known {
			return &registry.FieldError{Path: "endpoints." + strconv.Itoa(i), Message: fmt.Sprintf("%q is not supported: use %s", name, strings.Join(sortedKeys(openAIGroups), ", "))}
		}
		if slices.Contains(c.Endpoints[:i], name) {
			return &registry.FieldError{Path: "endpoints." + strconv.Itoa(i), Message: fmt.Sprintf("%q stands twice", name)}
		}
	}
	for _, group := range c.groups() {
		if !slices.Contains(openAIGroups["completions"], group) {
			return &registry.FieldError{Path: "group_by", Message: fmt.Sprintf("%q is not a dimension of the usage API: use %s", group, strings.Join(openAIGroups["completions"], ", "))}
		}
	}
	if c.Limit < 1 || c.Limit > openAIMaxBuckets {
		return &registry.FieldError{Path: "limit", Message: fmt.Sprintf("must be 1 to %d, as the usage API allows for daily buckets", openAIMaxBuckets)}
	}
	return nil
}

// groups are the dimensions asked for; a comma list is split. Absent means all.
func (c OpenAIUsageConfig) groups() []string {
	if c.GroupBy == nil {
		return openAIGroups["completions"]
	}
	var groups []string
	for _, value := range c.GroupBy {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				groups = append(groups, part)
			}
		}
	}
	return groups
}

func (c OpenAIUsageConfig) endpoints() []string {
	if len(c.Endpoints) == 0 {
		return openAIDefaultEndpoints
	}
	return c.Endpoints
}

func buildOpenAIUsage(s beam.Scope, _ beam.PCollection, step registry.Step[OpenAIUsageConfig]) (beam.PCollection, error) {
	x := extraction{
		stepID: step.ID, org: step.Org, schema: step.Schema, rate: step.Config.RateLimit, timeoutSecs: step.Config.Timeout,
		shards: step.Shards, starts: step.Starts, auth: (&Auth{Type: authBearer, Provider: openAI}).withDefaults(),
		layout: layout{
			Records: "data.results", Columns: openAIUsageColumns(step.Schema), Constants: map[string]map[string]Scalar{},
		},
	}
	for _, unit := range step.Units {
		for _, endpoint := range unit.Config.endpoints() {
			p := unit.Config.partition(unit.Unit, endpoint)
			x.partitions = append(x.partitions, p)
			x.layout.Constants[constantsKey(unit.ID, p.Name)] = map[string]Scalar{
				columnOrg: text(step.Org), "provider": text(openAI), "usage_type": text(endpoint),
			}
		}
	}
	return x.build(s)
}

// partition asks one endpoint for the days of one unit; the end is exclusive on both
// sides.
func (c OpenAIUsageConfig) partition(unit row.Unit, endpoint string) partition {
	var groups Values
	for _, group := range c.groups() {
		if slices.Contains(openAIGroups[endpoint], group) {
			groups = append(groups, group)
		}
	}
	params := map[string]Values{
		"start_time": {unixSeconds(unit.Start)}, "end_time": {unixSeconds(unit.End)}, "bucket_width": {"1d"},
	}
	if len(groups) > 0 {
		params["group_by"] = groups
	}
	return partition{
		Unit: unit.ID, Name: "usage/" + endpoint,
		Request: request{Provider: openAI, Target: "/v1/organization/usage/" + endpoint, Method: http.MethodGet, Params: params},
		Paging: paging{
			Cursor: true, Param: "page", Position: "next_page", More: "has_more", Items: "data", Limit: c.Limit, LimitParam: "limit",
		},
	}
}

func unixSeconds(day civil.Date) string {
	return strconv.FormatInt(day.In(time.UTC).Unix(), 10)
}

// openAIUsageColumns maps the columns of the usage table to OpenAI's names. The day of
// a row is its bucket's, not the one asked for: a bucket outside the slice must not
// count for it.
func openAIUsageColumns(schema row.Schema) []column {
	special := map[string]column{
		columnOrg: {From: fromConstant}, "provider": {From: fromConstant}, "usage_type": {From: fromConstant},
		columnDay:          {From: fromParent, Member: "start_time"},
		"bucket_start":     {From: fromParent, Member: "start_time"},
		"bucket_end":       {From: fromParent, Member: "end_time"},
		"context_tokens":   {From: fromRecord, Member: "input_tokens"},
		"generated_tokens": {From: fromRecord, Member: "output_tokens"},
		"requests":         {From: fromRecord, Member: "num_model_requests"},
		columnRaw:          {From: fromText}, columnFetched: {From: fromFetched},
	}
	columns := make([]column, len(schema))
	for i, field := range schema {
		known, ok := special[field.Name]
		if !ok {
			known = column{From: fromRecord, Member: field.Name}
		}
		columns[i] = known
	}
	return columns
}
