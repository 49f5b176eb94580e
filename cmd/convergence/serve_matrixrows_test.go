package main

// matrixRow is how a route is called by its own organisation, and what it then answers. {run}
// in a path is a run of acme's.
type matrixRow struct {
	path   string
	body   string
	status int
	// other is the answer to globex's key where the path names no organisation; 0 means
	// that it is answered with globex's own data, or with nothing.
	other int
}

// matrix has a row for every route, by operation id. A route without one fails the test.
var matrix = map[string]matrixRow{
	"welcome": {path: "/", status: 200}, "health": {path: "/health", status: 200}, "health-live": {path: "/health/live", status: 200},
	"health-ready": {path: "/health/ready", status: 200}, "metrics": {path: "/metrics", status: 200},
	"run-pipeline":                {path: "/api/v1/pipelines/run/acme/openai/cost/usage_cost", body: `{"date":"2026-11-20"}`, status: 200},
	"run-pipeline-without-domain": {path: "/api/v1/pipelines/run/acme/openai/usage_cost", body: `{"date":"2026-11-20","dry_run":true}`, status: 200},
	"run-pipeline-by-id":          {path: "/api/v1/pipelines/run/acme-openai-cost-usage_cost", body: `{"dry_run":true}`, status: 200, other: 404},
	"list-run-steps":              {path: "/api/v1/pipelines/runs/{run}/steps?limit=1", status: 200, other: 404},
	"follow-run":                  {path: "/api/v1/pipelines/runs/{run}/events", status: 200, other: 404},
	"get-run-log":                 {path: "/api/v1/pipelines/runs/{run}/logs?tail=3", status: 200, other: 404},
	"cancel-run":                  {path: "/api/v1/pipelines/runs/{run}", status: 409, other: 404},
	"retry-run":                   {path: "/api/v1/pipelines/runs/{run}/retry", status: 409, other: 404},
	"list-queue":                  {path: "/api/v1/scheduler/queue?limit=5", status: 200},
	"get-scheduler-status":        {path: "/api/v1/scheduler/status", status: 200},
	"trigger-schedules":           {path: "/api/v1/scheduler/trigger?limit=5", status: 200},
	"process-queue":               {path: "/api/v1/scheduler/process-queue", status: 200},
	"process-queue-alias":         {path: "/api/v1/scheduler/queue/process", status: 200},
	"reset-daily-quotas":          {path: "/api/v1/scheduler/reset-daily-quotas", status: 200},
	"cleanup-orphaned-pipelines":  {path: "/api/v1/scheduler/cleanup-orphaned-pipelines?timeout_minutes=240", status: 200},
	"list-prices":                 {path: "/api/v1/integrations/acme/openai/pricing?limit=2", status: 200},
	"get-price":                   {path: "/api/v1/integrations/acme/openai/pricing/gpt-4o", status: 200},
	"create-price":                {path: "/api/v1/integrations/acme/openai/pricing", body: `{"model_id":"gpt-4o","input_price_per_1k":0.0025,"output_price_per_1k":0.01,"effective_date":"2026-01-01"}`, status: 409},
	"update-price":                {path: "/api/v1/integrations/acme/openai/pricing/gpt-4o", body: `{"input_price_per_1k":0.0021}`, status: 200},
	"upsert-prices":               {path: "/api/v1/integrations/acme/openai/pricing", body: `{"updates":[{"model_id":"gpt-4o","notes":"negotiated"},{"model_id":"ours","input_price_per_1k":0.000000001,"output_price_per_1k":1}]}`, status: 200},
	"delete-price":                {path: "/api/v1/integrations/acme/openai/pricing/nothing", status: 204},
	"reset-prices":                {path: "/api/v1/integrations/acme/openai/pricing/reset", status: 200},
	"list-plans":                  {path: "/api/v1/integrations/acme/openai/subscriptions?limit=2", status: 200},
	"get-plan":                    {path: "/api/v1/integrations/acme/openai/subscriptions/nothing", status: 404},
	"create-plan":                 {path: "/api/v1/integrations/acme/openai/subscriptions", body: `{"subscription_id":"s-1","plan_name":"team_of_ours","quantity":3,"unit_price_usd":25.5,"effective_date":"2026-01-01"}`, status: 201},
	"update-plan":                 {path: "/api/v1/integrations/acme/openai/subscriptions/nothing", body: `{"quantity":4}`, status: 404},
	"delete-plan":                 {path: "/api/v1/integrations/acme/openai/subscriptions/nothing", status: 204},
	"reset-plans":                 {path: "/api/v1/integrations/acme/openai/subscriptions/reset", status: 200},
	"list-costs":                  {path: "/api/v1/orgs/acme/costs?from=2026-11-19&to=2026-11-20&group_by=model&limit=3", status: 200},
	"list-schedules":              {path: "/api/v1/scheduler/org/acme/pipelines?is_active=true", status: 200},
	"put-schedule":                {path: "/api/v1/scheduler/org/acme/pipelines", body: `{"provider":"openai","domain":"cost","pipeline_template":"usage_cost","schedule_cron":"0 3 * * *","timezone":"Europe/Berlin"}`, status: 200},
	"delete-schedule":             {path: "/api/v1/scheduler/org/acme/pipelines/nothing", status: 404},
	"list-runs":                   {path: "/api/v1/pipelines/runs", status: 200},
	"get-run":                     {path: "/api/v1/pipelines/runs/{run}", status: 200, other: 404},
	"list-pipelines":              {path: "/api/v1/pipelines?limit=3", status: 200},
	"get-pipeline":                {path: "/api/v1/pipelines/openai/cost/usage_cost", status: 200},
	"get-pipeline-graph":          {path: "/api/v1/pipelines/openai/cost/usage_cost/graph?format=mermaid", status: 200},
	"validate-pipeline":           {path: "/api/v1/pipelines/validate", body: `{"document":"pipeline_id: x\nsteps: 3\n"}`, status: 200},
	"setup-integration":           {path: "/api/v1/integrations/acme/openai/setup", body: `{"credential":"` + secret + `-acme","credential_name":"the key"}`, status: 200},
	"validate-integration":        {path: "/api/v1/integrations/acme/openai/validate", status: 200},
	"list-integrations":           {path: "/api/v1/integrations/acme", status: 200},
	"get-integration":             {path: "/api/v1/integrations/acme/OPENAI", status: 200},
	"delete-integration":          {path: "/api/v1/integrations/acme/claude", status: 200},
}
