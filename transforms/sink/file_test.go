package sink_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

// intoFile are options of a step that writes a file into a folder of the test.
func intoFile(t *testing.T, path, format string, units ...row.Unit) (sink.Options, string) {
	t.Helper()
	dir := t.TempDir()
	sink.UseFiles(func(org string) (string, error) {
		if org != "acme" {
			return "", fmt.Errorf("org is %q", org)
		}
		return dir, nil
	})
	t.Cleanup(func() { sink.UseFiles(nil) })
	o := options("", units...)
	o.Table = sink.Table{Location: "US", Dataset: dataset, Schema: usageSchema()}
	o.File = sink.File{Path: path, Format: format}
	return o, dir
}

func wantFolder(t *testing.T, dir string, want ...string) {
	t.Helper()
	got := []string{}
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			got = append(got, name)
		}
		return err
	})
	wantLines(t, got, want...)
}

func twoDays() ([]row.Unit, []row.Page) {
	units := []row.Unit{dayUnit(1, 1), dayUnit(2, 1)}
	empty := usageRow(1, "", "0.1")
	empty.Cells[1] = row.Null()
	return units, slices.Concat(
		partition(units[1], "a", 1, usageRow(2, "c", "3"), usageRow(2, "d", "4.000000001")),
		partition(units[0], "b", 2, usageRow(1, `with "quotes", and a comma`, "-2.5")),
		partition(units[0], "a", 2, usageRow(1, "a", "1"), empty),
	)
}

