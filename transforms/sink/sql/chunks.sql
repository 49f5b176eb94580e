SELECT _chunk, _part, _pass, _page, _first, _next, _last, _pages, _rows_in, _rows_out, _rejected
FROM {{.Stage}}
WHERE _kind = 'chunk'
