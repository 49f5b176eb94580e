{{define "columns"}}{{range $i, $c := .Columns}}{{if $i}}, {{end}}{{if eq $c.Name "_run_id"}}@run_id{{else if $c.Cast}}CAST({{$c.Quoted}} AS {{$c.Cast}}){{else}}{{$c.Quoted}}{{end}} AS {{$c.Quoted}}{{end}}{{end}}
{{define "names"}}{{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}}{{end}}
{{define "chosen"}}_kind = 'row' AND _chunk IN (SELECT id FROM UNNEST(@chunks) AS id){{end}}
