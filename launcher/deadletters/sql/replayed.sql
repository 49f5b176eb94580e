-- A letter is tried again once: what is rejected again is a letter of the run that tried.
UPDATE `{{.Dataset}}.pipeline_dlq`
SET retry_count = retry_count + 1
WHERE org_slug = @org AND pipeline_id = @pipeline AND run_id = @run AND retry_count = 0
