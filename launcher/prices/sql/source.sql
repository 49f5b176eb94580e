SELECT
  {{- range $i, $c := .Columns}}{{if $i}},{{end}}
  {{if eq $c.Type "STRING"}}JSON_VALUE(line, '$.{{$c.Name}}'){{else}}CAST(JSON_VALUE(line, '$.{{$c.Name}}') AS {{$c.Type}}){{end}} AS {{$c.Quoted}}{{end}},
  CAST(JSON_VALUE(line, '$.match_date') AS DATE) AS match_date
FROM UNNEST(JSON_QUERY_ARRAY(@lines)) AS line
