SELECT {{template "columns"}}
FROM `{{.Dataset}}.org_meta_run_events` AS e
JOIN (
  SELECT org_slug, run_id
  FROM (
    SELECT org_slug, run_id, state, created_at
    FROM `{{.Dataset}}.org_meta_run_events`
    WHERE kind = 'run' AND created_at >= @since AND (@all OR org_slug IN UNNEST(@orgs))
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY org_slug, run_id
      ORDER BY attempt DESC, epoch DESC,
        CASE state WHEN 'PENDING' THEN 1 WHEN 'RUNNING' THEN 2 WHEN 'ATTEMPT_FAILED' THEN 3 WHEN 'CANCELLED' THEN 4 WHEN 'TIMEOUT' THEN 5 WHEN 'FAILED' THEN 6 ELSE 7 END DESC
    ) = 1
  )
  WHERE state IN ('PENDING', 'RUNNING', 'ATTEMPT_FAILED') OR created_at >= @ended_since
) AS r ON r.org_slug = e.org_slug AND r.run_id = e.run_id
WHERE e.created_at >= @since AND e.kind NOT IN ('claim', 'release', 'beat')
{{template "latest"}}
ORDER BY e.org_slug, e.run_id
