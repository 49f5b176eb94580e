SELECT _part AS part, COUNT(*) AS chunks, SUM(_pages) AS pages, SUM(_rows_out) AS staged, SUM(_rejected) AS rejected,
  LOGICAL_OR(_last) AS ended, ARRAY_AGG(_next ORDER BY _page DESC LIMIT 1)[OFFSET(0)] AS next
FROM `{{.Stage}}`
WHERE _kind = 'chunk'
GROUP BY _part
ORDER BY _part
