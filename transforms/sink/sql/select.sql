SELECT {{template "columns" .}}
FROM {{.Stage}}
WHERE _kind = 'row' AND _chunk IN UNNEST(@chunks)
