SELECT _part, _page, _index, _kind, _code, _step, _reason, _payload{{range .Columns}}, {{.Quoted}}{{end}}
FROM {{.Stage}}
WHERE _kind IN ('row', 'reject') AND _chunk IN (SELECT id FROM UNNEST(@chunks) AS id)
ORDER BY _part, _page, _index
