SELECT c.config_id, c.org_slug, c.provider, c.domain, c.pipeline_template, c.schedule_cron, c.timezone, c.is_active, c.next_run_time,
  c.last_run_time, COALESCE(c.last_run_status, '') AS last_run_status, COALESCE(TO_JSON_STRING(c.parameters), '{}') AS parameters,
  c.priority, c.created_at, c.updated_at
FROM `{{.Dataset}}.org_pipeline_configs` AS c
JOIN `{{.Dataset}}.org_profiles` AS p ON p.org_slug = c.org_slug
JOIN (
  SELECT org_slug, status, trial_end_date, subscription_end_date
  FROM `{{.Dataset}}.org_subscriptions`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY org_slug ORDER BY created_at DESC) = 1
) AS s ON s.org_slug = c.org_slug
WHERE (@org = '' OR c.org_slug = @org)
  AND c.is_active AND (c.next_run_time IS NULL OR c.next_run_time <= @now)
  AND p.status = 'ACTIVE' AND s.status IN ('ACTIVE', 'TRIAL')
  AND (s.subscription_end_date IS NULL OR s.subscription_end_date >= DATE(@now))
  AND (s.status != 'TRIAL' OR s.trial_end_date IS NULL OR s.trial_end_date >= DATE(@now))
QUALIFY ROW_NUMBER() OVER (PARTITION BY c.config_id ORDER BY COALESCE(c.updated_at, c.created_at) DESC) = 1
ORDER BY c.next_run_time, c.priority, c.config_id
LIMIT @limit
