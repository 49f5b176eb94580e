package translate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloudact/convergence/local/googlesql/translate"
)

const fixture = `
CREATE TABLE cost (id INT64, day DATE, service STRING, amount NUMERIC, weight FLOAT64, tags ARRAY<STRUCT<k STRING, v INT64>>);
INSERT INTO cost (id, day, service, amount, weight, tags) VALUES
  (1, '2025-11-24', 'compute', 1.5, 0.5, [STRUCT('a' AS k, 1 AS v), ('b', 2)]),
  (2, '2025-11-24', 'storage', 0.000000001, 1.5, []),
  (3, '2025-11-25', 'compute', 2.25, NULL, [('a', 3)]),
  (4, NULL, NULL, NULL, CAST('nan' AS FLOAT64), []);
`

func openFixture(t testing.TB) *testDB {
	t.Helper()
	db := openDB(t)
	if _, err := db.run(t.Context(), fixture); err != nil {
		t.Fatal(err)
	}
	return db
}

// rows writes a result on one line: values by comma, rows by semicolon.
func rows(result [][]string) string {
	lines := make([]string, len(result))
	for i, r := range result {
		lines[i] = strings.Join(r, ",")
	}
	return strings.Join(lines, "; ")
}

func TestAnswersOfQueries(t *testing.T) {
	db := openFixture(t)
	for name, c := range queryCases {
		t.Run(name, func(t *testing.T) {
			got, err := db.run(t.Context(), c[0])
			if err != nil {
				t.Fatal(err)
			}
			if text := rows(got); text != c[1] {
				t.Errorf("%s\n got %s\nwant %s", c[0], text, c[1])
			}
		})
	}
}

func TestFailuresAtRunTime(t *testing.T) {
	db := openFixture(t)
	for name, c := range failureCases {
		t.Run(name, func(t *testing.T) {
			got, err := db.run(t.Context(), c[0])
			if err == nil {
				t.Fatalf("%s: no error but rows %s", c[0], rows(got))
			}
			if !strings.Contains(err.Error(), c[1]) {
				t.Errorf("%s: error %q does not say %q", c[0], err, c[1])
			}
		})
	}
}

func TestMessageIsWithoutTheDriversWords(t *testing.T) {
	db := openFixture(t)
	for text, want := range map[string]string{
		"SELECT DIV(id, 0) FROM cost WHERE id = 1":             "division by zero: DIV(1, 0)",
		"SELECT CAST(service AS INT64) FROM cost WHERE id = 1": "Bad int64 value: compute",
		"SELECT (SELECT id FROM cost)":                         "Scalar subquery produced more than one element",
	} {
		_, err := db.run(t.Context(), text)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		first, _, _ := strings.Cut(translate.Message(err), "\n")
		if first != want {
			t.Errorf("%s: message %q, want %q", text, first, want)
		}
	}
}

