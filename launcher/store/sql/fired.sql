BEGIN TRANSACTION;
UPDATE `{{.Dataset}}.org_pipeline_configs` AS c
SET next_run_time = n.next_run_time, last_run_time = COALESCE(n.last_run_time, c.last_run_time),
  last_run_status = COALESCE(NULLIF(n.last_run_status, ''), c.last_run_status)
FROM UNNEST(@next) AS n
WHERE c.config_id = n.config_id;
DELETE FROM `{{.Dataset}}.org_scheduled_pipeline_runs`
WHERE scheduled_time >= @since AND run_id IN UNNEST(@ids);
INSERT INTO `{{.Dataset}}.org_scheduled_pipeline_runs`
  (run_id, config_id, org_slug, pipeline_id, state, scheduled_time, priority, parameters, pipeline_logging_id, retry_count,
   max_retries, completed_at, failed_at, error_message, created_at)
SELECT run_id, config_id, org_slug, pipeline_id, state, scheduled_time, priority, PARSE_JSON(parameters), pipeline_logging_id,
  retry_count, max_retries, completed_at, failed_at, error_message, created_at
FROM UNNEST(@rows);
COMMIT TRANSACTION;
