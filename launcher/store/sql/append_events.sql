INSERT INTO `{{.Dataset}}.org_meta_run_events`
  (event_id, run_id, org_slug, attempt, epoch, seq, kind, step, state, payload, created_at)
SELECT event_id, run_id, org_slug, attempt, epoch, seq, kind, step, state, PARSE_JSON(payload), created_at
FROM UNNEST(@events)
