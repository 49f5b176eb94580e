package load

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"runtime"
	"slices"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// Sink takes rows in order; *duckdb.Appender is one.
type Sink interface {
	AppendRow(values ...driver.Value) error
}

// Options of a load.
type Options struct {
	Fields        []wire.Field
	IgnoreUnknown bool
	// MaxBad is how many bad rows are skipped before the load fails.
	MaxBad int
	// Check refuses a decoded row, for example one outside the partition;
	// nil accepts all.
	Check func(row []driver.Value) *FieldError
	// Prefix stands before every row: hidden columns of the relation.
	Prefix []driver.Value
	CSV    CSVOptions
}

// RowError is a bad row: its one-based line, the offset at which it starts,
// and what is wrong with it.
type RowError struct {
	Line   int64
	Offset int64
	Err    *FieldError
}

// Result counts what a load did.
type Result struct {
	Rows int64
	Bad  []RowError
}

// TooManyErrors reports whether the load must fail.
func (r *Result) TooManyErrors(o Options) bool { return len(r.Bad) > o.MaxBad }

const blockSize = 512 << 10

// block is a run of whole lines and its decoded rows.
type block struct {
	data   []byte
	line   int64
	offset int64
	rows   [][]driver.Value
	bad    []RowError
	done   chan struct{}
}

// NDJSON decodes newline-delimited JSON objects into sink. It decodes ahead on
// all processors and appends in order. It stops early once more than MaxBad
// rows are bad; the caller then rolls back. The error is the sink's or ctx's.
func NDJSON(ctx context.Context, data []byte, o Options, sink Sink) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := max(2, runtime.GOMAXPROCS(0))
	work, ordered := make(chan *block), make(chan *block, 2*workers)
	for range workers {
		go func() {
			d := NewDecoder(o.Fields, DecoderOptions{IgnoreUnknown: o.IgnoreUnknown})
			for b := range work {
				b.decode(d, o)
				close(b.done)
			}
		}()
	}
	go func() {
		defer close(work)
		defer close(ordered)
		split(ctx, data, work, ordered)
	}()
	result := &Result{}
	for b := range ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("loading rows: %w", ctx.Err())
		}
		if err := result.take(b, sink); err != nil {
			return nil, err
		}
		if result.TooManyErrors(o) {
			return result, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("loading rows: %w", err)
	}
	return result, nil
}

// split cuts data at line ends and hands each block to the workers and, in the
// same order, to the consumer.
func split(ctx context.Context, data []byte, work, ordered chan<- *block) {
	var line, offset int64 = 1, 0
	for len(data) > 0 {
		end := len(data)
		if end > blockSize {
			end = blockSize
			if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
				end += i + 1
			} else {
				end = len(data)
			}
		}
		b := &block{data: data[:end], line: line, offset: offset, done: make(chan struct{})}
		line += int64(bytes.Count(b.data, []byte{'\n'}))
		offset += int64(end)
		data = data[end:]
		for _, out := range []chan<- *block{ordered, work} {
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (b *block) decode(d *Decoder, o Options) {
	data, line, offset := b.data, b.line, b.offset
	b.rows = make([][]driver.Value, 0, len(data)/128)
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		next := end + 1
		if end < 0 {
			end, next = len(data), len(data)
		}
		if text := bytes.TrimSpace(data[:end]); len(text) > 0 {
			b.add(d, text, o, RowError{Line: line, Offset: offset})
		}
		line++
		offset += int64(next)
		data = data[next:]
	}
}

func (b *block) add(d *Decoder, text []byte, o Options, at RowError) {
	row, fieldErr := d.Row(text)
	if fieldErr == nil && o.Check != nil {
		fieldErr = o.Check(row)
	}
	if fieldErr != nil {
		at.Err = fieldErr
		b.bad = append(b.bad, at)
		return
	}
	b.rows = append(b.rows, o.complete(row))
}

func (o Options) complete(row []driver.Value) []driver.Value {
	if len(o.Prefix) == 0 {
		return row
	}
	return slices.Concat(o.Prefix, row)
}

func (r *Result) take(b *block, sink Sink) error {
	r.Bad = append(r.Bad, b.bad...)
	for _, row := range b.rows {
		if err := sink.AppendRow(row...); err != nil {
			return fmt.Errorf("appending row %d: %w", r.Rows+1, err)
		}
		r.Rows++
	}
	b.rows = nil
	return nil
}
