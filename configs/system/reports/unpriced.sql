-- Usage without a price, which no total contains
SELECT
  model,
  pricing_tier,
  unpriced_reason,
  COUNT(*) AS usage_rows,
  SUM(total_tokens) AS total_tokens,
  MIN(usage_date) AS first_day,
  MAX(usage_date) AS last_day
FROM `{project}.{dataset}.openai_cost_daily`
WHERE usage_date BETWEEN @from AND @to AND pricing_status = 'UNPRICED'
GROUP BY model, pricing_tier, unpriced_reason
ORDER BY total_tokens DESC, model, pricing_tier, unpriced_reason
