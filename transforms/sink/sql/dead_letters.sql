INSERT INTO {{.Table}} (org_slug, source_table, error_message, error_type, raw_data, failed_at, pipeline_id, step_id, retry_count, run_id, step, code)
SELECT @org, @source_table, COALESCE(_reason, ''), COALESCE(_code, ''), COALESCE(_payload, ''), CURRENT_TIMESTAMP(), @pipeline, @step, 0, @run_id, _step, _code
FROM {{.Stage}}
WHERE _kind = 'reject' AND _chunk IN (SELECT id FROM UNNEST(@chunks) AS id)
