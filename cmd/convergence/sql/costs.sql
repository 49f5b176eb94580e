SELECT
  usage_date,
  {{if .Column}}COALESCE(CAST({{.Column}} AS STRING), ''){{else}}''{{end}} AS part,
  SUM({{if .Requests}}requests{{else}}0{{end}}) AS requests,
  SUM({{if .Tokens}}total_tokens{{else}}0{{end}}) AS tokens,
  CAST(SUM(total_cost_usd) AS STRING) AS cost,
  {{if .Status}}COUNTIF(pricing_status = 'UNPRICED'){{else}}0{{end}} AS unpriced
FROM `{{.Table}}`
WHERE usage_date BETWEEN @from AND @to
GROUP BY usage_date, part
ORDER BY usage_date, part
