WITH live AS (
  SELECT *, COALESCE(is_custom, TRUE) OR COALESCE(is_edited, FALSE) AS own,
    IF(base_input_price_per_1k IS NULL AND base_output_price_per_1k IS NULL, 1 - COALESCE(discount_percentage, 0) / 100, 1) AS share
  FROM {{.Table}}
  WHERE COALESCE(is_enabled, TRUE) AND effective_date <= CURRENT_DATE() AND COALESCE(end_date, CURRENT_DATE()) >= CURRENT_DATE()
),
best AS (
  SELECT *
  FROM live
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY model_id ORDER BY own DESC, IF(own AND volume_threshold_tokens IS NOT NULL, 1, 0), effective_date DESC) = 1
),
came AS (
  SELECT model_id, cached_input_price_per_1k
  FROM live
  WHERE NOT own
  QUALIFY ROW_NUMBER() OVER (PARTITION BY model_id ORDER BY effective_date DESC) = 1
)
SELECT best.model_id AS model,
  IF(best.own, best.input_price_per_1k * best.share, best.input_price_per_1k) AS input_rate,
  COALESCE(IF(best.own, best.cached_input_price_per_1k * best.share, best.cached_input_price_per_1k), came.cached_input_price_per_1k) AS cached_input_rate,
  IF(best.own, best.output_price_per_1k * best.share, best.output_price_per_1k) AS output_rate
FROM best
LEFT JOIN came ON came.model_id = best.model_id
