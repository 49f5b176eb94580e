-- Rows per table
SELECT 'openai_usage_daily_raw' AS table_name, COUNT(*) AS row_count
FROM `{project}.{dataset}.openai_usage_daily_raw`
WHERE usage_date BETWEEN @from AND @to
UNION ALL
SELECT 'openai_cost_daily' AS table_name, COUNT(*) AS row_count
FROM `{project}.{dataset}.openai_cost_daily`
WHERE usage_date BETWEEN @from AND @to
ORDER BY table_name
