SELECT COALESCE(pipeline_id, '') AS pipeline, COALESCE(step_id, '') AS step, source_table, COALESCE(run_id, '') AS run,
  error_type AS code, error_message AS message, retry_count AS retries, failed_at, raw_data AS record
FROM `{{.Dataset}}.pipeline_dlq`
WHERE org_slug = @org AND (@pipeline = '' OR pipeline_id = @pipeline) AND (@run = '' OR run_id = @run) AND (@all OR retry_count = 0)
ORDER BY failed_at DESC, run, step, record
LIMIT @most