func TestAFileHoldsTheRowsInTheOrderOfUnitsPartitionsAndPages(t *testing.T) {
	for format, want := range map[string]string{
		"jsonl": `{"usage_date":"2025-11-01","model":"a","cost":"1","raw":{"tokens":12}}` + "\n" +
			`{"usage_date":"2025-11-01","cost":"0.1","raw":{"tokens":12}}` + "\n" +
			`{"usage_date":"2025-11-01","model":"with \"quotes\", and a comma","cost":"-2.5","raw":{"tokens":12}}` + "\n" +
			`{"usage_date":"2025-11-02","model":"c","cost":"3","raw":{"tokens":12}}` + "\n" +
			`{"usage_date":"2025-11-02","model":"d","cost":"4.000000001","raw":{"tokens":12}}` + "\n",
		"csv": "usage_date,model,cost,raw\n" +
			"2025-11-01,a,1,\"{\n\"\"tokens\"\": 12}\"\n2025-11-01,,0.1,\"{\n\"\"tokens\"\": 12}\"\n" +
			"2025-11-01,\"with \"\"quotes\"\", and a comma\",-2.5,\"{\n\"\"tokens\"\": 12}\"\n" +
			"2025-11-02,c,3,\"{\n\"\"tokens\"\": 12}\"\n2025-11-02,d,4.000000001,\"{\n\"\"tokens\"\": 12}\"\n",
	} {
		t.Run(format, func(t *testing.T) {
			units, pages := twoDays()
			o, dir := intoFile(t, "out/usage."+format, format, units...)
			r := newBench(t).write(o, pages...)
			wantState(t, r, sink.StateCompleted, "")
			if r.Published != 5 || r.Staged != 5 || r.Table != "out/usage."+format {
				t.Errorf("result is %+v", r)
			}
			wantFolder(t, dir, "out/usage."+format)
			got, err := os.ReadFile(filepath.Join(dir, "out", "usage."+format))
			if err != nil || string(got) != want {
				t.Errorf("%v: the file holds\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

func TestAParquetFileHoldsExactValues(t *testing.T) {
	units, pages := twoDays()
	o, dir := intoFile(t, "usage.parquet", "parquet", units...)
	wantState(t, newBench(t).write(o, pages...), sink.StateCompleted, "")
	b, err := os.ReadFile(filepath.Join(dir, "usage.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	records := array.NewTableReader(table, -1)
	defer records.Release()
	var lines []string
	for records.Next() {
		record := records.RecordBatch()
		for i := range int(record.NumRows()) {
			lines = append(lines, strings.Join([]string{record.Column(0).ValueStr(i), record.Column(1).ValueStr(i), record.Column(2).ValueStr(i)}, " "))
		}
	}
	wantLines(t, lines, "2025-11-01 a 1", "2025-11-01 (null) 0.1", `2025-11-01 with "quotes", and a comma -2.5`, "2025-11-02 c 3", "2025-11-02 d 4.000000001")
}

func TestAFailedUnitLeavesTheFileAsItWas(t *testing.T) {
	for name, spoil := range map[string]func(*sink.Options, []row.Page) []row.Page{
		"a partition fails": func(_ *sink.Options, p []row.Page) []row.Page {
			p[0].Failure = &row.Failure{Code: "HTTP_STATUS", Message: "500"}
			return p
		},
		"a page is missing": func(_ *sink.Options, p []row.Page) []row.Page { return p[1:] },
		"a unit is missing": func(_ *sink.Options, p []row.Page) []row.Page { return p[2:] },
		"too many rejects": func(_ *sink.Options, p []row.Page) []row.Page {
			p[0].Rejects = []row.Reject{{Code: "INVALID_VALUE", Payload: "{}"}}
			return p
		},
		"a row is cut short": func(_ *sink.Options, p []row.Page) []row.Page { p[0].Rows[0].Cells = p[0].Rows[0].Cells[:2]; return p },
	} {
		t.Run(name, func(t *testing.T) {
			units, pages := twoDays()
			o, dir := intoFile(t, "usage.jsonl", "jsonl", units...)
			if err := os.WriteFile(filepath.Join(dir, "usage.jsonl"), []byte("old\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			pages = spoil(&o, pages)
			if r := newBench(t).write(o, pages...); r.State != sink.StateFailed || r.Published != 0 {
				t.Errorf("result is %+v", r)
			}
			wantFolder(t, dir, "usage.jsonl")
			if got, _ := os.ReadFile(filepath.Join(dir, "usage.jsonl")); string(got) != "old\n" {
				t.Errorf("the file holds %q", got)
			}
		})
	}
}

func TestRejectsOfAFileReachTheDeadLetterTable(t *testing.T) {
	units, pages := twoDays()
	o, _ := intoFile(t, "usage.jsonl", "jsonl", units...)
	o.MaxRejectedRows = 1
	pages[0].Rejects = []row.Reject{{Code: "INVALID_VALUE", Step: "decode", Reason: "no number", Payload: `{"cost":"x"}`, Index: 7}}
	b := newBench(t)
	for range 2 {
		r := b.write(o, pages...)
		wantState(t, r, sink.StateCompleted, "")
		if r.Counts.Rows != 6 || r.Counts.Rejected != 1 || r.Published != 5 {
			t.Errorf("counts are %+v, published %d", r.Counts, r.Published)
		}
		wantLines(t, b.lines("SELECT code, source_table, raw_data FROM `"+dataset+".pipeline_dlq`"), `INVALID_VALUE usage.jsonl {"cost":"x"}`)
	}
}

func TestAFileStaysWithinItsFolder(t *testing.T) {
	u := dayUnit(1, 1)
	elsewhere := t.TempDir()
	for _, path := range []string{"../usage.jsonl", "/etc/usage.jsonl", ".", "link/usage.jsonl", filepath.Join(elsewhere, "usage.jsonl")} {
		o, dir := intoFile(t, path, "jsonl", u)
		if err := os.Symlink(elsewhere, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		r := newBench(t).write(o, partition(u, "a", 9, usageRow(1, "x", "1"))...)
		wantState(t, r, sink.StateFailed, sink.CodeFile)
		wantFolder(t, elsewhere, []string{}...)
	}
	o, _ := intoFile(t, "usage.jsonl", "jsonl", u)
	sink.UseFiles(nil)
	wantState(t, newBench(t).write(o, partition(u, "a", 9, usageRow(1, "x", "1"))...), sink.StateFailed, sink.CodeFile)
}
