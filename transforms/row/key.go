package row

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// AppendKey appends an unambiguous canonical form of the cell: equal values have equal
// keys and different values or types never do.
func (c Cell) AppendKey(dst []byte) []byte {
	text := c.Text()
	if v, ok := c.AsFloat64(); ok && v == 0 {
		text = "0" // SQL holds 0 and -0 equal
	}
	dst = append(dst, byte('a'+c.kind))
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, ':')
	return append(dst, text...)
}

// Key returns the canonical key of the cells at the given places. Use it wherever a
// Beam key is needed; a Row is never a key.
func (r Row) Key(places []int) string {
	var b []byte
	for _, i := range places {
		b = r.Cells[i].AppendKey(b)
	}
	return string(b)
}

// InsertID returns 32 hex digits of SHA-256 over the parts, each length-prefixed. It is
// the `_row_id` of a row and its insertId.
func InsertID(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(p)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])[:32]
}
