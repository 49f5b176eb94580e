package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cloudact/convergence/transforms/row"
)

// reader turns bodies into rows. It is compiled once per worker and not safe for
// concurrent use. Records are never maps: members go straight into their cells.
type reader struct {
	schema  row.Schema
	layout  layout
	path    []string
	record  map[string][]int
	parent  map[string][]int
	text    []int // columns of the exact text
	fetched []int
	bare    bool // no column needs the members of a record

	// State of the page at hand.
	d        *jsontext.Decoder
	body     string
	template []row.Cell // constants and arrival time
	slab     []row.Cell
	page     *row.Page
	step     string
	records  int64
	missing  bool // an object on the way has no such member
}

func newReader(schema row.Schema, l layout) (*reader, error) {
	if len(l.Columns) != len(schema) || len(schema) == 0 {
		return nil, fmt.Errorf("layout has %d columns, the schema %d", len(l.Columns), len(schema))
	}
	r := &reader{
		schema: schema, layout: l, path: splitPath(l.Records),
		d: jsontext.NewDecoder(new(bytes.Buffer)), record: l.targets(fromRecord), parent: l.targets(fromParent),
	}
	r.bare = len(r.record) == 0
	for i, c := range l.Columns {
		if c.From == fromText {
			r.text = append(r.text, i)
		}
		if c.From == fromFetched {
			r.fetched = append(r.fetched, i)
		}
	}
	return r, nil
}

// read fills the page's rows and rejects from its body. An error means that the body as
// a whole cannot be believed; the page then has no rows.
func (r *reader) read(page *row.Page, constants []row.Cell, step string) error {
	r.page, r.step, r.records, r.missing = page, step, 0, false
	r.body = string(page.Body)
	r.d.Reset(bytes.NewBuffer(page.Body))
	r.template = append(r.template[:0], constants...)
	for _, i := range r.fetched {
		cell, err := fetchedCell(page.FetchedAt, r.schema[i].Type)
		if err != nil {
			return err
		}
		r.template[i] = cell
	}
	err := r.descend(0)
	if err == nil {
		err = expectEnd(r.d)
	}
	if err == nil && r.missing && !r.layout.MissingEmpty {
		err = failf(codePayload, "the answer has nothing at %q: check data_path", r.layout.Records)
	}
	if err != nil {
		page.Rows, page.Rejects = nil, nil
	}
	return err
}

// descend walks from the root to the records; lists on the way are walked whole.
func (r *reader) descend(level int) error {
	if level == len(r.path) {
		return r.list()
	}
	switch r.d.PeekKind() {
	case '[':
		return r.each(func() error { return r.descend(level) })
	case '{':
		return r.holder(level)
	case 'n':
		return r.d.SkipValue()
	default:
		r.missing = true
		return r.d.SkipValue()
	}
}

// list reads the records: the elements of a list, or one object.
func (r *reader) list() error {
	switch r.d.PeekKind() {
	case '[':
		return r.each(r.one)
	case 'n':
		return r.d.SkipValue()
	default:
		return r.one()
	}
}

func (r *reader) each(element func() error) error {
	if _, err := r.d.ReadToken(); err != nil {
		return err
	}
	for r.d.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := r.d.ReadToken()
	return err
}

