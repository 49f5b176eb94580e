package configs

import "slices"

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

// languageKinds are the processors that the language knows. One that is not built is
// refused by name, so that its author is not told that the name is wrong.
var languageKinds = []string{
	"generic.api_extractor", "generic.file_extractor", "generic.local_bq_transformer", "generic.reconcile",
	"gcp.api_extractor", "gcp.bq_etl", "gcp.data_quality", "gcp.validation",
	"openai.usage", "openai.costs", "openai.cost", "openai.dimensions", "openai.subscriptions", "openai.seed_csv", "openai.validation",
	"anthropic.usage", "anthropic.costs", "anthropic.cost", "anthropic.dimensions", "anthropic.subscriptions", "anthropic.seed_csv", "anthropic.validation",
	"gemini.seed_csv",
	"integrations.kms_decrypt", "integrations.kms_store", "integrations.validate_openai", "integrations.validate_claude", "integrations.validate_gcp",
	"notify_systems.email_notification", "notify_systems.slack_notification",
	"transform.select", "transform.rename", "transform.cast", "transform.filter", "transform.derive", "transform.explode",
	"transform.flatten", "transform.dedupe", "transform.aggregate", "transform.join", "transform.window",
}

func isLanguageKind(name string) bool { return slices.Contains(languageKinds, name) }
