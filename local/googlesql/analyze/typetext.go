package analyze

import (
	"fmt"
	"strconv"
	"strings"
)

// Type is a GoogleSQL type taken apart. Name is the upper-case name without
// parameters, for example INT64, ARRAY or STRUCT.
type Type struct {
	Name   string
	Elem   *Type   // of an ARRAY or RANGE
	Fields []Field // of a STRUCT
	Params string  // the text between parentheses, for example "10,2"
}

// Field is one field of a STRUCT; Name is empty when it has none.
type Field struct {
	Name string
	Type *Type
}

var typeAliases = map[string]string{
	"INT": "INT64", "INTEGER": "INT64", "BIGINT": "INT64", "SMALLINT": "INT64",
	"TINYINT": "INT64", "BYTEINT": "INT64", "DECIMAL": "NUMERIC",
	"BIGDECIMAL": "BIGNUMERIC", "BOOLEAN": "BOOL", "DOUBLE": "FLOAT64",
	"FLOAT": "FLOAT64", "RECORD": "STRUCT",
}

var typeNames = map[string]bool{
	"INT64": true, "FLOAT64": true, "BOOL": true, "STRING": true, "BYTES": true,
	"NUMERIC": true, "BIGNUMERIC": true, "DATE": true, "DATETIME": true,
	"TIME": true, "TIMESTAMP": true, "JSON": true, "INTERVAL": true,
	"GEOGRAPHY": true, "ARRAY": true, "STRUCT": true, "RANGE": true,
}

// ParseType reads GoogleSQL type text such as ARRAY<STRUCT<k STRING, v INT64>>.
func ParseType(text string) (*Type, error) {
	p := &typeParser{in: text}
	t, err := p.parseType()
	if err == nil && p.peek() != 0 {
		err = fmt.Errorf("unexpected %q", p.in[p.pos:])
	}
	if err != nil {
		return nil, fmt.Errorf("reading type %q: %w", text, err)
	}
	return t, nil
}

// String is the type as GoogleSQL text, in the spelling BigQuery uses.
func (t *Type) String() string {
	switch t.Name {
	case "ARRAY", "RANGE":
		return t.Name + "<" + t.Elem.String() + ">"
	case "STRUCT":
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = f.Type.String()
			if f.Name != "" {
				parts[i] = quoteField(f.Name) + " " + parts[i]
			}
		}
		return "STRUCT<" + strings.Join(parts, ", ") + ">"
	}
	if t.Params != "" {
		return t.Name + "(" + t.Params + ")"
	}
	return t.Name
}

func quoteField(name string) string {
	for i := 0; i < len(name); i++ {
		if !isWord(name[i]) {
			return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
		}
	}
	return name
}

type typeParser struct {
	in  string
	pos int
}

func (p *typeParser) peek() byte {
	for p.pos < len(p.in) && (p.in[p.pos] == ' ' || p.in[p.pos] == '\n' || p.in[p.pos] == '\t') {
		p.pos++
	}
	if p.pos == len(p.in) {
		return 0
	}
	return p.in[p.pos]
}

func (p *typeParser) expect(c byte) error {
	if p.peek() != c {
		return fmt.Errorf("expected %q at offset %d", c, p.pos)
	}
	p.pos++
	return nil
}

// word reads an identifier; quoted reports whether it stood in backticks.
func (p *typeParser) word() (text string, quoted bool) {
	if p.peek() == '`' {
		end := p.pos + 1
		for end < len(p.in) && p.in[end] != '`' {
			if p.in[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(p.in) {
			return "", true
		}
		text = unescapeName(p.in[p.pos+1 : end])
		p.pos = end + 1
		return text, true
	}
	start := p.pos
	for p.pos < len(p.in) && isWord(p.in[p.pos]) {
		p.pos++
	}
	return p.in[start:p.pos], false
}

// unescapeName reads the inside of backticks.
func unescapeName(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	plain := strings.NewReplacer(`\\`, `\\`, "\\`", "`", `\'`, "'", `\?`, "?", `\"`, `\"`, `"`, `\"`).Replace(text)
	name, err := strconv.Unquote(`"` + plain + `"`)
	if err != nil {
		return text
	}
	return name
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (p *typeParser) parseType() (*Type, error) {
	name, quoted := p.word()
	if name == "" || quoted {
		return nil, fmt.Errorf("expected a type name at offset %d", p.pos)
	}
	t := &Type{Name: strings.ToUpper(name)}
	if full, ok := typeAliases[t.Name]; ok {
		t.Name = full
	}
	if !typeNames[t.Name] {
		return nil, fmt.Errorf("type not found: %s", name)
	}
	switch t.Name {
	case "ARRAY", "RANGE":
		return t, p.parseElem(t)
	case "STRUCT":
		return t, p.parseFields(t)
	}
	if p.peek() == '(' {
		end := strings.IndexByte(p.in[p.pos:], ')')
		if end < 0 {
			return nil, fmt.Errorf("missing ) after offset %d", p.pos)
		}
		t.Params = strings.ReplaceAll(p.in[p.pos+1:p.pos+end], " ", "")
		p.pos += end + 1
	}
	return t, nil
}

func (p *typeParser) parseElem(t *Type) error {
	if err := p.expect('<'); err != nil {
		return err
	}
	elem, err := p.parseType()
	if err != nil {
		return err
	}
	t.Elem = elem
	return p.expect('>')
}

func (p *typeParser) parseFields(t *Type) error {
	if err := p.expect('<'); err != nil {
		return err
	}
	for p.peek() != '>' {
		f, err := p.parseField()
		if err != nil {
			return err
		}
		t.Fields = append(t.Fields, f)
		if p.peek() != ',' {
			break
		}
		p.pos++
	}
	return p.expect('>')
}

// parseField reads "name TYPE" or "TYPE": a word followed by another word or a
// quote is a name.
func (p *typeParser) parseField() (Field, error) {
	start := p.pos
	name, quoted := p.word()
	next := p.peek()
	if quoted || next == '`' || isWord(next) && next != 0 {
		ft, err := p.parseType()
		return Field{Name: name, Type: ft}, err
	}
	p.pos = start
	ft, err := p.parseType()
	return Field{Type: ft}, err
}