// holder reads an object on the way. Its own members may fill columns of the rows
// below it, whichever comes first in the text.
func (r *reader) holder(level int) error {
	if _, err := r.d.ReadToken(); err != nil {
		return err
	}
	first := len(r.page.Rows)
	found := false
	var inherited map[int]row.Cell
	for r.d.PeekKind() != '}' {
		name, err := r.name()
		if err != nil {
			return err
		}
		columns := r.parent[name]
		switch {
		case name == r.path[level]:
			found = true
			err = r.descend(level + 1)
		case level == len(r.path)-1 && len(columns) > 0:
			inherited, err = r.inherit(inherited, columns, name)
		default:
			err = r.d.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	if _, err := r.d.ReadToken(); err != nil {
		return err
	}
	r.missing = r.missing || !found
	if level < len(r.path)-1 {
		return nil
	}
	return r.bequeath(inherited, r.page.Rows[first:])
}

// bequeath gives the members of a holder to the rows that were read below it.
func (r *reader) bequeath(inherited map[int]row.Cell, rows []row.Row) error {
	if len(rows) == 0 {
		return nil
	}
	for name, columns := range r.parent {
		for _, i := range columns {
			if cell := inherited[i]; !cell.IsNull() || !r.schema[i].Required {
				for _, written := range rows {
					written.Cells[i] = cell
				}
				continue
			}
			return failf(codePayload, "%s is missing, which column %s needs", name, r.schema[i].Name)
		}
	}
	return nil
}

func (r *reader) inherit(into map[int]row.Cell, columns []int, name string) (map[int]row.Cell, error) {
	value, err := r.value()
	if err != nil {
		return into, err
	}
	if into == nil {
		into = make(map[int]row.Cell, len(r.parent))
	}
	for _, i := range columns {
		if into[i], err = cellOfText(value, r.schema[i].Type); err != nil {
			return into, failf(codePayload, "%s: %s", name, err)
		}
	}
	return into, nil
}

// name reads a member name without allocating where the text has no escapes.
func (r *reader) name() (string, error) {
	value, err := r.value()
	if err != nil {
		return "", err
	}
	return unquote(value)
}

// value reads one value and returns its exact text, which shares the body's memory.
func (r *reader) value() (string, error) {
	raw, err := r.d.ReadValue()
	if err != nil {
		return "", err
	}
	end := r.d.InputOffset()
	return r.body[end-int64(len(raw)) : end], nil
}

// one reads a record into the next row, or into a reject.
func (r *reader) one() error {
	cells := r.nextCells()
	index := r.records
	r.records++
	var start int64
	var bad *cellError
	if r.bare || r.d.PeekKind() != '{' {
		text, err := r.value()
		if err != nil {
			return err
		}
		start = r.d.InputOffset() - int64(len(text))
		if !r.bare {
			bad = &cellError{rejectInvalid, fmt.Sprintf("record %s is not an object", clip(text, 60))}
		}
	} else {
		if _, err := r.d.ReadToken(); err != nil {
			return err
		}
		start = r.d.InputOffset() - 1
		var err error
		if bad, err = r.members(cells); err != nil {
			return err
		}
	}
	exact := r.body[start:r.d.InputOffset()]
	if bad == nil {
		bad = r.complete(cells, exact)
	}
	if bad != nil {
		r.page.Rejects = append(r.page.Rejects, row.Reject{Code: bad.code, Step: r.step, Reason: bad.message, Payload: exact, Index: index})
		return nil
	}
	r.slab = r.slab[len(cells):]
	r.page.Rows = append(r.page.Rows, row.Row{Cells: cells})
	return nil
}

// members reads an object up to and with its end. The first value that does not fit is
// remembered, because the rest still has to be read.
func (r *reader) members(cells []row.Cell) (*cellError, error) {
	var bad *cellError
	for r.d.PeekKind() != '}' {
		name, err := r.name()
		if err != nil {
			return nil, err
		}
		columns := r.record[name]
		if len(columns) == 0 {
			if err := r.d.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		value, err := r.value()
		if err != nil {
			return nil, err
		}
		for _, i := range columns {
			cell, err := cellOfText(value, r.schema[i].Type)
			if err != nil && bad == nil {
				bad = misfit(name, err)
			}
			if !cell.IsNull() || !r.layout.Columns[i].Otherwise {
				cells[i] = cell
			}
		}
	}
	_, err := r.d.ReadToken()
	return bad, err
}

func misfit(name string, err error) *cellError {
	out := &cellError{rejectInvalid, name + ": " + err.Error()}
	var c *cellError
	if errors.As(err, &c) {
		out.code = c.code
	}
	return out
}

// complete adds the exact text and demands what is required; what a parent fills is
// checked by its own type.
func (r *reader) complete(cells []row.Cell, exact string) *cellError {
	for _, i := range r.text {
		if r.schema[i].Type == row.TypeJSON {
			cells[i] = row.JSON(exact)
		} else {
			cells[i] = row.String(exact)
		}
	}
	for i := range r.schema {
		if !r.schema[i].Required || !cells[i].IsNull() || r.layout.Columns[i].From == fromParent {
			continue
		}
		return &cellError{rejectRequired, r.schema[i].Name + ": a required value is missing"}
	}
	return nil
}

const slabRows = 256

// nextCells returns the cells of the next row, filled from the template; they are taken
// from the slab only when the row is kept.
func (r *reader) nextCells() []row.Cell {
	width := len(r.schema)
	if len(r.slab) < width {
		r.slab = make([]row.Cell, width*slabRows)
	}
	cells := r.slab[:width:width]
	copy(cells, r.template)
	return cells
}

// unbelievable turns an error of reading into what a page carries.
func unbelievable(err error) *row.Failure {
	var f *failure
	if errors.As(err, &f) {
		return asFailure(f)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &row.Failure{Code: codeTruncated, Message: "the answer ends in the middle of its JSON"}
	}
	return &row.Failure{Code: codePayload, Message: "the answer is not valid JSON: " + clip(err.Error(), excerptBytes)}
}
