package load

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// CSVOptions describe a CSV file. The zero value means commas, double quotes
// and no header.
type CSVOptions struct {
	Delimiter       string
	Quote           *string
	SkipLeadingRows int
	NullMarker      string
	AllowJagged     bool
}

// csvCell is one cell; a quoted cell is never NULL.
type csvCell struct {
	text   string
	quoted bool
}

// CSV decodes comma-separated rows into sink, like NDJSON. Quoted cells may
// hold line ends.
func CSV(ctx context.Context, data []byte, o Options, sink Sink) (*Result, error) {
	delimiter, quote := byte(','), byte('"')
	if o.CSV.Delimiter != "" {
		delimiter = o.CSV.Delimiter[0]
	}
	if o.CSV.Quote != nil {
		quote = 0
		if *o.CSV.Quote != "" {
			quote = (*o.CSV.Quote)[0]
		}
	}
	p := &csvParser{data: data, delimiter: delimiter, quote: quote, line: 1}
	result := &Result{}
	for index := 0; p.pos < len(p.data); index++ {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("loading rows: %w", err)
		}
		at := RowError{Line: p.line, Offset: int64(p.pos)}
		cells, fieldErr := p.record()
		if index < o.CSV.SkipLeadingRows || len(cells) == 1 && cells[0] == (csvCell{}) && len(o.Fields) > 1 {
			continue
		}
		var row []driver.Value
		if fieldErr == nil {
			row, fieldErr = csvRow(cells, o)
		}
		if fieldErr == nil && o.Check != nil {
			fieldErr = o.Check(row)
		}
		if fieldErr != nil {
			at.Err = fieldErr
			if result.Bad = append(result.Bad, at); result.TooManyErrors(o) {
				return result, nil
			}
			continue
		}
		if err := sink.AppendRow(o.complete(row)...); err != nil {
			return nil, fmt.Errorf("appending row %d: %w", result.Rows+1, err)
		}
		result.Rows++
	}
	return result, nil
}

type csvParser struct {
	data             []byte
	pos              int
	line             int64
	delimiter, quote byte
}

// record reads the cells up to the end of a line.
func (p *csvParser) record() ([]csvCell, *FieldError) {
	var cells []csvCell
	for {
		cell, fieldErr := p.cell()
		cells = append(cells, cell)
		if fieldErr != nil {
			p.skipLine()
			return cells, fieldErr
		}
		if p.pos >= len(p.data) {
			return cells, nil
		}
		c := p.data[p.pos]
		p.pos++
		if c == p.delimiter {
			continue
		}
		if c == '\r' && p.pos < len(p.data) && p.data[p.pos] == '\n' {
			p.pos++
		}
		p.line++
		return cells, nil
	}
}

// cell reads one cell and stops on the delimiter or line end behind it.
func (p *csvParser) cell() (csvCell, *FieldError) {
	if p.quote != 0 && p.pos < len(p.data) && p.data[p.pos] == p.quote {
		return p.quotedCell()
	}
	start := p.pos
	for p.pos < len(p.data) && !p.ends(p.data[p.pos]) {
		p.pos++
	}
	return csvCell{text: string(p.data[start:p.pos])}, nil
}

func (p *csvParser) ends(c byte) bool { return c == p.delimiter || c == '\n' || c == '\r' }

func (p *csvParser) quotedCell() (csvCell, *FieldError) {
	var text []byte
	for p.pos++; p.pos < len(p.data); p.pos++ {
		c := p.data[p.pos]
		if c == '\n' {
			p.line++
		}
		if c != p.quote {
			text = append(text, c)
			continue
		}
		if p.pos+1 < len(p.data) && p.data[p.pos+1] == p.quote {
			text = append(text, c)
			p.pos++
			continue
		}
		p.pos++
		if p.pos < len(p.data) && !p.ends(p.data[p.pos]) {
			return csvCell{}, &FieldError{Message: "Data between close quote character (\") and field separator"}
		}
		return csvCell{text: string(text), quoted: true}, nil
	}
	return csvCell{}, &FieldError{Message: "Missing close quote character (\")"}
}

func (p *csvParser) skipLine() {
	for p.pos < len(p.data) && p.data[p.pos] != '\n' {
		p.pos++
	}
	p.pos++
	p.line++
}

func csvRow(cells []csvCell, o Options) ([]driver.Value, *FieldError) {
	if len(cells) > len(o.Fields) && !o.IgnoreUnknown {
		return nil, &FieldError{Message: fmt.Sprintf("Too many values in row starting with %q: %d cells for %d columns", cells[0].text, len(cells), len(o.Fields))}
	}
	if len(cells) < len(o.Fields) && !o.CSV.AllowJagged {
		return nil, &FieldError{Message: fmt.Sprintf("CSV table references column position %d, but line contains only %d columns.", len(o.Fields)-1, len(cells))}
	}
	row := make([]driver.Value, len(o.Fields))
	for i := range o.Fields {
		f := &o.Fields[i]
		var v any
		if i < len(cells) {
			var fieldErr *FieldError
			if v, fieldErr = csvValue(f, cells[i], o.CSV.NullMarker); fieldErr != nil {
				return nil, fieldErr
			}
		}
		if v == nil && f.Required() {
			return nil, badValue(f, f.Name, "", fmt.Sprintf("Required column value for column %s is missing", f.Name))
		}
		row[i] = v
	}
	return row, nil
}

func csvValue(f *wire.Field, c csvCell, nullMarker string) (any, *FieldError) {
	if f.Repeated() || f.Type == "RECORD" {
		return nil, badValue(f, f.Name, c.text, fmt.Sprintf("Unsupported field type for CSV: %s is %s %s", f.Name, f.Mode, f.Type))
	}
	if !c.quoted && c.text == nullMarker {
		return nil, nil
	}
	if nullMarker != "" && c.text == nullMarker {
		return nil, nil
	}
	if f.Type == "JSON" {
		return jsonValue(f, f.Name, []byte(c.text), false)
	}
	return fromText(f, f.Name, c.text, false)
}
