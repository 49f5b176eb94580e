SELECT COUNT(*) AS chunks FROM UNNEST(@chunks) AS id
