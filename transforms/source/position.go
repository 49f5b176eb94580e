package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// standing is what an answer says about its place in the sequence.
type standing struct {
	next    string // cursor of the next page, "" for none
	present bool   // the position path was in the answer
	more    bool   // has_more: true
	ended   bool   // has_more: false
	items   int    // elements of the list that the limit counts
}

// readStanding reads the position of a whole answer in one pass, without looking at its
// records. A body that ends early is retryable, anything else that is no JSON is not.
func readStanding(body []byte, p paging) (standing, error) {
	position, more, items := newProbe(p.Position), newProbe(p.More), newProbe(p.Items)
	active := []*probe{items}
	if p.Position != "" {
		active = append(active, position)
	}
	if p.More != "" {
		active = append(active, more)
	}
	w := walker{body: body, d: newDecoder(body)}
	if err := w.whole(active); err != nil {
		return standing{}, payloadError(err)
	}
	out := standing{present: position.found, items: items.count}
	switch string(more.raw) {
	case "true":
		out.more = true
	case "false":
		out.ended = true
	case "", "null":
	default:
		return out, failf(codePayload, "%s is %s, not a boolean", p.More, clip(string(more.raw), 40))
	}
	var err error
	out.next, err = cursorText(position.raw, p.Position)
	return out, err
}

// newDecoder is lenient: the decoder of rows checks duplicates and UTF-8.
func newDecoder(body []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

func payloadError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return retryable(codeTruncated, "the answer ends in the middle of its JSON")
	}
	return failf(codePayload, "the answer is not JSON: %s", clip(err.Error(), excerptBytes))
}

// cursorText turns a position value into a cursor; null, empty and false mean the end.
func cursorText(raw []byte, path string) (string, error) {
	switch {
	case len(raw) == 0:
		return "", nil
	case raw[0] == '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", failf(codePayload, "%s is not valid text", path)
		}
		return text, nil
	case raw[0] == 'n', raw[0] == 'f':
		return "", nil
	case raw[0] == '-', raw[0] >= '0' && raw[0] <= '9':
		return string(raw), nil
	case len(bytes.Join(bytes.Fields(raw), nil)) == 2: // {} or []
		return "", nil
	default:
		return "", failf(codePayload, "%s is %s, not a cursor", path, clip(string(raw), 40))
	}
}

// probe looks for one dotted path. Parts match object members, or elements of lists by
// number, -1 for the last.
type probe struct {
	path  []string
	raw   []byte // exact text of the value
	found bool
	count int // elements, if the value is a list
}

func newProbe(path string) *probe { return &probe{path: splitPath(path)} }

// splitPath makes parts of a dotted path; "", "." and "$" are the root.
func splitPath(path string) []string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	if path == "" {
		return nil
	}
	return strings.Split(path, ".")
}

type walker struct {
	body []byte
	d    *jsontext.Decoder
}

// whole walks the one value of the body and demands that nothing follows.
func (w *walker) whole(active []*probe) error {
	if err := w.value(0, active); err != nil {
		return err
	}
	return expectEnd(w.d)
}

func expectEnd(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more than one value in the answer")
		}
		return err
	}
	return nil
}

func (w *walker) value(level int, active []*probe) error {
	if len(active) == 0 {
		return w.d.SkipValue()
	}
	var start int64
	count := 0
	switch w.d.PeekKind() {
	case '{', '[':
		opening, err := w.d.ReadToken()
		if err != nil {
			return err
		}
		start = w.d.InputOffset() - 1
		members := opening.Kind() == '{'
		for ; w.d.PeekKind() != '}' && w.d.PeekKind() != ']'; count++ {
			if err := w.child(level, count, members, active); err != nil {
				return err
			}
		}
		if _, err := w.d.ReadToken(); err != nil {
			return err
		}
		if members {
			count = 0
		}
	default:
		value, err := w.d.ReadValue()
		if err != nil {
			return err
		}
		start = w.d.InputOffset() - int64(len(value))
	}
	for _, p := range active {
		if len(p.path) == level {
			p.raw, p.found, p.count = w.body[start:w.d.InputOffset()], true, count
		}
	}
	return nil
}

func (w *walker) child(level, index int, member bool, active []*probe) error {
	name := strconv.Itoa(index)
	if member {
		token, err := w.d.ReadToken()
		if err != nil {
			return err
		}
		name = token.String()
	}
	var below []*probe
	for _, p := range active {
		if len(p.path) > level && (p.path[level] == name || !member && p.path[level] == "-1") {
			below = append(below, p)
			p.raw, p.found = nil, false
		}
	}
	return w.value(level+1, below)
}

// tooDeep reports whether brackets nest deeper than most, without parsing.
func tooDeep(body []byte, most int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
