package row

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

func init() {
	rowType := reflect.TypeOf((*Row)(nil)).Elem()
	pageType := reflect.TypeOf((*Page)(nil)).Elem()
	beam.RegisterType(rowType)
	beam.RegisterType(pageType)
	beam.RegisterCoder(rowType, EncodeRow, DecodeRow)
	beam.RegisterCoder(pageType, EncodePage, DecodePage)
}

var errShort = errors.New("row coder: input ends early")

// EncodeRow writes arity, then a type tag and the value of each cell.
func EncodeRow(r Row) ([]byte, error) { return appendRow(nil, r), nil }

// DecodeRow reads what EncodeRow wrote; trailing bytes are an error.
func DecodeRow(b []byte) (Row, error) {
	d := decoder{b: b}
	r := d.row()
	return r, d.end()
}

func appendRow(dst []byte, r Row) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.Cells)))
	for _, c := range r.Cells {
		dst = append(dst, byte(c.kind))
		switch c.kind {
		case TypeNull:
		case TypeBool, TypeInt64, TypeFloat64, TypeDate, TypeTimestamp:
			dst = binary.AppendVarint(dst, c.n)
		default:
			dst = appendString(dst, c.s)
		}
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// EncodePage writes a page with its position, rows and rejects.
func EncodePage(p Page) ([]byte, error) {
	var b []byte
	for _, s := range []string{p.Unit, p.Partition, p.Pass, p.First, p.Next} {
		b = appendString(b, s)
	}
	flags := byte(0)
	if p.Last {
		flags |= 1
	}
	if p.Failure != nil {
		flags |= 2
	}
	b = append(b, flags)
	for _, n := range []int64{p.Index, p.FetchedAt, p.Requests} {
		b = binary.AppendVarint(b, n)
	}
	b = appendString(b, string(p.Body))
	b = binary.AppendUvarint(b, uint64(len(p.Rows)))
	for _, r := range p.Rows {
		b = appendRow(b, r)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Rejects)))
	for _, r := range p.Rejects {
		for _, s := range []string{r.Code, r.Step, r.Reason, r.Payload} {
			b = appendString(b, s)
		}
		b = binary.AppendVarint(b, r.Index)
	}
	if p.Failure != nil {
		b = appendString(appendString(b, p.Failure.Code), p.Failure.Message)
	}
	return b, nil
}

// DecodePage reads what EncodePage wrote; trailing bytes are an error.
func DecodePage(b []byte) (Page, error) {
	d := decoder{b: b}
	var p Page
	for _, s := range []*string{&p.Unit, &p.Partition, &p.Pass, &p.First, &p.Next} {
		*s = d.string()
	}
	flags := d.byte()
	p.Last = flags&1 != 0
	for _, n := range []*int64{&p.Index, &p.FetchedAt, &p.Requests} {
		*n = d.varint()
	}
	if body := d.string(); body != "" {
		p.Body = []byte(body)
	}
	p.Rows = make([]Row, 0, d.count())
	for n := cap(p.Rows); n > 0 && d.err == nil; n-- {
		p.Rows = append(p.Rows, d.row())
	}
	p.Rejects = make([]Reject, 0, d.count())
	for n := cap(p.Rejects); n > 0 && d.err == nil; n-- {
		p.Rejects = append(p.Rejects, Reject{
			Code: d.string(), Step: d.string(), Reason: d.string(), Payload: d.string(), Index: d.varint(),
		})
	}
	if flags&2 != 0 {
		p.Failure = &Failure{Code: d.string(), Message: d.string()}
	}
	return p, d.end()
}

// decoder reads from b and remembers the first error, after which it returns zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("row coder: %d bytes too many", len(d.b))
	}
	return d.err
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a length; one that exceeds the bytes left cannot be true.
func (d *decoder) count() int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(len(d.b)-n) {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *decoder) string() string {
	n := d.count()
	if d.err != nil {
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) row() Row {
	n := d.count()
	r := Row{Cells: make([]Cell, 0, n)}
	for ; n > 0 && d.err == nil; n-- {
		c := Cell{kind: Type(d.byte())}
		switch c.kind {
		case TypeNull:
		case TypeBool, TypeInt64, TypeFloat64, TypeDate, TypeTimestamp:
			c.n = d.varint()
		case TypeNumeric, TypeString, TypeBytes, TypeJSON:
			c.s = d.string()
		default:
			d.fail(fmt.Errorf("row coder: unknown type tag %d", c.kind))
		}
		r.Cells = append(r.Cells, c)
	}
	return r
}
