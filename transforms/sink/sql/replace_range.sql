BEGIN TRANSACTION;
DELETE FROM {{.Table}}
WHERE {{.Field}} >= @range_start AND {{.Field}} < @range_end
{{- range .Scope}} AND {{.Column}} = CAST(@{{.Param}} AS {{.Type}}){{end}};
INSERT INTO {{.Table}} ({{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}})
SELECT {{template "columns" .}}
FROM {{.Stage}}
WHERE _kind = 'row' AND _chunk IN (SELECT id FROM UNNEST(@chunks) AS id);
COMMIT TRANSACTION;
