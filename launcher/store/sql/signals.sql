SELECT {{template "columns"}}
FROM `{{.Dataset}}.org_meta_run_events` AS e
WHERE e.kind IN ('claim', 'cancel') AND e.created_at >= @since
