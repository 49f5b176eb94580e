-- Cost per day
SELECT
  usage_date,
  COUNT(*) AS usage_rows,
  SUM(total_tokens) AS total_tokens,
  SUM(requests) AS requests,
  SUM(total_cost_usd) AS total_cost_usd,
  COUNTIF(pricing_status = 'UNPRICED') AS unpriced_rows
FROM `{project}.{dataset}.openai_cost_daily`
WHERE usage_date BETWEEN @from AND @to
GROUP BY usage_date
ORDER BY usage_date
