package configs

import (
	"maps"
	"slices"
)

// kindAliases are the accepted spellings of processors beside the canonical ones.
var kindAliases = map[string]string{
	"api_extractor":             "generic.api_extractor",
	"bq_transformer":            "generic.local_bq_transformer",
	"local_bq_transformer":      "generic.local_bq_transformer",
	"gcp.external_bq_extractor": "gcp.bq_etl",
	"gcp.gcp_api_extractor":     "gcp.api_extractor",
	"data_quality":              "gcp.data_quality",
}

// modeAliases are the accepted spellings of write modes beside the canonical ones.
var modeAliases = map[string]string{
	"truncate": "overwrite", "write_truncate": "overwrite", "write_append": "append",
	"append": "append", "overwrite": "overwrite", "merge": "merge",
	"insert_new": "insert_new", "replace_partition": "replace_partition",
}

// Spelling is an accepted spelling of a key or value and its canonical form.
type Spelling struct{ Canonical, Spelling string }

// keySpellings are what the normaliser renames and moves, for readers.
var keySpellings = []Spelling{
	{"schedule.cron", "schedule: \"0 4 * * *\""},
	{"step_id", "step"},
	{"step_id", "id"},
	{"step_id", "name, when there is no other"},
	{"ps_type", "processor"},
	{"ps_type", "type"},
	{"config.sql", "transformation.sql"},
	{"config.sql", "config.sql_template"},
	{"config.source_table", "source.table"},
	{"config.pricing_table", "config.pricing_source"},
	{"variables.NAME", "config.NAME, of a SQL step whose template names it"},
	{"config.expectations.type", "config.expectations.expectation_type"},
	{"destination", "config.destination"},
	{"destination.table", "destination: name"},
	{"destination.table", "config.destination_table"},
	{"destination.write_mode", "destination.mode"},
	{"destination.time_partitioning.field", "destination.partition_field"},
	{"destination.time_partitioning", "destination.table_config.time_partitioning"},
	{"destination.clustering_fields", "destination.table_config.clustering_fields"},
	{"destination.schema_ref", "destination.schema_template"},
	{"destination.schema_ref", "destination.schema_file"},
}

// Spellings lists the accepted spellings beside the canonical ones: keys, processors,
// write modes.
func Spellings() []Spelling {
	out := slices.Clone(keySpellings)
	for _, aliases := range []map[string]string{kindAliases, modeAliases} {
		for _, alias := range slices.Sorted(maps.Keys(aliases)) {
			if aliases[alias] != alias {
				out = append(out, Spelling{Canonical: aliases[alias], Spelling: alias})
			}
		}
	}
	return out
}