func TestUnsupportedIsNamedWithItsPosition(t *testing.T) {
	db := openFixture(t)
	for text, want := range map[string]string{
		"SELECT\n  SOUNDEX('a')":                                       "function SOUNDEX is not supported by the local server at [2:3]",
		"SELECT * FROM cost TABLESAMPLE SYSTEM (10 PERCENT)":           "TABLESAMPLE is not supported",
		"SELECT ST_GEOGPOINT(1, 2)":                                    "function ST_GEOGPOINT is not supported",
		"SELECT [1] = [1]":                                             "comparing values of type ARRAY is not supported",
		"DECLARE x INT64; SELECT x":                                    "DECLARE is not supported by the local server at [1:1]",
		"IF TRUE THEN SELECT 1; END IF":                                "IF is not supported",
		"SELECT * FROM cost FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()": "FOR SYSTEM_TIME AS OF is not supported",
	} {
		_, err := db.run(t.Context(), text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestStatementsThatChangeRows(t *testing.T) {
	for name, c := range dmlCases {
		t.Run(name, func(t *testing.T) {
			db := openFixture(t)
			changed, err := db.run(t.Context(), c[0])
			if err != nil {
				t.Fatal(err)
			}
			after, err := db.run(t.Context(), "SELECT id, service, amount FROM cost ORDER BY id, amount")
			if err != nil {
				t.Fatal(err)
			}
			if got := rows(changed) + " | " + rows(after); got != c[1] {
				t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
			}
		})
	}
}

func TestTransactionStatementsAndViews(t *testing.T) {
	db := openFixture(t)
	statements, err := db.analyzer.Script("BEGIN TRANSACTION;\nDELETE FROM cost WHERE id = 1;\nINSERT INTO cost (id) VALUES (9);\nCOMMIT TRANSACTION;")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range statements {
		st, _, err := db.prepare(t.Context(), s.SQL, nil)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, fmt.Sprintf("%s@%d:%d", st.Kind, s.Line, s.Col))
	}
	if got, want := strings.Join(kinds, " "), "BEGIN_TRANSACTION@1:1 DELETE@2:1 INSERT@3:1 COMMIT_TRANSACTION@4:1"; got != want {
		t.Errorf("kinds %s, want %s", got, want)
	}
	got, err := db.run(t.Context(), "CREATE VIEW v AS SELECT service AS s, SUM(amount) AS total FROM p.d.cost GROUP BY service; SELECT s, total FROM v WHERE total > 1")
	if err != nil {
		t.Fatal(err)
	}
	if rows(got) != "compute,3.75" {
		t.Errorf("view answers %s", rows(got))
	}
}

func TestQueryParameters(t *testing.T) {
	db := openFixture(t)
	list := translate.Value{Elems: []translate.Value{{Text: "1"}, {Text: "3"}}}
	pair := translate.Value{Fields: map[string]translate.Value{"a": {Text: "5"}, "b": {Text: "x"}}}
	for _, c := range []struct {
		sql    string
		params []struct {
			name, typ string
			value     translate.Value
		}
		want string
	}{
		{sql: "SELECT id FROM cost WHERE id IN UNNEST(@ids) AND day >= @from ORDER BY id", want: "1; 3", params: []struct {
			name, typ string
			value     translate.Value
		}{{"ids", "ARRAY<INT64>", list}, {"from", "DATE", translate.Value{Text: "2025-11-24"}}}},
		{sql: "SELECT ? + ?, ?", want: "0.3,NULL", params: []struct {
			name, typ string
			value     translate.Value
		}{{"", "NUMERIC", translate.Value{Text: "0.1"}}, {"", "NUMERIC", translate.Value{Text: "0.2"}}, {"", "STRING", translate.Value{Null: true}}}},
		{sql: "SELECT @s.a, @s.b, @b, @t", want: "5,x,6869,2025-01-02 03:04:05.000006", params: []struct {
			name, typ string
			value     translate.Value
		}{{"s", "STRUCT<a INT64, b STRING>", pair}, {"b", "BYTES", translate.Value{Text: "aGk="}}, {"t", "TIMESTAMP", translate.Value{Text: "2025-01-02 03:04:05.000006+00:00"}}}},
	} {
		var params []param
		for _, p := range c.params {
			value, err := translate.ParamText(p.typ, p.value)
			if err != nil {
				t.Fatal(err)
			}
			params = append(params, param{p.name, p.typ, value})
		}
		got, err := db.run(t.Context(), c.sql, params...)
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		if rows(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.sql, rows(got), c.want)
		}
	}
}

func BenchmarkAnalyseAndTranslate(b *testing.B) {
	db := openFixture(b)
	const text = `WITH daily AS (SELECT day, service, SUM(amount) AS total FROM p.d.cost WHERE day >= '2025-01-01' GROUP BY day, service)
		SELECT service, DATE_TRUNC(day, MONTH) AS month, SUM(total) AS total, ROW_NUMBER() OVER (ORDER BY SUM(total) DESC) AS rank
		FROM daily GROUP BY service, month ORDER BY rank LIMIT 10`
	for b.Loop() {
		if _, _, err := db.prepare(b.Context(), text, nil); err != nil {
			b.Fatal(err)
		}
	}
}
