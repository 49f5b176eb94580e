{{define "columns"}}{{range $i, $c := .Columns}}{{if $i}}, {{end}}{{if eq $c.Name "_run_id"}}@run_id{{else if $c.Cast}}CAST({{$c.Quoted}} AS {{$c.Cast}}){{else}}{{$c.Quoted}}{{end}} AS {{$c.Quoted}}{{end}}{{end}}
{{define "names"}}{{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}}{{end}}
{{define "chunks"}}_chunk IN (SELECT id FROM UNNEST(@chunks) AS id){{end}}
{{define "chosen"}}_kind = 'row' AND {{template "chunks"}}{{end}}
{{define "whole"}}(
  SELECT IF(
    COUNTIF(_kind = 'chunk') = ARRAY_LENGTH(@chunks) AND COUNT(DISTINCT IF(_kind = 'chunk', _chunk, NULL)) = ARRAY_LENGTH(@chunks)
    AND COUNTIF(_kind = 'row') = @staged AND COUNTIF(_kind = 'reject') = @rejected,
    TRUE, ERROR('the staging table does not hold the rows of its chunks')) AS _stage_is_whole
  FROM {{.Stage}}
  WHERE {{template "chunks"}}
){{end}}
{{define "staged"}}{{.Stage}} AS stage
CROSS JOIN {{template "whole" .}}
WHERE {{template "chosen"}} AND _stage_is_whole{{end}}
