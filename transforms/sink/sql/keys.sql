SELECT COUNT(*) AS rows_kept{{if .Field}}, MIN(low) AS low, MAX(high) AS high{{end}}
FROM (
  SELECT {{if .Field}}MIN({{.Field}}) AS low, MAX({{.Field}}) AS high{{else}}COUNT(*) AS n{{end}}
  FROM {{.Stage}}
  WHERE {{template "chosen"}}
  GROUP BY {{join .Keys}}
)
