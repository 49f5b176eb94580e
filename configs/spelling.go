package configs

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
