BEGIN TRANSACTION;
DELETE FROM `{{.Dataset}}.org_pipeline_execution_queue`
WHERE scheduled_time >= @since AND run_id IN UNNEST(@ids);
INSERT INTO `{{.Dataset}}.org_pipeline_execution_queue`
  (run_id, org_slug, pipeline_id, state, scheduled_time, priority, added_at, processing_started_at)
SELECT run_id, org_slug, pipeline_id, state, scheduled_time, priority, added_at, processing_started_at
FROM UNNEST(@rows)
WHERE state != '';
UPDATE `{{.Dataset}}.org_scheduled_pipeline_runs` AS r
SET state = s.run_state, retry_count = s.retry_count, completed_at = s.completed_at, failed_at = s.failed_at, error_message = s.error_message
FROM UNNEST(@rows) AS s
WHERE r.scheduled_time >= @since_slot AND r.pipeline_logging_id = s.run_id AND r.org_slug = s.org_slug;
UPDATE `{{.Dataset}}.org_pipeline_configs` AS c
SET last_run_status = s.last_run_status
FROM (
  SELECT r.config_id, ANY_VALUE(s.last_run_status HAVING MAX r.scheduled_time) AS last_run_status, MAX(r.scheduled_time) AS scheduled_time
  FROM `{{.Dataset}}.org_scheduled_pipeline_runs` AS r
  JOIN UNNEST(@rows) AS s ON s.run_id = r.pipeline_logging_id AND s.org_slug = r.org_slug
  WHERE r.scheduled_time >= @since_slot
  GROUP BY r.config_id
) AS s
WHERE c.config_id = s.config_id AND (c.last_run_time IS NULL OR c.last_run_time <= s.scheduled_time);
COMMIT TRANSACTION;
