// Package trace is two public traces of real LLM requests, and the draws that fill in what
// they leave open. Simulated providers are fed by it; it knows none of them.
package trace

import (
	"cmp"
	"embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

//go:embed testdata/AzureLLMInferenceTrace_code.csv testdata/AzureLLMInferenceTrace_conv.csv
var traceFiles embed.FS

// Row is one real request.
type Row struct {
	Index     int  // position in arrival order over both files
	Code      bool // from the coding service, else from the conversation service
	TimeOfDay time.Duration
	Context   int64 // tokens
	Generated int64 // tokens
}

// Rows returns the rows of both files in arrival order. The files are part of
// the binary, so an error means that they were changed.
var Rows = sync.OnceValues(func() ([]Row, error) {
	rows, err := readTrace("testdata/AzureLLMInferenceTrace_code.csv", true)
	if err != nil {
		return nil, err
	}
	conversation, err := readTrace("testdata/AzureLLMInferenceTrace_conv.csv", false)
	if err != nil {
		return nil, err
	}
	rows = append(rows, conversation...)
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.TimeOfDay, b.TimeOfDay) })
	for i := range rows {
		rows[i].Index = i
	}
	return rows, nil
})

func readTrace(name string, code bool) ([]Row, error) {
	file, err := traceFiles.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open trace %s: %w", name, err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", name, err)
	}
	rows := make([]Row, 0, len(records)-1)
	for i, record := range records[1:] {
		row, err := parseTraceRow(record)
		if err != nil {
			return nil, fmt.Errorf("read trace %s, row %d: %w", name, i+1, err)
		}
		row.Code = code
		rows = append(rows, row)
	}
	return rows, nil
}

func parseTraceRow(record []string) (Row, error) {
	at, err := time.Parse("2006-01-02 15:04:05.999999999", record[0])
	if err != nil {
		return Row{}, err
	}
	context, err := strconv.ParseInt(record[1], 10, 64)
	if err != nil {
		return Row{}, err
	}
	generated, err := strconv.ParseInt(record[2], 10, 64)
	if err != nil {
		return Row{}, err
	}
	return Row{TimeOfDay: at.Sub(at.Truncate(24 * time.Hour)), Context: context, Generated: generated}, nil
}
