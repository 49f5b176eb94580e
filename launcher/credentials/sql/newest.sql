SELECT credential_id, provider, credential_type, encrypted_credential
FROM org_integration_credentials
WHERE org_slug = @org
  AND provider IN UNNEST(@providers)
  AND validation_status IN UNNEST(@statuses)
  AND is_active
ORDER BY created_at DESC, credential_id DESC
LIMIT 1
