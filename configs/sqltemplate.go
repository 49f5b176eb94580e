package configs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/transforms/row"
)

// SQL resolves a SQL template in the scope. Values become parameters or parts of CONCAT
// and CAST over parameters; only names known at plan time become identifiers. It returns
// the names of the variables used beside the statement.
func (s *Scope) SQL(n *yaml.Node, path string) (*Statement, []string, Problems) {
	w := sqlWriter{expander: newExpander(s), node: n, path: path, statement: &Statement{}, byUse: map[string]string{}}
	w.tokens = lexSQL(n.Value)
	w.userParams()
	w.write()
	w.statement.SQL = string(w.out)
	return w.statement, slices.Sorted(maps.Keys(w.used)), w.problems
}

type sqlWriter struct {
	*expander
	node      *yaml.Node
	path      string
	statement *Statement
	byUse     map[string]string // variable with filters -> parameter name
	tokens    []sqlToken
	out       []byte

	taken    map[string]bool // parameter names that the template itself uses
	parens   []bool          // per open parenthesis: constants only
	view     bool            // the body of a view: constants only
	lastWord string          // the token before, spaces aside, in upper case; "" if it was no word
	wordAt   int             // where it was written
}

// userParams notes the parameters that the template brings itself.
func (w *sqlWriter) userParams() {
	w.taken = map[string]bool{}
	for i, t := range w.tokens {
		if t.text == "@" && i+1 < len(w.tokens) && w.tokens[i+1].kind == sqlWord {
			w.taken[strings.ToLower(w.tokens[i+1].text)] = true
		}
	}
}

func (w *sqlWriter) write() {
	for i, t := range w.tokens {
		w.statement.segments = append(w.statement.segments, segment{out: len(w.out), in: t.start})
		switch t.kind {
		case sqlUnfinished:
			w.problem(w.node, t.start, w.path, "a quote or comment starts here and never ends")
		case sqlString:
			w.stringLiteral(t)
		case sqlBacktick:
			w.backtick(t)
		case sqlVariable:
			w.bare(i, t)
		default:
			w.plain(t)
		}
		if t.kind != sqlSpace && t.kind != sqlComment && t.kind != sqlWord {
			w.lastWord = ""
		}
	}
}

// plain copies a token and follows where in the statement it stands.
func (w *sqlWriter) plain(t sqlToken) {
	switch {
	case t.kind == sqlWord:
		w.lastWord, w.wordAt = strings.ToUpper(t.text), len(w.out)
		if w.lastWord == "VIEW" && w.creates() {
			w.view = true
		}
	case t.text == "(":
		constant := w.lastWord == "OPTIONS" || w.lastWord == "PIVOT" || w.lastWord == "UNPIVOT"
		w.parens = append(w.parens, constant || w.constantsOnly())
	case t.text == ")" && len(w.parens) > 0:
		w.parens = w.parens[:len(w.parens)-1]
	case t.text == ";":
		w.view = false
	}
	w.out = append(w.out, t.text...)
}

// creates reports whether the statement that ends here so far starts with CREATE.
func (w *sqlWriter) creates() bool {
	text := string(w.out)
	text = strings.ToUpper(strings.TrimSpace(text[strings.LastIndexByte(text, ';')+1:]))
	for _, t := range lexSQL(text) {
		if t.kind == sqlWord {
			return t.text == "CREATE"
		}
	}
	return false
}

func (w *sqlWriter) constantsOnly() bool {
	return w.view || len(w.parens) > 0 && w.parens[len(w.parens)-1]
}

// castable are the types whose literal is a word before a string.
var castable = []string{"DATE", "TIMESTAMP", "DATETIME", "TIME", "NUMERIC", "BIGNUMERIC"}

