SELECT {{template "columns" .}}
FROM {{.Stage}}
WHERE _kind = 'row' AND _chunk IN (SELECT id FROM UNNEST(@chunks) AS id)
