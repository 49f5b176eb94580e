package configs

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// place returns line and column of a byte of a scalar's value. Where quoting or folding
// hides it, that is the place of the scalar.
func (c *Canonical) place(n *yaml.Node, offset int) (line, col int) {
	if n.Line < 1 || n.Line > len(c.lines) {
		return n.Line, n.Column
	}
	if n.Style&yaml.LiteralStyle != 0 {
		return c.blockPlace(n, offset)
	}
	if n.Style&yaml.FoldedStyle != 0 || offset > len(n.Value) {
		return n.Line, n.Column
	}
	col = n.Column
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		col++
	}
	raw := []rune(c.lines[n.Line-1])
	if col-1 > len(raw) || !strings.HasPrefix(string(raw[col-1:]), n.Value[:offset]) {
		return n.Line, n.Column
	}
	return n.Line, col + utf8.RuneCountInString(n.Value[:offset])
}

// blockPlace finds a byte of a literal block, whose lines are indented alike.
func (c *Canonical) blockPlace(n *yaml.Node, offset int) (line, col int) {
	before := n.Value[:min(offset, len(n.Value))]
	line = n.Line + 1 + strings.Count(before, "\n")
	indent := 0
	for _, text := range c.lines[min(n.Line, len(c.lines)):] {
		if trimmed := strings.TrimLeft(text, " "); strings.TrimSpace(trimmed) != "" {
			indent = len(text) - len(trimmed)
			break
		}
	}
	return line, indent + 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}
