SELECT step AS unit, seq AS generation, run_id AS run, created_at AS opened
FROM `{{.Central}}.org_meta_run_events`
WHERE org_slug = @org AND kind = 'generation' AND step IN UNNEST(@units)
QUALIFY ROW_NUMBER() OVER (PARTITION BY step ORDER BY seq DESC, created_at DESC, run_id) = 1
