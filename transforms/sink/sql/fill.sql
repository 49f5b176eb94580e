INSERT INTO {{.Stage}} (_kind, _chunk, _part, _page, _index, _row_id, _code, _step, _reason, _payload{{range .Columns}}, {{.Quoted}}{{end}})
SELECT
  IF(_code IS NULL, 'row', 'reject'), @sink_chunk, 'sql', 0, _index,
  SUBSTR(TO_HEX(SHA256(CONCAT(@sink_unit, ':', {{if .Keys}}TO_JSON_STRING(STRUCT({{join .Keys}})){{else}}CAST(_index AS STRING){{end}}))), 1, 32),
  _code, @sink_step,
  IF(_code IS NULL, NULL, CONCAT('a row of the query is ', _code)),
  IF(_code IS NULL, NULL, _payload)
  {{- range .Columns}}, {{.Quoted}}{{end}}
FROM (
  SELECT
    CASE
      {{- range .Required}}
      WHEN {{.}} IS NULL THEN 'MISSING_REQUIRED'
      {{- end}}
      {{- if .NullKeys}}{{range .Keys}}
      WHEN {{.}} IS NULL THEN 'NULL_KEY'
      {{- end}}{{end}}
      {{- if .Field}}
      WHEN {{.Field}} IS NULL OR {{.Field}} < @sink_start OR {{.Field}} >= @sink_end THEN 'OUT_OF_RANGE'
      {{- end}}
      {{- range .Scope}}
      WHEN {{.Column}} IS NULL OR {{.Column}} != CAST(@{{.Param}} AS {{.Type}}) THEN 'OUT_OF_RANGE'
      {{- end}}
      WHEN FALSE THEN ''
    END AS _code,
    ROW_NUMBER() OVER () - 1 AS _index,
    SUBSTR(TO_JSON_STRING(STRUCT({{range $i, $c := .Columns}}{{if $i}}, {{end}}{{$c.Quoted}}{{end}})), 1, 10000) AS _payload
    {{- range .Columns}}, {{.Quoted}}{{end}}
  FROM (
{{.Query}}
  )
)
UNION ALL
SELECT 'chunk', @sink_chunk, 'sql', 0, NULL, NULL, NULL, NULL, NULL, NULL{{range .Columns}}, NULL{{end}}
