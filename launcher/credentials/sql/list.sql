SELECT
  credential_id, provider, credential_name, credential_type, validation_status,
  last_validated_at, last_error, metadata, created_at
FROM org_integration_credentials
WHERE org_slug = @org AND is_active
ORDER BY created_at DESC, credential_id DESC
