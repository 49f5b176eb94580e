BEGIN TRANSACTION;
DELETE FROM {{.Table}}
WHERE {{.Field}} >= @range_start AND {{.Field}} < @range_end
{{- range .Scope}} AND {{.Column}} = CAST(@{{.Param}} AS {{.Type}}){{end}};
INSERT INTO {{.Table}} ({{template "names" .}})
SELECT {{template "columns" .}}
FROM {{template "staged" .}};
COMMIT TRANSACTION;
