UPDATE `{{.Dataset}}.pipeline_dlq`
SET retry_count = retry_count + 1
WHERE org_slug = @org AND pipeline_id = @pipeline AND run_id = @run
