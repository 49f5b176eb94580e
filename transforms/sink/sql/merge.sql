{{if .Guard}}BEGIN TRANSACTION;
UPDATE {{.Guard}} SET turn = turn + 1 WHERE TRUE;
{{end}}MERGE INTO {{.Table}} AS destination
USING (
  SELECT {{template "columns" .}}
  FROM {{template "staged" .}}
  QUALIFY ROW_NUMBER() OVER (PARTITION BY {{range $i, $k := .Match}}{{if $i}}, {{end}}{{$k.Stage}}{{end}} ORDER BY _part DESC, _page DESC, _index DESC) = 1
) AS staged
ON {{range $i, $k := .Match}}{{if $i}} AND {{end}}{{$k.Destination}} = {{$k.Staged}}{{end}}
{{- if .Field}} AND destination.{{.Field}} BETWEEN @low AND @high{{end}}
{{- if .Updates}}
WHEN MATCHED THEN
  UPDATE SET {{range $i, $c := .Updates}}{{if $i}}, {{end}}{{$c.Quoted}} = staged.{{$c.Quoted}}{{end}}
{{- end}}
WHEN NOT MATCHED THEN
  INSERT ({{template "names" .}})
  VALUES ({{range $i, $c := .Columns}}{{if $i}}, {{end}}staged.{{$c.Quoted}}{{end}}){{if .Guard}};
COMMIT TRANSACTION;{{end}}
