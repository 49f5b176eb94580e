SELECT TO_JSON_STRING(STRUCT(
  {{- range $i, $c := .Columns}}{{if $i}},{{end}}
  {{if eq $c.Type "NUMERIC"}}CAST(CAST({{$c.Quoted}} AS NUMERIC) AS STRING){{else}}{{$c.Quoted}}{{end}} AS {{$c.Quoted}}{{end}}
)) AS line
FROM {{.Table}}
WHERE (@key = '' OR {{.Key}} = @key)
  AND (@after = '' OR {{.Key}} > @after OR {{.Key}} = @after AND effective_date < PARSE_DATE('%Y-%m-%d', @after_date))
{{- if and .Own .Enabled}}
  AND COALESCE(is_enabled, TRUE){{end}}
{{- if and .Own .Custom}}
  AND (COALESCE(is_custom, TRUE){{if .Edited}} OR COALESCE(is_edited, FALSE){{end}}){{end}}
ORDER BY {{.Key}}, effective_date DESC
LIMIT @most
