INSERT INTO `{{.Dataset}}.org_audit_logs`
  (audit_id, org_slug, user_id, api_key_id, action, resource_type, resource_id, details, ip_address, user_agent, request_id, status,
   error_message, created_at)
SELECT audit_id, org_slug, user_id, api_key_id, action, resource_type, resource_id, PARSE_JSON(details), ip_address, user_agent, request_id,
  status, error_message, created_at
FROM UNNEST(@rows)
