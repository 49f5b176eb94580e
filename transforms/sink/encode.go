package sink

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/transforms/row"
)

const (
	maxPayload = 10000 // characters of a rejected record that are kept
	maxReason  = 1000
)

var idPlaceholder = strings.Repeat("0", idDigits)

// chunk gathers consecutive pages of one partition as newline-delimited JSON. A line
// holds the chunk's id, which is a hash of all lines: it is written into a gap of fixed
// length once they are there.
type chunk struct {
	unit   row.Unit
	ref    ChunkRef
	began  time.Time
	buf    []byte
	gaps   []int // offsets of the id in buf
	prefix []byte
	ended  bool // its load has ended
}

func newChunk(u row.Unit, p row.Position, buf []byte, now time.Time) *chunk {
	c := &chunk{unit: u, began: now, buf: buf[:0], ref: ChunkRef{
		Unit: u.ID, Partition: p.Partition, Pass: p.Pass, First: p.First, Index: p.Index, Start: now.UnixMicro(),
	}}
	c.prefix = append(c.prefix, `","`+columnPart+`":`...)
	c.prefix = appendText(c.prefix, p.Partition)
	return c
}

// open starts a line up to, and without, its first column after the partition.
func (c *chunk) open(kind string) {
	c.buf = append(c.buf, `{"`+columnKind+`":"`...)
	c.buf = append(c.buf, kind...)
	c.buf = append(c.buf, `","`+columnChunk+`":"`...)
	c.gaps = append(c.gaps, len(c.buf))
	c.buf = append(c.buf, idPlaceholder...)
	c.buf = append(c.buf, c.prefix...)
}

func (c *chunk) number(name string, v int64) {
	c.name(name)
	c.buf = append(c.buf, '"')
	c.buf = strconv.AppendInt(c.buf, v, 10)
	c.buf = append(c.buf, '"')
}

func (c *chunk) text(name, v string) {
	c.name(name)
	c.buf = appendText(c.buf, v)
}

func (c *chunk) name(name string) {
	c.buf = append(c.buf, ',', '"')
	c.buf = append(c.buf, name...)
	c.buf = append(c.buf, '"', ':')
}

// addRow appends a row that will be published.
func (c *chunk) addRow(s row.Schema, r row.Row, at position) {
	c.open(kindRow)
	c.number(columnPage, at.page)
	c.number(columnIndex, at.index)
	c.text(columnRowID, at.rowID)
	start := len(c.buf)
	c.buf = s.AppendJSON(c.buf, r)
	if len(c.buf) == start+len("{}") {
		c.buf = append(c.buf[:start], '}')
	} else {
		c.buf[start] = ','
	}
	oneLine(c.buf[start:])
	c.buf = append(c.buf, '\n')
	c.ref.RowsOut++
}

// oneLine makes the insignificant line breaks of a provider's JSON blanks: inside a JSON
// string they are escaped, so no value changes.
func oneLine(b []byte) {
	for i := bytes.IndexByte(b, '\n'); i >= 0; i = bytes.IndexByte(b, '\n') {
		b[i] = ' '
		b = b[i+1:]
	}
}

// addReject appends a record that only the dead-letter table will see.
func (c *chunk) addReject(r row.Reject, page int64) {
	c.open(kindReject)
	c.number(columnPage, page)
	c.number(columnIndex, r.Index)
	c.text(columnCode, r.Code)
	c.text(columnStep, r.Step)
	c.text(columnReason, clip(r.Reason, maxReason))
	c.text(columnPayload, clip(r.Payload, maxPayload))
	c.buf = append(c.buf, '}', '\n')
	c.ref.Rejected++
}

// seal appends the bookkeeping line, so that data and position are loaded together, and
// hashes the chunk. Its id follows from that when its load is known.
func (c *chunk) seal() {
	c.open(kindChunk)
	r := &c.ref
	c.text(columnPass, r.Pass)
	c.number(columnPage, r.Index)
	c.text(columnFirst, r.First)
	c.text(columnNext, r.Next)
	c.name(columnLast)
	c.buf = strconv.AppendBool(c.buf, r.Last)
	c.number(columnPages, r.Pages)
	c.number(columnRowsIn, r.RowsIn)
	c.number(columnRowsOut, r.RowsOut)
	c.number(columnRejected, r.Rejected)
	c.buf = append(c.buf, '}', '\n')
	r.ID = hashBytes(idDigits, c.buf, unitKey(c.unit), r.Pass, r.Partition, r.First)
}

// identify writes the id of the chunk within a load into its lines: equal chunks of different
// loads are different, as both loads may take effect.
func (c *chunk) identify(load string) {
	c.ref.ID = hashHex(idDigits, c.ref.ID, load)
	for _, at := range c.gaps {
		copy(c.buf[at:], c.ref.ID)
	}
}

// appendText appends a JSON string; what is not UTF-8 is replaced, as the warehouse
// would refuse the whole load for it.
func appendText(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err == nil {
		return out
	}
	out, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	return out
}

// clip keeps the first characters of s.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i]
		}
		n++
	}
	return s
}
