SELECT {{template "columns"}}
FROM `{{.Dataset}}.org_meta_run_events` AS e
WHERE e.org_slug = @org AND e.run_id = @run_id
{{template "latest"}}
