SELECT {{template "columns"}}
FROM `{{.Dataset}}.org_meta_run_events` AS e
WHERE e.run_id IN UNNEST(@ids) AND (@org = '' OR e.org_slug = @org) AND e.kind IN ('run', 'step', 'settled', 'cancel', 'wait')
{{template "latest"}}
ORDER BY e.org_slug, e.run_id
