DELETE FROM `{{.Dataset}}.org_pipeline_execution_queue`
WHERE added_at < @before AND run_id NOT IN UNNEST(@active)
