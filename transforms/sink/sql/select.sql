SELECT {{template "columns" .}}
FROM {{template "staged" .}}
