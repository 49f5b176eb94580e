BEGIN TRANSACTION;
DELETE FROM `{{.Dataset}}.org_pipeline_configs` WHERE config_id IN UNNEST(@ids);
INSERT INTO `{{.Dataset}}.org_pipeline_configs`
  (config_id, org_slug, provider, domain, pipeline_template, schedule_cron, timezone, is_active, next_run_time, last_run_time,
   last_run_status, parameters, priority, created_at, updated_at)
SELECT config_id, org_slug, provider, domain, pipeline_template, schedule_cron, timezone, is_active, next_run_time, last_run_time,
  NULLIF(last_run_status, ''), PARSE_JSON(parameters), priority, created_at, updated_at
FROM UNNEST(@rows);
COMMIT TRANSACTION;
