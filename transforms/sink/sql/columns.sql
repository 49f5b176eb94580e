{{define "columns"}}{{range $i, $c := .Columns}}{{if $i}}, {{end}}{{if eq $c.Name "_run_id"}}@run_id{{else if $c.Cast}}CAST({{$c.Quoted}} AS {{$c.Cast}}){{else}}{{$c.Quoted}}{{end}} AS {{$c.Quoted}}{{end}}{{end}}
{{define "names"}}{{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}}{{end}}
{{define "chosen"}}_kind = 'row' AND _chunk IN (SELECT id FROM UNNEST(@chunks) AS id){{end}}
{{define "staged"}}{{.Stage}} AS stage
CROSS JOIN (
  SELECT IF(COUNT(*) = @staged, TRUE, ERROR('the staging table does not hold the rows of its chunks')) AS _stage_is_whole
  FROM {{.Stage}}
  WHERE {{template "chosen" .}}
)
WHERE {{template "chosen" .}} AND _stage_is_whole{{end}}
