{{- define "columns"}}e.event_id, e.run_id, e.org_slug, e.attempt, e.epoch, e.seq, e.kind,
  COALESCE(e.step, '') AS step, COALESCE(e.state, '') AS state, COALESCE(TO_JSON_STRING(e.payload), '{}') AS payload, e.created_at{{end -}}
{{- define "latest"}}QUALIFY e.kind <> 'progress' OR ROW_NUMBER() OVER (PARTITION BY e.run_id, e.kind, e.step ORDER BY e.attempt DESC, e.epoch DESC, e.seq DESC) = 1{{end -}}
