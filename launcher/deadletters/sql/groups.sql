SELECT COALESCE(pipeline_id, '') AS pipeline, COALESCE(step_id, '') AS step, source_table, COALESCE(run_id, '') AS run,
  error_type AS code, COUNT(*) AS letters, MIN(retry_count) AS retries, MAX(failed_at) AS failed_at, ANY_VALUE(error_message) AS message
FROM `{{.Dataset}}.pipeline_dlq`
WHERE org_slug = @org AND (@pipeline = '' OR pipeline_id = @pipeline) AND (@run = '' OR run_id = @run) AND (@all OR retry_count = 0)
GROUP BY pipeline, step, source_table, run, code
ORDER BY failed_at DESC, run, step, code
LIMIT @most
