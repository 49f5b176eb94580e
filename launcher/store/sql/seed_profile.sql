INSERT INTO `{{.Dataset}}.org_profiles`
  (org_slug, company_name, admin_email, org_dataset_id, status, subscription_plan, created_at)
SELECT org, @company, @email, @dataset, 'ACTIVE', 'SCALE', @now
FROM UNNEST([@org]) AS org
WHERE NOT EXISTS (SELECT 1 FROM `{{.Dataset}}.org_profiles` AS p WHERE p.org_slug = org)
