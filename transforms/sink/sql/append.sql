INSERT INTO {{.Table}} ({{template "names" .}})
SELECT {{template "columns" .}}
FROM {{template "staged" .}}
