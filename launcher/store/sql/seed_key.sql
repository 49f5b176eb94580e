INSERT INTO `{{.Dataset}}.org_api_keys`
  (org_api_key_id, org_slug, org_api_key_hash, scopes, is_active, created_at)
SELECT @key_id, org, @hash, ['pipelines:*', 'integrations:*'], TRUE, @now
FROM UNNEST([@org]) AS org
WHERE NOT EXISTS (SELECT 1 FROM `{{.Dataset}}.org_api_keys` AS k WHERE k.org_slug = org AND k.org_api_key_hash = @hash)
