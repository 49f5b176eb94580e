UPDATE org_integration_credentials
SET encrypted_credential = @encrypted_credential, updated_at = @now
WHERE org_slug = @org AND credential_id = @credential_id AND encrypted_credential = @previous
