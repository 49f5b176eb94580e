SELECT {{template "columns"}}
FROM `{{.Dataset}}.org_meta_run_events` AS e
WHERE e.org_slug = @org AND e.kind IN ('claim', 'release') AND e.step IN UNNEST(@names)
QUALIFY e.seq = MAX(e.seq) OVER (PARTITION BY e.step)
