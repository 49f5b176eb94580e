SELECT COALESCE(TO_JSON_STRING(payload), '{}') AS payload
FROM `{{.Dataset}}.org_meta_run_events`
WHERE org_slug = @scope AND run_id = @run_id AND kind = @kind
ORDER BY seq DESC
LIMIT 1
