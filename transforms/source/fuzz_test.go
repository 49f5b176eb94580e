package source

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudact/convergence/transforms/row"
)

// FuzzAnswers feeds arbitrary bodies to the position reader and the decoder. Neither may
// panic, and a body that gives rows must be valid JSON whose records are all accounted
// for with their exact text.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"data":[{"results":[{"id":1,"s":"a\u00e9","n":1.5}],"start_time":1740787200}],"next_page":"x","has_more":true}`,
		`{"data":[{"start_time":1,"results":{"id":"7"}}]}`, `{"data":null}`, `[]`, `7`, `{"data":[{"results":[[1],"x",null]}]}`,
		`{"data":[1`, "{\"data\":[{\"results\":[{\"s\":\"\xff\"}]}]}", `{"data":[],"data":[]}`, `{"next_page":{},"has_more":null} `,
		`{"data":[{"results":[{"id":1e400,"n":-0.0000000001,"at":99999999999999}]}]}`,
	} {
		f.Add([]byte(body))
	}
	schema := row.Schema{
		{Name: "id", Type: row.TypeInt64, Required: true},
		{Name: "s", Type: row.TypeString},
		{Name: "n", Type: row.TypeNumeric},
		{Name: "at", Type: row.TypeTimestamp},
		{Name: "raw", Type: row.TypeString},
		{Name: "day", Type: row.TypeDate},
	}
	columns := []column{
		{From: fromRecord, Member: "id"},
		{From: fromRecord, Member: "s"},
		{From: fromRecord, Member: "n"},
		{From: fromRecord, Member: "at"},
		{From: fromText},
		{From: fromParent, Member: "start_time"},
	}
	r, err := newReader(schema, layout{Records: "data.results", Columns: columns})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, positionErr := readStanding(body, paging{Cursor: true, Position: "next_page", More: "has_more", Items: "data"})
		page := row.Page{Body: body}
		if err := r.read(&page, make([]row.Cell, len(schema)), "s"); err != nil {
			if len(page.Rows)+len(page.Rejects) > 0 {
				t.Fatalf("%d rows with error %v", len(page.Rows), err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("decoded what is no JSON (position error %v)", positionErr)
		}
		if int64(len(page.Rows)+len(page.Rejects)) != r.records {
			t.Fatalf("%d rows and %d rejects of %d records", len(page.Rows), len(page.Rejects), r.records)
		}
		for _, written := range page.Rows {
			raw, _ := written.Cells[4].AsText()
			if !json.Valid([]byte(raw)) || !strings.Contains(string(body), raw) || written.Cells[0].IsNull() {
				t.Fatalf("row %#v", written)
			}
		}
	})
}
