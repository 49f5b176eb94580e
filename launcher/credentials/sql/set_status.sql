UPDATE org_integration_credentials
SET validation_status = @validation_status, last_validated_at = @now, last_error = @last_error, updated_at = @now
WHERE org_slug = @org AND provider IN UNNEST(@providers) AND is_active
  AND (@credential_id = '' OR credential_id = @credential_id)
