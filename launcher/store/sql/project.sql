BEGIN TRANSACTION;
DELETE FROM `{{.Dataset}}.org_meta_pipeline_runs`
WHERE start_time >= @since AND pipeline_logging_id IN UNNEST(@ids);
INSERT INTO `{{.Dataset}}.org_meta_pipeline_runs`
  (pipeline_logging_id, org_slug, pipeline_id, status, trigger_type, trigger_by, user_id, org_api_key_id,
   start_time, end_time, duration_ms, run_date, parameters, run_metadata, error_message)
SELECT pipeline_logging_id, org_slug, pipeline_id, status, trigger_type, trigger_by, user_id, org_api_key_id,
  start_time, end_time, duration_ms, run_date, PARSE_JSON(parameters), PARSE_JSON(run_metadata), error_message
FROM UNNEST(@runs);
DELETE FROM `{{.Dataset}}.org_meta_step_logs`
WHERE start_time >= @since AND pipeline_logging_id IN UNNEST(@ids);
INSERT INTO `{{.Dataset}}.org_meta_step_logs`
  (step_logging_id, org_slug, pipeline_logging_id, step_name, step_type, step_index, status,
   start_time, end_time, duration_ms, rows_processed, error_message, metadata)
SELECT step_logging_id, org_slug, pipeline_logging_id, step_name, step_type, step_index, status,
  start_time, end_time, duration_ms, rows_processed, error_message, PARSE_JSON(metadata)
FROM UNNEST(@steps);
COMMIT TRANSACTION;
