SELECT
  (SELECT COUNT(DISTINCT config_id) FROM `{{.Dataset}}.org_pipeline_configs` WHERE is_active AND (@org = '' OR org_slug = @org)) AS active,
  (SELECT COUNT(DISTINCT config_id) FROM `{{.Dataset}}.org_pipeline_configs`
   WHERE is_active AND (@org = '' OR org_slug = @org) AND (next_run_time IS NULL OR next_run_time <= @now)) AS due,
  (SELECT COUNT(DISTINCT run_id) FROM `{{.Dataset}}.org_scheduled_pipeline_runs`
   WHERE (@org = '' OR org_slug = @org) AND scheduled_time >= @today AND state = 'COMPLETED') AS completed,
  (SELECT COUNT(DISTINCT run_id) FROM `{{.Dataset}}.org_scheduled_pipeline_runs`
   WHERE (@org = '' OR org_slug = @org) AND scheduled_time >= @today AND state = 'FAILED') AS failed,
  (SELECT COALESCE(AVG(duration_ms) / 1000, 0) FROM `{{.Dataset}}.org_meta_pipeline_runs`
   WHERE (@org = '' OR org_slug = @org) AND start_time >= TIMESTAMP_SUB(@now, INTERVAL 7 DAY) AND duration_ms IS NOT NULL) AS average
