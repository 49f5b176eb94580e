package infer_test

import (
	"strings"
	"testing"

	"github.com/cloudact/convergence/transforms/infer"
)

func TestColumnsOfRecords(t *testing.T) {
	for _, c := range []struct{ name, records, want string }{
		{
			"one record", `{"a": 1, "b": 1.5, "c": true, "d": "x", "e": "2026-01-02T03:04:05+01:00", "f": {"x": 1}, "g": [1], "h": null}`,
			"a INT64, b NUMERIC, c BOOL, d STRING, e TIMESTAMP, f JSON, g JSON, h STRING",
		},
		{
			"beyond the range of a type", `{"a": 9223372036854775808, "b": 1e40, "c": 0.1234567891, "d": "2026-01-02T03:04:05"}`,
			"a NUMERIC, b FLOAT64, c FLOAT64, d STRING",
		},
		{
			"later records widen", `{"a": 1, "b": 1, "c": 1, "d": "2026-01-02T03:04:05Z", "e": null, "f": 1}` + "\n" + `{"a": 1.5, "b": 1e40, "c": "x", "d": "soon", "e": 7, "f": {}, "new": false}`,
			"a NUMERIC, b FLOAT64, c STRING, d STRING, e INT64, f JSON, new BOOL",
		},
		{"no members", `{}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var columns infer.Columns
			for _, record := range strings.Split(c.records, "\n") {
				if err := columns.Add(record); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, f := range columns.Schema() {
				if f.Required {
					t.Errorf("%s is required", f.Name)
				}
				got = append(got, f.Name+" "+f.Type.String())
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("got %s\nwant %s", text, c.want)
			}
		})
	}
	for _, broken := range []string{"", "[1]", `{"a": `, `{"a" 1}`, "x"} {
		if err := new(infer.Columns).Add(broken); err == nil {
			t.Errorf("%q was accepted", broken)
		}
	}
}
