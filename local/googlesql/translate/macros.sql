-- A failure. The built-in error function is volatile, which TRY does not take.
-- The function is not the condition of a CASE: DuckDB evaluates conditions
-- without columns while it plans, also those of branches that no row reaches.
CREATE OR REPLACE MACRO bq_raise(message) AS list_extract([NULL], bq_udf_raise(message));

-- Dates and times.
CREATE OR REPLACE MACRO bq_date_check(d) AS CASE WHEN d < DATE '0001-01-01' OR d > DATE '9999-12-31' THEN bq_raise('Date overflow') ELSE d END;
CREATE OR REPLACE MACRO bq_date_add(d, n) AS bq_date_check(d + CAST(n AS INTEGER));
CREATE OR REPLACE MACRO bq_date_add_months(d, n) AS bq_date_check(CAST(d + to_months(CAST(n AS INTEGER)) AS DATE));
CREATE OR REPLACE MACRO bq_datetime_add_months(d, n) AS CAST(d + to_months(CAST(n AS INTEGER)) AS TIMESTAMP);
CREATE OR REPLACE MACRO bq_time_check(us) AS CASE WHEN us < CAST('-62135596800000000' AS BIGINT) OR us > CAST('253402300799999999' AS BIGINT) THEN bq_raise('Timestamp overflow') ELSE us END;
CREATE OR REPLACE MACRO bq_datetime_of_us(us) AS make_timestamp(bq_time_check(us));
CREATE OR REPLACE MACRO bq_timestamp_of_us(us) AS CAST(make_timestamp(bq_time_check(us)) AS TIMESTAMPTZ);
CREATE OR REPLACE MACRO bq_week(d, k) AS d - CAST((dayofweek(d) - k + 7) % 7 AS INTEGER);
CREATE OR REPLACE MACRO bq_week_number(d, k) AS CAST((dayofyear(d) + 6 - ((dayofweek(d) - k + 7) % 7)) // 7 AS BIGINT);
CREATE OR REPLACE MACRO bq_iso_year_start(d) AS bq_week(make_date(isoyear(d), 1, 4), 1);
CREATE OR REPLACE MACRO bq_time_of_us(us) AS CAST(make_timestamp(((us % 86400000000) + 86400000000) % 86400000000) AS TIME);
CREATE OR REPLACE MACRO bq_make_date(y, m, d) AS make_date(y, m, d);
CREATE OR REPLACE MACRO bq_time_of_us(us) AS CAST(make_timestamp(((us % 86400000000) + 86400000000) % 86400000000) AS TIME);
CREATE OR REPLACE MACRO bq_make_datetime(y, mo, d, h, mi, s) AS make_timestamp(y, mo, d, h, mi, CAST(s AS DOUBLE));
CREATE OR REPLACE MACRO bq_make_time(h, m, s) AS make_time(h, m, CAST(s AS DOUBLE));

-- Casts.
CREATE OR REPLACE MACRO bq_within(x, ok, message) AS CASE WHEN ok IS NOT FALSE THEN x ELSE bq_raise(message) END;
CREATE OR REPLACE MACRO bq_decimal_to_text(x) AS CASE WHEN contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.') ELSE CAST(x AS VARCHAR) END;
CREATE OR REPLACE MACRO bq_decimal_to_int(x) AS CAST(round(x) AS BIGINT);
CREATE OR REPLACE MACRO bq_decimal_to_float(x) AS bq_udf_text_to_float(CAST(x AS VARCHAR));
CREATE OR REPLACE MACRO bq_bignumeric_to_numeric(x) AS bq_udf_text_to_numeric(CAST(x AS VARCHAR));
CREATE OR REPLACE MACRO bq_float_to_int(x) AS CASE WHEN isfinite(x) THEN CAST(round(x) AS BIGINT) WHEN x IS NULL THEN NULL ELSE bq_raise('Illegal conversion of non-finite floating point number to an integer: ' || bq_udf_float_text(x)) END;
CREATE OR REPLACE MACRO bq_float_to_text(x) AS bq_udf_float_text(x);
CREATE OR REPLACE MACRO bq_float_to_numeric(x) AS bq_udf_float_to_numeric(x);
CREATE OR REPLACE MACRO bq_float_to_bignumeric(x) AS bq_udf_float_to_bignumeric(x);
CREATE OR REPLACE MACRO bq_to_numeric(x) AS bq_udf_text_to_numeric(x);
CREATE OR REPLACE MACRO bq_to_bignumeric(x) AS bq_udf_text_to_bignumeric(x);
CREATE OR REPLACE MACRO bq_bytes_to_text(x) AS bq_udf_bytes_to_text(x);
CREATE OR REPLACE MACRO bq_text_to_int(x) AS bq_udf_text_to_int(x);
CREATE OR REPLACE MACRO bq_text_to_float(x) AS bq_udf_text_to_float(x);
CREATE OR REPLACE MACRO bq_text_to_bool(x) AS CASE lower(x) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE ELSE CASE WHEN x IS NULL THEN NULL ELSE bq_raise('Bad bool value: ' || x) END END;
CREATE OR REPLACE MACRO bq_date_of_days(n) AS DATE '1970-01-01' + CAST(n AS INTEGER);
CREATE OR REPLACE MACRO bq_text_to_date(x) AS bq_date_of_days(bq_udf_text_to_date(x));
CREATE OR REPLACE MACRO bq_text_to_datetime(x) AS make_timestamp(bq_udf_text_to_datetime(x));
CREATE OR REPLACE MACRO bq_text_to_timestamp(x) AS bq_timestamp_of_us(bq_udf_text_to_timestamp(x, 'UTC'));
CREATE OR REPLACE MACRO bq_text_to_time(x) AS CAST(make_timestamp(bq_udf_text_to_time(x)) AS TIME);
CREATE OR REPLACE MACRO bq_datetime_to_text(x) AS bq_udf_datetime_text(epoch_us(CAST(x AS TIMESTAMP)));
CREATE OR REPLACE MACRO bq_timestamp_to_text(x) AS bq_udf_timestamp_text(epoch_us(x), 'UTC');
CREATE OR REPLACE MACRO bq_time_to_text(x) AS substring(bq_udf_datetime_text(epoch_us(DATE '1970-01-01' + x)), 12);

-- Arithmetic. The _let forms evaluate each argument once.
CREATE OR REPLACE MACRO bq_fcheck(r, a, b) AS CASE WHEN isfinite(r) OR NOT isfinite(a) OR NOT isfinite(b) THEN r WHEN r IS NULL OR a IS NULL OR b IS NULL THEN NULL ELSE bq_raise('Floating point overflow') END;
CREATE OR REPLACE MACRO bq_fadd(a, b) AS bq_fcheck(a + b, a, b);
CREATE OR REPLACE MACRO bq_fsub(a, b) AS bq_fcheck(a - b, a, b);
CREATE OR REPLACE MACRO bq_fmul(a, b) AS bq_fcheck(a * b, a, b);
CREATE OR REPLACE MACRO bq_fdiv(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN bq_raise('division by zero: ' || bq_udf_float_text(a) || ' / ' || bq_udf_float_text(b)) ELSE bq_fcheck(a / b, a, b) END;
CREATE OR REPLACE MACRO bq_safe_fdiv(a, b) AS CASE WHEN b = 0 THEN NULL WHEN isfinite(a / b) OR NOT isfinite(a) OR NOT isfinite(b) THEN a / b ELSE NULL END;
CREATE OR REPLACE MACRO bq_fadd_let(x, y) AS list_transform([{'a': x, 'b': y}], lambda s: bq_fadd(s.a, s.b))[1];
CREATE OR REPLACE MACRO bq_fsub_let(x, y) AS list_transform([{'a': x, 'b': y}], lambda s: bq_fsub(s.a, s.b))[1];
CREATE OR REPLACE MACRO bq_fmul_let(x, y) AS list_transform([{'a': x, 'b': y}], lambda s: bq_fmul(s.a, s.b))[1];
CREATE OR REPLACE MACRO bq_fdiv_let(x, y) AS list_transform([{'a': x, 'b': y}], lambda s: bq_fdiv(s.a, s.b))[1];
CREATE OR REPLACE MACRO bq_safe_fdiv_let(x, y) AS list_transform([{'a': x, 'b': y}], lambda s: bq_safe_fdiv(s.a, s.b))[1];
CREATE OR REPLACE MACRO bq_finite(r, a) AS CASE WHEN isfinite(r) OR NOT isfinite(a) THEN r WHEN a IS NULL THEN NULL ELSE bq_raise('Floating point overflow') END;
CREATE OR REPLACE MACRO bq_pow(a, b) AS CASE WHEN a < 0 AND isfinite(b) AND b <> trunc(b) OR a = 0 AND b < 0 THEN bq_raise('Floating point error in function: POW') ELSE bq_fcheck(pow(a, b), a, b) END;
CREATE OR REPLACE MACRO bq_log(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN isnan(a) OR isnan(b) OR isinf(b) OR a = CAST('-inf' AS DOUBLE) THEN CAST('nan' AS DOUBLE) WHEN a <= 0 OR b <= 0 OR b = 1 THEN bq_raise('Floating point error in function: LOG') ELSE ln(a) / ln(b) END;
CREATE OR REPLACE MACRO bq_sqrt(a) AS CASE WHEN a < 0 THEN bq_raise('Argument to SQRT cannot be negative') ELSE sqrt(a) END;
CREATE OR REPLACE MACRO bq_float_total(total, any_infinite) AS CASE WHEN isinf(total) AND NOT coalesce(any_infinite, FALSE) THEN bq_raise('double overflow') ELSE total END;
CREATE OR REPLACE MACRO bq_reciprocal(r, name) AS CASE WHEN r = 0 THEN bq_raise('Floating point error in function: ' || name) ELSE 1 / r END;
CREATE OR REPLACE MACRO bq_num_mul(a, b) AS CASE WHEN abs(a) < 1000000000 AND abs(b) < 1000000000 THEN CAST(a * b AS DECIMAL(38,9)) ELSE bq_udf_num_mul(a, b) END;
CREATE OR REPLACE MACRO bq_num_mul_let(x, y) AS list_transform([{'a': x, 'b': y}], lambda s: bq_num_mul(s.a, s.b))[1];
CREATE OR REPLACE MACRO bq_num_avg(total, n) AS CASE WHEN n = 0 THEN NULL ELSE bq_udf_num_div(total, CAST(n AS DECIMAL(38,9))) END;
CREATE OR REPLACE MACRO bq_big_avg(total, n) AS CASE WHEN n = 0 THEN NULL ELSE bq_udf_big_div(total, CAST(n AS DECIMAL(38,18))) END;
CREATE OR REPLACE MACRO bq_mod(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN bq_raise('division by zero: MOD(' || bq_decimal_to_text(a) || ', ' || bq_decimal_to_text(b) || ')') WHEN b = -1 THEN a - a ELSE a % b END;
CREATE OR REPLACE MACRO bq_trunc_div(a, b) AS (a - (a % b)) // b;
CREATE OR REPLACE MACRO bq_floor_div(a, b) AS (a - (((a % b) + b) % b)) // b;
CREATE OR REPLACE MACRO bq_div(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN bq_raise('division by zero: DIV(' || a || ', ' || b || ')') WHEN b = -1 THEN -a ELSE bq_trunc_div(a, b) END;

-- Text.
CREATE OR REPLACE MACRO bq_spaces() AS chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || ' ' || chr(133) || chr(160) || chr(5760) || chr(8192) || chr(8193) || chr(8194) || chr(8195) || chr(8196) || chr(8197) || chr(8198) || chr(8199) || chr(8200) || chr(8201) || chr(8202) || chr(8232) || chr(8233) || chr(8239) || chr(8287) || chr(12288);
CREATE OR REPLACE MACRO bq_start(s, p) AS CASE WHEN p = 0 OR p < -length(s) THEN 1 ELSE p END;
CREATE OR REPLACE MACRO bq_substr2(s, p) AS substring(s, bq_start(s, p));
CREATE OR REPLACE MACRO bq_substr3(s, p, n) AS CASE WHEN n < 0 THEN bq_raise('Third argument in SUBSTR() cannot be negative') ELSE substring(s, bq_start(s, p), n) END;
CREATE OR REPLACE MACRO bq_left(s, n) AS CASE WHEN n < 0 THEN bq_raise('Second argument in LEFT() cannot be negative') ELSE left(s, n) END;
CREATE OR REPLACE MACRO bq_right(s, n) AS CASE WHEN n < 0 THEN bq_raise('Second argument in RIGHT() cannot be negative') ELSE right(s, n) END;
CREATE OR REPLACE MACRO bq_ascii(s) AS CASE WHEN s = '' THEN CAST(0 AS BIGINT) WHEN unicode(s) > 127 THEN bq_raise('Non ASCII characters found in ASCII()') ELSE CAST(unicode(s) AS BIGINT) END;
CREATE OR REPLACE MACRO bq_code_points(s) AS CASE WHEN s IS NULL THEN NULL WHEN s = '' THEN CAST([] AS BIGINT[]) ELSE list_transform(string_split(s, ''), lambda e: CAST(unicode(e) AS BIGINT)) END;
CREATE OR REPLACE MACRO bq_split(s, d) AS CASE WHEN s IS NULL OR d IS NULL THEN NULL ELSE string_split(s, d) END;
CREATE OR REPLACE MACRO bq_repeat(s, n) AS CASE WHEN n < 0 THEN bq_raise('Second argument in REPEAT() cannot be negative') WHEN strlen(s) > 1048576 // greatest(n, 1) THEN bq_raise('Output of REPEAT exceeds max allowed output size of 1MB') ELSE repeat(s, n) END;
CREATE OR REPLACE MACRO bq_lpad(s, n, p) AS CASE WHEN n < 0 THEN bq_raise('Second argument (output size) for LPAD cannot be negative') WHEN p = '' THEN bq_raise('Third argument (pad pattern) for LPAD cannot be empty') WHEN n > 1048576 THEN bq_raise('Output of LPAD/RPAD exceeds max allowed output size of 1MB') ELSE lpad(s, CAST(n AS INTEGER), p) END;
CREATE OR REPLACE MACRO bq_rpad(s, n, p) AS CASE WHEN n < 0 THEN bq_raise('Second argument (output size) for RPAD cannot be negative') WHEN p = '' THEN bq_raise('Third argument (pad pattern) for RPAD cannot be empty') WHEN n > 1048576 THEN bq_raise('Output of LPAD/RPAD exceeds max allowed output size of 1MB') ELSE rpad(s, CAST(n AS INTEGER), p) END;
CREATE OR REPLACE MACRO bq_regexp_replace(s, r, p) AS regexp_replace(s, r, p, 'g');
CREATE OR REPLACE MACRO bq_from_hex(s) AS unhex(CASE WHEN length(s) % 2 = 1 THEN '0' || s ELSE s END);

-- Arrays.
CREATE OR REPLACE MACRO bq_at_offset(a, i) AS CASE WHEN a IS NULL OR i IS NULL THEN NULL WHEN i < 0 OR i >= len(a) THEN bq_raise('Array index ' || i || ' is out of bounds') ELSE a[i + 1] END;
CREATE OR REPLACE MACRO bq_at_ordinal(a, i) AS CASE WHEN a IS NULL OR i IS NULL THEN NULL WHEN i < 1 OR i > len(a) THEN bq_raise('Array index ' || i || ' is out of bounds') ELSE a[i] END;
CREATE OR REPLACE MACRO bq_safe_at(a, i) AS CASE WHEN i >= 1 THEN a[i] END;
CREATE OR REPLACE MACRO bq_in_array(x, a) AS CASE WHEN a IS NULL OR len(a) = 0 THEN FALSE WHEN x IS NULL THEN NULL WHEN list_contains(a, x) THEN TRUE WHEN list_aggregate(a, 'count') < len(a) THEN NULL ELSE FALSE END;
CREATE OR REPLACE MACRO bq_array_to_string(a, d) AS CASE WHEN a IS NULL OR d IS NULL THEN NULL ELSE coalesce(array_to_string(list_filter(a, lambda e: e IS NOT NULL), d), '') END;
CREATE OR REPLACE MACRO bq_string_agg(l, d) AS CASE WHEN len(l) > 0 AND d IS NOT NULL THEN array_to_string(l, d) END;
CREATE OR REPLACE MACRO bq_range_bucket(x, a) AS CASE WHEN x IS NULL OR a IS NULL THEN NULL WHEN list_aggregate(a, 'count') < len(a) THEN bq_raise('Elements in input array to RANGE_BUCKET cannot be null.') WHEN a <> list_sort(a) THEN bq_raise('Elements in input array to RANGE_BUCKET must be in ascending order.') ELSE CAST(len(list_filter(a, lambda e: e <= x)) AS BIGINT) END;
CREATE OR REPLACE MACRO bq_generate_array(a, b, s) AS CASE WHEN a IS NULL OR b IS NULL OR s IS NULL THEN NULL WHEN s = 0 THEN bq_raise('Sequence step cannot be 0.') ELSE generate_series(a, b, s) END;
CREATE OR REPLACE MACRO bq_date_array(a, b, s) AS CASE WHEN a IS NULL OR b IS NULL OR s IS NULL THEN NULL WHEN s = 0 THEN bq_raise('Sequence step cannot be 0.') ELSE list_transform(generate_series(CAST(0 AS BIGINT), date_diff('day', a, b), s), lambda i: a + CAST(i AS INTEGER)) END;
CREATE OR REPLACE MACRO bq_month_array(a, b, s) AS CASE WHEN a IS NULL OR b IS NULL OR s IS NULL THEN NULL WHEN s = 0 THEN bq_raise('Sequence step cannot be 0.') ELSE list_filter(list_transform(generate_series(CAST(0 AS BIGINT), date_diff('month', a, b), s), lambda i: CAST(a + to_months(CAST(i AS INTEGER)) AS DATE)), lambda d: CASE WHEN s > 0 THEN d <= b ELSE d >= b END) END;
CREATE OR REPLACE MACRO bq_timestamp_array(a, b, s) AS CASE WHEN a IS NULL OR b IS NULL OR s IS NULL THEN NULL WHEN s = 0 THEN bq_raise('Sequence step cannot be 0.') ELSE list_transform(generate_series(epoch_us(a), epoch_us(b), s), lambda i: CAST(make_timestamp(i) AS TIMESTAMPTZ)) END;

-- JSON.
CREATE OR REPLACE MACRO bq_json_or_null(s) AS CASE WHEN json_valid(s) THEN CAST(s AS JSON) END;
CREATE OR REPLACE MACRO bq_json_value(j, p) AS CASE WHEN json_type(j, p) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL ELSE json_extract_string(j, p) END;
CREATE OR REPLACE MACRO bq_json_query(j, p) AS CASE WHEN json_type(j, p) = 'NULL' THEN NULL ELSE CAST(json_extract(j, p) AS VARCHAR) END;
CREATE OR REPLACE MACRO bq_json_array(j, p) AS CASE WHEN json_type(j, p) = 'ARRAY' THEN CAST(json_extract(j, p) AS JSON[]) END;
CREATE OR REPLACE MACRO bq_json_value_array(j, p) AS CASE WHEN json_type(j, p) = 'ARRAY' AND len(list_filter(CAST(json_extract(j, p) AS JSON[]), lambda e: json_type(e) IN ('OBJECT', 'ARRAY'))) = 0 THEN list_transform(CAST(json_extract(j, p) AS JSON[]), lambda e: bq_json_value(e, '$')) END;
CREATE OR REPLACE MACRO bq_json_type(j) AS CASE json_type(j) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' ELSE CASE WHEN j IS NULL THEN NULL ELSE 'number' END END;
CREATE OR REPLACE MACRO bq_json_string(j) AS CASE WHEN j IS NULL THEN NULL WHEN json_type(j) = 'VARCHAR' THEN json_extract_string(j, '$') ELSE bq_raise('The provided JSON input is not a string') END;
CREATE OR REPLACE MACRO bq_json_bool(j) AS CASE WHEN j IS NULL THEN NULL WHEN json_type(j) = 'BOOLEAN' THEN json_extract_string(j, '$') = 'true' ELSE bq_raise('The provided JSON input is not a boolean') END;
CREATE OR REPLACE MACRO bq_json_int64(j) AS CASE WHEN j IS NULL THEN NULL WHEN json_type(j) IN ('BIGINT', 'UBIGINT') THEN CAST(json_extract_string(j, '$') AS BIGINT) WHEN json_type(j) = 'DOUBLE' AND CAST(json_extract_string(j, '$') AS DOUBLE) = trunc(CAST(json_extract_string(j, '$') AS DOUBLE)) THEN CAST(CAST(json_extract_string(j, '$') AS DOUBLE) AS BIGINT) ELSE bq_raise('The provided JSON input is not an integer') END;
CREATE OR REPLACE MACRO bq_json_float64(j) AS CASE WHEN j IS NULL THEN NULL WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'DOUBLE') THEN CAST(json_extract_string(j, '$') AS DOUBLE) ELSE bq_raise('The provided JSON input is not a number') END;
CREATE OR REPLACE MACRO bq_json_of_int(x) AS CASE WHEN x BETWEEN -9007199254740992 AND 9007199254740992 THEN CAST(x AS VARCHAR) ELSE '"' || CAST(x AS VARCHAR) || '"' END;
CREATE OR REPLACE MACRO bq_json_of_float(x) AS CASE WHEN isfinite(x) THEN bq_udf_float_text(x) ELSE '"' || CASE WHEN isnan(x) THEN 'NaN' WHEN x > 0 THEN 'Infinity' ELSE '-Infinity' END || '"' END;
CREATE OR REPLACE MACRO bq_json_of_decimal(x) AS CASE WHEN x = round(x) AND abs(x) <= 9007199254740992 THEN bq_decimal_to_text(x) ELSE '"' || bq_decimal_to_text(x) || '"' END;
