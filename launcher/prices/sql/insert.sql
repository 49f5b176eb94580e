MERGE INTO {{.Table}} AS t
USING (
{{template "source.sql" .}}
) AS s
ON t.{{.Unique}} = s.{{.Unique}}{{if .Dated}} AND t.effective_date = s.effective_date{{end}}
WHEN NOT MATCHED THEN
  INSERT ({{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}})
  VALUES ({{range $i, $c := .Columns}}{{if $i}}, {{end}}s.{{$c.Quoted}}{{end}})
