package sink

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/cloudact/convergence/transforms/row"
)

// fileFormat is how rows stand in a spool and how a file is made of them.
type fileFormat interface {
	appendRow(dst []byte, s row.Schema, r row.Row) ([]byte, error)
	// assemble writes the file; sections calls its argument with one part after another.
	assemble(out io.Writer, s row.Schema, sections func(func(*bufio.Reader) error) error) error
}

var formats = map[string]fileFormat{"jsonl": jsonLines{}, "csv": csvLines{}, "parquet": parquetFile{}}

// jsonLines is one object a line, INT64 and NUMERIC as text, NULL left out.
type jsonLines struct{}

func (jsonLines) appendRow(dst []byte, s row.Schema, r row.Row) ([]byte, error) {
	return append(s.AppendJSON(dst, r), '\n'), nil
}

func (jsonLines) assemble(out io.Writer, _ row.Schema, sections func(func(*bufio.Reader) error) error) error {
	return sections(func(in *bufio.Reader) error {
		_, err := in.WriteTo(out)
		return err
	})
}

// csvLines is RFC 4180 with a header; NULL and the empty text look the same.
type csvLines struct{}

func (csvLines) appendRow(dst []byte, _ row.Schema, r row.Row) ([]byte, error) {
	fields := make([]string, len(r.Cells))
	for i, c := range r.Cells {
		if !c.IsNull() {
			fields[i] = c.Text()
		}
	}
	b := bytes.NewBuffer(dst)
	w := csv.NewWriter(b)
	err := w.Write(fields)
	w.Flush()
	return b.Bytes(), err
}

func (csvLines) assemble(out io.Writer, s row.Schema, sections func(func(*bufio.Reader) error) error) error {
	w := csv.NewWriter(out)
	if err := w.Write(s.Names()); err != nil {
		return err
	}
	if w.Flush(); w.Error() != nil {
		return w.Error()
	}
	return jsonLines{}.assemble(out, s, sections)
}

// parquetFile holds NUMERIC as DECIMAL(38,9), times in microseconds UTC, JSON as text.
type parquetFile struct{}

const (
	groupRows    = 50_000
	numericScale = 9
)

func (parquetFile) appendRow(dst []byte, _ row.Schema, r row.Row) ([]byte, error) {
	b, err := row.EncodeRow(r)
	return framed(dst, b), err
}

func (parquetFile) assemble(out io.Writer, s row.Schema, sections func(func(*bufio.Reader) error) error) error {
	schema := arrowSchema(s)
	properties := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy))
	// The writer would close what it writes to.
	w, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{out}, properties, pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	n := 0
	flush := func() error {
		record := b.NewRecordBatch()
		defer record.Release()
		n = 0
		return w.Write(record)
	}
	err = sections(func(in *bufio.Reader) error {
		return frames(in, func(encoded []byte) error {
			r, err := row.DecodeRow(encoded)
			if err != nil {
				return err
			}
			for i, c := range r.Cells {
				if err := appendCell(b.Field(i), c); err != nil {
					return fmt.Errorf("column %s: %w", s[i].Name, err)
				}
			}
			if n++; n < groupRows {
				return nil
			}
			return flush()
		})
	})
	if err == nil && n > 0 {
		err = flush()
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	return err
}

var arrowTypes = map[row.Type]arrow.DataType{
	row.TypeBool: arrow.FixedWidthTypes.Boolean, row.TypeInt64: arrow.PrimitiveTypes.Int64, row.TypeFloat64: arrow.PrimitiveTypes.Float64,
	row.TypeNumeric: &arrow.Decimal128Type{Precision: 38, Scale: numericScale}, row.TypeString: arrow.BinaryTypes.String, row.TypeBytes: arrow.BinaryTypes.Binary,
	row.TypeDate: arrow.FixedWidthTypes.Date32, row.TypeTimestamp: arrow.FixedWidthTypes.Timestamp_us, row.TypeJSON: arrow.BinaryTypes.String,
}

func arrowSchema(s row.Schema) *arrow.Schema {
	fields := make([]arrow.Field, len(s))
	for i, f := range s {
		fields[i] = arrow.Field{Name: f.Name, Type: arrowTypes[f.Type], Nullable: !f.Required}
	}
	return arrow.NewSchema(fields, nil)
}

func appendCell(b array.Builder, c row.Cell) error {
	if c.IsNull() {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		v, _ := c.AsBool()
		b.Append(v)
	case *array.Int64Builder:
		v, _ := c.AsInt64()
		b.Append(v)
	case *array.Float64Builder:
		v, _ := c.AsFloat64()
		b.Append(v)
	case *array.Decimal128Builder:
		whole, fraction, _ := strings.Cut(c.Text(), ".")
		digits := whole + (fraction + "000000000")[:numericScale]
		v, ok := new(big.Int).SetString(digits, 10)
		if !ok {
			return fmt.Errorf("%q is no NUMERIC", c.Text())
		}
		b.Append(decimal128.FromBigInt(v))
	case *array.StringBuilder:
		text, _ := c.AsText()
		b.Append(text)
	case *array.BinaryBuilder:
		text, _ := c.AsText()
		b.Append([]byte(text))
	case *array.Date32Builder:
		d, _ := c.AsDate()
		b.Append(arrow.Date32FromTime(d.In(time.UTC)))
	case *array.TimestampBuilder:
		t, _ := c.AsTimestamp()
		b.Append(arrow.Timestamp(t.UnixMicro()))
	default:
		return fmt.Errorf("no parquet type for %s", c.Type())
	}
	return nil
}
