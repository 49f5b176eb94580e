SELECT {{template "columns" .}}
FROM {{.Stage}}
WHERE {{template "chosen" .}}
