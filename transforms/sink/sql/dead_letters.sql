INSERT INTO {{.Table}} (org_slug, source_table, error_message, error_type, raw_data, failed_at, pipeline_id, step_id, retry_count, run_id, step, code)
SELECT @org, @source_table, COALESCE(_reason, ''), COALESCE(_code, ''), COALESCE(_payload, ''), CURRENT_TIMESTAMP(), @pipeline, @step, 0, @run_id, _step, _code
FROM {{.Stage}} AS stage
CROSS JOIN {{template "whole" .}}
WHERE _kind = 'reject' AND {{template "chunks"}} AND _stage_is_whole
