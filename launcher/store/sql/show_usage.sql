BEGIN TRANSACTION;
DELETE FROM `{{.Dataset}}.org_usage_quotas`
WHERE usage_date = @day AND org_slug IN UNNEST(@orgs);
INSERT INTO `{{.Dataset}}.org_usage_quotas`
  (usage_id, org_slug, usage_date, pipelines_run_today, pipelines_succeeded_today, pipelines_failed_today,
   pipelines_run_month, concurrent_pipelines_running, daily_limit, monthly_limit, concurrent_limit, max_concurrent_reached,
   last_updated, created_at)
SELECT usage_id, org_slug, @day, today, succeeded, failed, month, running, daily_limit, monthly_limit, concurrent_limit, peak, @now, @now
FROM UNNEST(@rows);
COMMIT TRANSACTION;
