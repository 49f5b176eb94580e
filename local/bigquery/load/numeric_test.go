package load_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// rowList keeps appended rows.
type rowList struct{ rows [][]driver.Value }

func (l *rowList) AppendRow(values ...driver.Value) error {
	l.rows = append(l.rows, append([]driver.Value{}, values...))
	return nil
}

func TestNumericIsExactOrRefused(t *testing.T) {
	fields := []wire.Field{{Name: "n", Type: "NUMERIC"}}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,32}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "text")
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q is no number: the generator is wrong", text)
		}
		scaled := new(big.Rat).Mul(want, new(big.Rat).SetInt64(1e9))
		fits := scaled.IsInt() && len(new(big.Int).Abs(scaled.Num()).String()) <= 38
		var sink rowList
		result, err := load.NDJSON(context.Background(), fmt.Appendf(nil, `{"n":%q}`, text), load.Options{Fields: fields}, &sink)
		if err != nil {
			t.Fatal(err)
		}
		if !fits {
			if len(result.Bad) != 1 {
				t.Fatalf("%s was accepted as %v", text, sink.rows)
			}
			return
		}
		if len(sink.rows) != 1 {
			t.Fatalf("%s was refused: %v", text, result.Bad[0].Err)
		}
		got := new(big.Int)
		switch v := sink.rows[0][0].(type) {
		case int64:
			got.SetInt64(v)
		case *big.Int:
			got = v
		}
		if got.Cmp(scaled.Num()) != 0 {
			t.Fatalf("%s became %s billionths", text, got)
		}
	})
}

func TestRowsKeepTheirOrderAndLines(t *testing.T) {
	var text strings.Builder
	const n = 60_000
	for i := range n {
		fmt.Fprintf(&text, "{\"i\":%d}\n", i)
		if i%1000 == 0 {
			text.WriteString("\n")
		}
	}
	text.WriteString("{\"i\":\"bad\"}\n")
	var sink rowList
	result, err := load.NDJSON(t.Context(), []byte(text.String()), load.Options{Fields: []wire.Field{{Name: "i", Type: "INTEGER"}}, MaxBad: 1}, &sink)
	if err != nil || result.Rows != n {
		t.Fatalf("%v, %+v", err, result)
	}
	for i, row := range sink.rows {
		if row[0] != int64(i) {
			t.Fatalf("row %d is %v", i, row)
		}
	}
	bad := result.Bad[0]
	if want := int64(n + n/1000 + 1); bad.Line != want || bad.Offset != int64(text.Len()-len("{\"i\":\"bad\"}\n")) {
		t.Fatalf("the bad row is at line %d offset %d, want line %d", bad.Line, bad.Offset, want)
	}
}