func (w *sqlWriter) stringLiteral(t sqlToken) {
	body, start := t.body()
	pieces := split(body)
	if !hasRef(pieces) {
		w.out = append(w.out, t.text...)
		return
	}
	if strings.Contains(t.prefix, "b") {
		w.problem(w.node, start, w.path, "a bytes literal cannot hold a variable; use CAST('{name}' AS BYTES)")
		return
	}
	if w.constantsOnly() {
		w.constantLiteral(t, pieces, start)
		return
	}
	expression := w.textExpression(t, pieces, start)
	if slices.Contains(castable, w.lastWord) && w.wordAt < len(w.out) {
		w.out = w.out[:w.wordAt]
		expression = "CAST(" + expression + " AS " + w.lastWord + ")"
	}
	w.out = append(w.out, expression...)
}

func hasRef(pieces []piece) bool {
	return slices.ContainsFunc(pieces, func(p piece) bool { return p.ref != nil || p.bad != "" })
}

// textExpression returns what a string literal with variables means: a parameter, or a
// CONCAT of its literal parts and parameters.
func (w *sqlWriter) textExpression(t sqlToken, pieces []piece, start int) string {
	var parts []string
	for _, p := range pieces {
		if p.ref == nil && p.bad == "" {
			w.unescaped(t, p, start)
			parts = append(parts, t.prefix+t.quote+p.text+t.quote)
			continue
		}
		if v, ok := w.sqlValue(p, start); ok {
			parts = append(parts, w.param(p, v, row.TypeString))
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "CONCAT(" + strings.Join(parts, ", ") + ")"
}

// sqlValue resolves a variable of the template; start is where its text starts.
func (w *sqlWriter) sqlValue(p piece, start int) (Value, bool) {
	p.start, p.end = p.start+start, p.end+start
	return w.variable(w.node, p, w.path)
}

// param returns a reference to the parameter of a variable, making it on first use.
func (w *sqlWriter) param(p piece, v Value, t row.Type) string {
	key := t.String() + " " + p.text
	if name, ok := w.byUse[key]; ok {
		return "@" + name
	}
	name := p.ref.name
	for _, f := range p.ref.filters {
		name += "_" + f.name
	}
	base := name
	for i := 2; w.taken[strings.ToLower(name)]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	w.taken[strings.ToLower(name)] = true
	w.byUse[key] = name
	w.statement.Params = append(w.statement.Params, Param{Name: name, Type: t, Value: v.Text})
	return "@" + name
}

// constantLiteral writes a literal where GoogleSQL takes no parameter.
func (w *sqlWriter) constantLiteral(t sqlToken, pieces []piece, start int) {
	if t.prefix != "" {
		w.problem(w.node, start, w.path, "a raw literal cannot hold a variable here, where SQL takes constants only; write it without the prefix")
		return
	}
	var text strings.Builder
	for _, p := range pieces {
		if p.ref == nil && p.bad == "" {
			w.unescaped(t, p, start)
			text.WriteString(p.text)
			continue
		}
		if v, ok := w.planTime(p, start, "here, where SQL takes constants only"); ok {
			text.WriteString(escapeSQL(v.Text))
		}
	}
	w.out = append(w.out, t.quote+text.String()+t.quote...)
}

// unescaped refuses text whose end would change what comes after it.
func (w *sqlWriter) unescaped(t sqlToken, p piece, start int) {
	if strings.HasSuffix(p.text, `\`) || len(t.quote) == 3 && strings.HasSuffix(p.text, t.quote[:1]) {
		w.problem(w.node, start+p.end-1, w.path, "a backslash or quote cannot stand right before a variable")
	}
}

// planTime resolves a variable of which nothing may come from run parameters.
func (w *sqlWriter) planTime(p piece, start int, where string) (Value, bool) {
	return w.chosenBefore(p, start, where, fromRun)
}

// chosenBefore resolves a variable whose origin must be more trusted than a given one.
func (w *sqlWriter) chosenBefore(p piece, start int, where string, least origin) (Value, bool) {
	v, ok := w.sqlValue(p, start)
	if ok && v.origin >= least {
		w.problem(w.node, start+p.start, w.path, fmt.Sprintf("variable %q is set by %s and cannot be used %s", p.ref.name, v.origin.setBy(), where))
		return v, false
	}
	return v, ok
}

func escapeSQL(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s)
}

var identifierPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_$*-]*$`)

func (w *sqlWriter) backtick(t sqlToken) {
	pieces := split(t.text[1 : len(t.text)-1])
	var name strings.Builder
	for _, p := range pieces {
		if p.ref == nil && p.bad == "" {
			name.WriteString(p.text)
			continue
		}
		if parts, ok := w.identifier(p, t.start+1); ok {
			name.WriteString(strings.Join(parts, "."))
		}
	}
	w.out = append(w.out, '`')
	w.out = append(w.out, name.String()...)
	w.out = append(w.out, '`')
}

// identifier resolves a variable used as a name, part by part of a dotted path.
func (w *sqlWriter) identifier(p piece, start int) ([]string, bool) {
	v, ok := w.chosenBefore(p, start, "as a name", fromOrg)
	if !ok {
		return nil, false
	}
	if !v.Set {
		return []string{"sample"}, true
	}
	parts := strings.Split(v.Text, ".")
	for _, part := range parts {
		if !identifierPart.MatchString(part) {
			w.problem(w.node, start+p.start, w.path, fmt.Sprintf("%q is not a name of a project, dataset or table", v.Text))
			return nil, false
		}
	}
	return parts, true
}

var dateParts = []string{"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "DAYOFWEEK", "DAYOFYEAR", "WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR"}

// bare writes a variable outside of quotes: a name beside a dot, a number, or a date part.
func (w *sqlWriter) bare(i int, t sqlToken) {
	p := parseRef(t.text, 0)
	separator := "`.`"
	table := w.lastWord == "JOIN" || w.lastWord == "FROM" && !isExtractTemplate(w.tokens, i)
	if table && !w.besideDot(i) {
		separator = "."
	}
	if table || w.besideDot(i) {
		if parts, ok := w.identifier(p, t.start); ok {
			w.out = append(w.out, "`"+strings.Join(parts, separator)+"`"...)
		}
		return
	}
	v, ok := w.sqlValue(p, t.start)
	switch {
	case !ok:
	case v.Number && w.constantsOnly() && v.origin != fromRun:
		w.out = append(w.out, v.Text...)
	case v.Number && !w.constantsOnly():
		w.out = append(w.out, w.param(p, v, row.TypeInt64)...)
	case isJSONNumber(v.Text) && !w.constantsOnly():
		w.out = append(w.out, w.param(p, v, row.TypeNumeric)...)
	case v.origin != fromRun && slices.Contains(dateParts, strings.ToUpper(v.Text)):
		w.out = append(w.out, strings.ToUpper(v.Text)...)
	default:
		w.problem(w.node, t.start, w.path, fmt.Sprintf("variable %q cannot stand here; write '%s' for its value or `%s` for a name", p.ref.name, t.text, t.text))
	}
}

// isExtractTemplate reports whether a token of a template stands after the FROM of EXTRACT,
// where a value is wanted and no table.
func isExtractTemplate(tokens []sqlToken, i int) bool {
	before := significant(slices.Clone(tokens[:i]))
	return len(before) > 0 && isExtract(before, len(before)-1)
}

func (w *sqlWriter) besideDot(i int) bool {
	return i > 0 && w.tokens[i-1].text == "." || i+1 < len(w.tokens) && w.tokens[i+1].text == "."
}

// Origin returns the byte of the template that a byte of the SQL came from.
func (s *Statement) Origin(offset int) int {
	i, exact := slices.BinarySearchFunc(s.segments, offset, func(g segment, o int) int { return g.out - o })
	if !exact {
		i--
	}
	if i < 0 {
		return 0
	}
	g := s.segments[i]
	if i+1 < len(s.segments) {
		if next := s.segments[i+1]; next.out-g.out != next.in-g.in {
			return g.in
		}
	}
	return g.in + offset - g.out
}
