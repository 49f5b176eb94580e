SELECT run_id AS owner, MAX(seq) AS counter
FROM `{{.Dataset}}.org_meta_run_events`
WHERE org_slug = '' AND kind = 'beat' AND run_id IN UNNEST(@owners) AND created_at >= @since
GROUP BY run_id
