-- Cost per model
SELECT
  model,
  COUNT(*) AS usage_rows,
  SUM(input_tokens) AS input_tokens,
  SUM(output_tokens) AS output_tokens,
  SUM(requests) AS requests,
  SUM(total_cost_usd) AS total_cost_usd,
  COUNTIF(pricing_status = 'UNPRICED') AS unpriced_rows
FROM `{project}.{dataset}.openai_cost_daily`
WHERE usage_date BETWEEN @from AND @to
GROUP BY model
ORDER BY total_cost_usd DESC, model
