SELECT COUNTIF(_kind = 'row') AS rows_out, COUNTIF(_kind = 'reject') AS rejected
FROM {{.Stage}}
WHERE _chunk = @sink_chunk
