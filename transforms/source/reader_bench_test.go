package source

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudact/convergence/transforms/row"
)

var benchSchema = row.Schema{
	{Name: "org_slug", Type: row.TypeString, Required: true},
	{Name: "id", Type: row.TypeString},
	{Name: "project_id", Type: row.TypeString},
	{Name: "api_key_id", Type: row.TypeString},
	{Name: "model", Type: row.TypeString},
	{Name: "input_tokens", Type: row.TypeInt64},
	{Name: "output_tokens", Type: row.TypeInt64},
	{Name: "input_cached_tokens", Type: row.TypeInt64},
	{Name: "num_model_requests", Type: row.TypeInt64},
	{Name: "amount", Type: row.TypeNumeric},
	{Name: "batch", Type: row.TypeBool},
	{Name: "service_tier", Type: row.TypeString},
	{Name: "raw_data", Type: row.TypeString},
}

const benchRecord = `{"id":"usage_%08d","project_id":"proj_k2j4h5k2j3h45","api_key_id":"key_98a7sd98f7a9s8d7","model":"gpt-5-mini-2025-08-07",` +
	`"input_tokens":123456,"output_tokens":7890,"input_cached_tokens":65536,"num_model_requests":42,"amount":0.012345678,"batch":false,` +
	`"service_tier":"default","pad":"%s"}`

// benchBody has n records of 296 bytes each.
func benchBody(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"data":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		bare := len(fmt.Sprintf(benchRecord, i, ""))
		fmt.Fprintf(&b, benchRecord, i, strings.Repeat("x", max(0, 296-bare)))
	}
	b.WriteString(`],"has_more":false,"next_page":null}`)
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("page of %d", n), func(b *testing.B) {
			body := benchBody(n)
			d := Decode{StepID: "s", Schema: benchSchema, Fingerprint: benchSchema.Fingerprint(), Layout: layout{
				Records: "data", Columns: apiColumns(benchSchema, Transform{Flatten: true}),
				Constants: map[string]map[string]Scalar{"u/p": {columnOrg: text("acme")}},
			}}
			if err := d.Setup(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				page := row.Page{Position: row.Position{Unit: "u", Partition: "p"}, Body: body}
				if err := d.reader.read(&page, d.constants["u/p"], "s"); err != nil || len(page.Rows) != n {
					b.Fatal(err, len(page.Rows), len(page.Rejects))
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkPosition(b *testing.B) {
	body := benchBody(1000)
	p := paging{Cursor: true, Position: "next_page", More: "has_more", Items: "data"}
	b.SetBytes(int64(len(body)))
	for range b.N {
		if tooDeep(body, 64) {
			b.Fatal("deep")
		}
		if s, err := readStanding(body, p); err != nil || s.items != 1000 {
			b.Fatal(s, err)
		}
	}
}
