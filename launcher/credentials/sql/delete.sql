UPDATE org_integration_credentials
SET is_active = FALSE, updated_at = @now
WHERE org_slug = @org AND provider IN UNNEST(@providers) AND is_active
