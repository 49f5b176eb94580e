-- Cost in total
SELECT
  COUNT(*) AS usage_rows,
  COUNT(DISTINCT usage_date) AS days,
  SUM(total_tokens) AS total_tokens,
  SUM(requests) AS requests,
  SUM(total_cost_usd) AS total_cost_usd,
  COUNTIF(pricing_status = 'UNPRICED') AS unpriced_rows,
  SUM(IF(pricing_status = 'UNPRICED', total_tokens, 0)) AS unpriced_tokens
FROM `{project}.{dataset}.openai_cost_daily`
WHERE usage_date BETWEEN @from AND @to
