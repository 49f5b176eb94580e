SELECT p.org_slug, p.status AS org_status, p.admin_email,
  s.subscription_id, s.plan_name, s.status AS subscription_status, s.trial_end_date, s.subscription_end_date,
  s.daily_limit, s.monthly_limit, s.concurrent_limit
FROM `{{.Dataset}}.org_profiles` AS p
LEFT JOIN (
  SELECT *
  FROM `{{.Dataset}}.org_subscriptions`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY org_slug ORDER BY created_at DESC) = 1
) AS s ON s.org_slug = p.org_slug
