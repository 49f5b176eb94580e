SELECT event_id, run_id, org_slug, attempt, epoch, seq, kind,
  COALESCE(step, '') AS step, COALESCE(state, '') AS state, COALESCE(TO_JSON_STRING(payload), '{}') AS payload, created_at
FROM `{{.Dataset}}.org_meta_run_events`
WHERE org_slug = @org AND run_id = @run_id
