package source

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	registry.RegisterSource(registry.Spec{
		Name:     "generic.api_extractor",
		Aliases:  []string{"api_extractor"},
		Summary:  "Fetches records from any REST API, page by page.",
		Examples: examples,
		Output:   registry.Output{WriteMode: "append", Envelope: true},
	}, apiDefaults, buildAPI)
}

func buildAPI(s beam.Scope, _ beam.PCollection, step registry.Step[APIConfig]) (beam.PCollection, error) {
	config := step.Config
	x := extraction{
		stepID: step.ID, org: step.Org, schema: step.Schema, auth: config.Auth.withDefaults(), rate: config.RateLimit,
		timeoutSecs: config.Timeout, shards: step.Shards, starts: step.Starts,
		layout: layout{
			Records: config.DataPath, Columns: apiColumns(step.Schema, config.Transform),
			MissingEmpty: config.MissingData == "empty", Constants: map[string]map[string]Scalar{},
		},
	}
	for _, unit := range step.Units {
		x.partitions = append(x.partitions, partition{
			Unit: unit.ID, Name: "records", Request: unit.Config.request(), Paging: unit.Config.Pagination.paging(unit.Config.DataPath),
		})
		constants := map[string]Scalar{columnOrg: text(step.Org), columnDay: text(unit.Start.String())}
		for name, value := range unit.Config.Transform.AddFields {
			constants[name] = value
		}
		x.layout.Constants[constantsKey(unit.ID, "records")] = constants
	}
	return x.build(s)
}

func (c APIConfig) request() request {
	return request{
		Target: c.URL, Method: orElse(c.Method, apiDefaults.Method), Params: c.Params, Headers: c.Headers,
		Body: c.Body,
	}
}

// apiColumns finds each column by name: added fields and the envelope first, anything
// else is a member of the record. In a flattened row the record's own usage_date wins
// over the day fetched.
func apiColumns(schema row.Schema, transform Transform) []column {
	columns := make([]column, len(schema))
	for i, field := range schema {
		_, constant := transform.AddFields[field.Name]
		switch {
		case constant, field.Name == columnOrg, field.Name == columnDay && !transform.Flatten:
			columns[i] = column{From: fromConstant}
		case field.Name == columnDay:
			columns[i] = column{From: fromRecord, Member: columnDay, Otherwise: true}
		case field.Name == columnRaw:
			columns[i] = column{From: fromText}
		case field.Name == columnFetched:
			columns[i] = column{From: fromFetched}
		default:
			columns[i] = column{From: fromRecord, Member: field.Name}
		}
	}
	return columns
}
