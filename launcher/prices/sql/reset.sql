BEGIN TRANSACTION;
DELETE FROM {{.Table}} WHERE is_custom IS FALSE OR is_custom IS NULL AND {{.Key}} IN UNNEST(@seeded);
{{template "insert.sql" .}};
COMMIT TRANSACTION;
