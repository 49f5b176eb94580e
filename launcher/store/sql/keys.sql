SELECT k.org_api_key_hash, k.org_api_key_id, k.org_slug, k.scopes, k.expires_at,
  p.status AS org_status, p.admin_email,
  s.subscription_id, s.plan_name, s.status AS subscription_status, s.trial_end_date, s.subscription_end_date,
  s.daily_limit, s.monthly_limit, s.concurrent_limit
FROM `{{.Dataset}}.org_api_keys` AS k
JOIN `{{.Dataset}}.org_profiles` AS p ON p.org_slug = k.org_slug
LEFT JOIN (
  SELECT *
  FROM `{{.Dataset}}.org_subscriptions`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY org_slug ORDER BY created_at DESC) = 1
) AS s ON s.org_slug = k.org_slug
WHERE k.is_active
