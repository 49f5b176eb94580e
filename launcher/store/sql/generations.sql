SELECT step AS unit, MAX(seq) AS generation
FROM `{{.Dataset}}.org_meta_run_events`
WHERE org_slug = @org AND kind = 'generation' AND step IN UNNEST(@units)
GROUP BY step
