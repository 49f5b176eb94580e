SELECT {{template "columns"}}
FROM `{{.Dataset}}.org_meta_run_events` AS e
JOIN (
  SELECT run_id, MIN(created_at) AS started
  FROM `{{.Dataset}}.org_meta_run_events`
  WHERE org_slug = @org AND created_at >= @since
  GROUP BY run_id
  HAVING COUNTIF(kind = 'run' AND state = 'PENDING') > 0
) AS r ON r.run_id = e.run_id
WHERE e.org_slug = @org AND e.created_at >= @since AND e.kind NOT IN ('claim', 'release', 'beat')
{{template "latest"}}
ORDER BY r.started DESC, e.run_id
