-- Rows that landed more than once; none is right
SELECT 'openai_usage_daily_raw' AS table_name, COUNT(*) - COUNT(DISTINCT _row_id) AS duplicate_rows
FROM `{project}.{dataset}.openai_usage_daily_raw`
WHERE usage_date BETWEEN @from AND @to
UNION ALL
SELECT 'openai_cost_daily' AS table_name, COUNT(*) - COUNT(DISTINCT _row_id) AS duplicate_rows
FROM `{project}.{dataset}.openai_cost_daily`
WHERE usage_date BETWEEN @from AND @to
ORDER BY table_name
