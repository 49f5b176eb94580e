MERGE INTO {{.Table}} AS t
USING (
{{template "source.sql" .}}
) AS s
ON t.{{.Key}} = s.{{.Key}} AND t.effective_date = s.match_date
WHEN MATCHED THEN
  UPDATE SET {{range .Changed}}{{.Quoted}} = COALESCE(s.{{.Quoted}}, t.{{.Quoted}}), {{end}}
    is_edited = COALESCE(t.is_custom, TRUE) IS FALSE OR COALESCE(t.is_edited, FALSE), updated_at = s.updated_at
WHEN NOT MATCHED THEN
  INSERT ({{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}})
  VALUES ({{range $i, $c := .Columns}}{{if $i}}, {{end}}s.{{$c.Quoted}}{{end}})
