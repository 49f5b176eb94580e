package row_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"cloud.google.com/go/civil"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/coder"
	"pgregory.net/rapid"

	"github.com/cloudact/convergence/transforms/row"
)

var anyCell = rapid.OneOf(
	rapid.Just(row.Null()),
	rapid.Map(rapid.Bool(), row.Bool),
	rapid.Map(rapid.Int64(), row.Int64),
	rapid.Map(rapid.Float64(), row.Float64),
	rapid.Map(rapid.String(), row.String),
	rapid.Map(rapid.SliceOf(rapid.Byte()), row.Bytes),
	rapid.Map(rapid.IntRange(-719_162, 2_932_896), func(days int) row.Cell {
		return row.Date(civil.Date{Year: 1970, Month: 1, Day: 1}.AddDays(days))
	}),
	rapid.Map(rapid.Int64Range(-62_135_596_800_000_000, 253_402_300_799_999_999), func(us int64) row.Cell {
		return row.Timestamp(time.UnixMicro(us))
	}),
	rapid.Map(rapid.StringMatching(`-?[1-9][0-9]{0,28}\.[0-9]{0,8}[1-9]`), func(s string) row.Cell {
		c, err := row.Numeric(s)
		if err != nil {
			panic(err)
		}
		return c
	}),
	rapid.Map(rapid.StringMatching(`\{"a":[0-9]{1,5}\}`), row.JSON),
)

var anyRow = rapid.Custom(func(t *rapid.T) row.Row {
	return row.Row{Cells: rapid.SliceOfN(anyCell, 0, 12).Draw(t, "cells")}
})

var anyPage = rapid.Custom(func(t *rapid.T) row.Page {
	s := func(name string) string { return rapid.String().Draw(t, name) }
	n := func(name string) int64 { return rapid.Int64().Draw(t, name) }
	p := row.Page{
		Position:  row.Position{Unit: s("unit"), Partition: s("partition"), Pass: s("pass"), Index: n("index"), First: s("first"), Next: s("next"), Last: rapid.Bool().Draw(t, "last")},
		FetchedAt: n("fetched"), Requests: n("requests"),
		Rows:    rapid.SliceOfN(anyRow, 0, 5).Draw(t, "rows"),
		Rejects: []row.Reject{},
	}
	if body := rapid.SliceOf(rapid.Byte()).Draw(t, "body"); len(body) > 0 {
		p.Body = body
	}
	for range rapid.IntRange(0, 3).Draw(t, "rejects") {
		p.Rejects = append(p.Rejects, row.Reject{Code: s("code"), Step: s("step"), Reason: s("reason"), Payload: s("payload"), Index: n("index")})
	}
	if rapid.Bool().Draw(t, "failed") {
		p.Failure = &row.Failure{Code: s("code"), Message: s("message")}
	}
	return p
})

func TestRowCoderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRow.Draw(t, "row")
		b, err := row.EncodeRow(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := row.DecodeRow(b)
		if err != nil || !reflect.DeepEqual(got.Cells, append([]row.Cell{}, want.Cells...)) {
			t.Fatalf("got %#v, %v, want %#v", got, err, want)
		}
		if _, err := row.DecodeRow(append(b, 0)); err == nil {
			t.Fatal("a trailing byte must be an error")
		}
		if _, err := row.DecodeRow(b[:len(b)-1]); err == nil {
			t.Fatal("a missing byte must be an error")
		}
	})
}

func TestPageCoderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyPage.Draw(t, "page")
		b, err := row.EncodePage(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := row.DecodePage(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, %v\nwant %#v", got, err, want)
		}
		if _, err := row.DecodePage(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut page must be an error")
		}
	})
}

func TestBeamUsesTheseCoders(t *testing.T) {
	for _, v := range []any{row.Row{}, row.Page{}} {
		if c := coder.LookupCustomCoder(reflect.TypeOf(v)); c == nil {
			t.Errorf("%T has no registered coder", v)
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	c, _ := row.Numeric("1.5")
	full, _ := row.EncodePage(row.Page{
		Position: row.Position{Unit: "u", Last: true}, Body: []byte("b"), Rejects: []row.Reject{{Code: "c", Index: 1}},
		Rows:    []row.Row{{Cells: []row.Cell{row.Null(), row.Float64(math.NaN()), c, row.String("s")}}},
		Failure: &row.Failure{Code: "c", Message: "m"},
	})
	empty, _ := row.EncodePage(row.Page{})
	f.Add(full)
	f.Add(empty)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := row.DecodePage(b)
		if err != nil {
			return
		}
		again, err := row.EncodePage(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := row.DecodePage(again)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v: %#v became %#v", err, p, q)
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	c, _ := row.Numeric("-0.5")
	b, _ := row.EncodeRow(row.Row{Cells: []row.Cell{row.Int64(-1), c, row.Bytes([]byte{1}), row.JSON("1"), row.Bool(true)}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := row.DecodeRow(b)
		if err != nil {
			return
		}
		again, _ := row.EncodeRow(r)
		q, err := row.DecodeRow(again)
		if err != nil || !reflect.DeepEqual(r, q) {
			t.Fatalf("%v: %#v became %#v", err, r, q)
		}
		for _, cell := range r.Cells {
			_ = cell.Text()
			_ = cell.AppendKey(nil)
		}
	})
}

func BenchmarkCoder(b *testing.B) {
	_, r := oneOfEach(b)
	page := row.Page{Rows: make([]row.Row, 1000)}
	for i := range page.Rows {
		page.Rows[i] = r
	}
	b.ReportAllocs()
	for b.Loop() {
		data, err := row.EncodePage(page)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := row.DecodePage(data); err != nil {
			b.Fatal(err)
		}
	}
}
