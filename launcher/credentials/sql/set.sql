BEGIN TRANSACTION;

UPDATE org_integration_credentials
SET is_active = FALSE, updated_at = @now, updated_by_user_id = @user_id
WHERE org_slug = @org AND provider IN UNNEST(@providers) AND is_active AND credential_id != @credential_id;

INSERT INTO org_integration_credentials
  (credential_id, org_slug, provider, credential_name, encrypted_credential, credential_type, validation_status,
   last_validated_at, last_error, metadata, is_active, created_by_user_id, created_at, updated_at)
SELECT
  @credential_id, @org, @provider, @credential_name, @encrypted_credential, @credential_type, @validation_status,
  @last_validated_at, @last_error, @metadata, TRUE, @user_id, @now, @now
FROM UNNEST([@credential_id]) AS id
WHERE NOT EXISTS (
  SELECT 1 FROM org_integration_credentials AS c WHERE c.org_slug = @org AND c.credential_id = id
);

COMMIT TRANSACTION;
