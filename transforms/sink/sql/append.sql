INSERT INTO {{.Table}} ({{template "names" .}})
SELECT {{template "columns" .}}
FROM {{.Stage}}
WHERE {{template "chosen" .}}
