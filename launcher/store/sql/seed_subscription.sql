INSERT INTO `{{.Dataset}}.org_subscriptions`
  (subscription_id, org_slug, plan_name, status, daily_limit, monthly_limit, concurrent_limit, seat_limit, providers_limit,
   created_at)
SELECT @subscription_id, org, 'SCALE', 'TRIAL', 100, 3000, 20, 11, 10, @now
FROM UNNEST([@org]) AS org
WHERE NOT EXISTS (SELECT 1 FROM `{{.Dataset}}.org_subscriptions` AS s WHERE s.org_slug = org)
