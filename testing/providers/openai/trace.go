package openai

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

// traceRow is one real request.
type traceRow struct {
	index     int  // position in arrival order over both files
	code      bool // from the coding service, else from the conversation service
	timeOfDay time.Duration
	context   int64
	generated int64
}

// trace returns the rows of both files in arrival order. The files are part of
// the binary, so an error means that they were changed.
var trace = sync.OnceValues(func() ([]traceRow, error) {
	rows, err := readTrace("testdata/AzureLLMInferenceTrace_code.csv", true)
	if err != nil {
		return nil, err
	}
	conversation, err := readTrace("testdata/AzureLLMInferenceTrace_conv.csv", false)
	if err != nil {
		return nil, err
	}
	rows = append(rows, conversation...)
	slices.SortStableFunc(rows, func(a, b traceRow) int { return cmp.Compare(a.timeOfDay, b.timeOfDay) })
	for i := range rows {
		rows[i].index = i
	}
	return rows, nil
})

func readTrace(name string, code bool) ([]traceRow, error) {
	file, err := traceFiles.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open trace %s: %w", name, err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", name, err)
	}
	rows := make([]traceRow, 0, len(records)-1)
	for i, record := range records[1:] {
		row, err := parseTraceRow(record)
		if err != nil {
			return nil, fmt.Errorf("read trace %s, row %d: %w", name, i+1, err)
		}
		row.code = code
		rows = append(rows, row)
	}
	return rows, nil
}

func parseTraceRow(record []string) (traceRow, error) {
	at, err := time.Parse("2006-01-02 15:04:05.999999999", record[0])
	if err != nil {
		return traceRow{}, err
	}
	context, err := strconv.ParseInt(record[1], 10, 64)
	if err != nil {
		return traceRow{}, err
	}
	generated, err := strconv.ParseInt(record[2], 10, 64)
	if err != nil {
		return traceRow{}, err
	}
	return traceRow{timeOfDay: at.Sub(at.Truncate(24 * time.Hour)), context: context, generated: generated}, nil
}
