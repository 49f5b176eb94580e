SELECT config_id, org_slug, provider, domain, pipeline_template, schedule_cron, timezone, is_active, next_run_time, last_run_time,
  COALESCE(last_run_status, '') AS last_run_status, COALESCE(TO_JSON_STRING(parameters), '{}') AS parameters, priority, created_at, updated_at
FROM `{{.Dataset}}.org_pipeline_configs`
WHERE org_slug = @org
QUALIFY ROW_NUMBER() OVER (PARTITION BY config_id ORDER BY COALESCE(updated_at, created_at) DESC) = 1
ORDER BY created_at DESC, config_id
