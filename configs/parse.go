package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	maxDocumentBytes = 1 << 20
	maxDepth         = 64
)

// Tree is a document as YAML: one mapping with positions, without aliases, duplicate
// keys or excessive depth.
type Tree struct {
	File File
	Root *yaml.Node

	lines []string
}

// Parse reads the YAML of one document. It knows nothing about pipelines.
func Parse(f File) (*Tree, Problems) {
	if p, bad := unreadable(f); bad {
		return nil, Problems{p}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(f.Text))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, Problems{{File: f.Name, Line: 1, Col: 1, Message: "the document is empty"}}
	case err != nil:
		return nil, Problems{syntaxProblem(f, err)}
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, Problems{{File: f.Name, Line: second.Line, Col: second.Column, Message: "a second document starts here; a file holds one pipeline"}}
	case !errors.Is(err, io.EOF):
		return nil, Problems{syntaxProblem(f, err)}
	}
	t := &Tree{File: f, Root: first.Content[0], lines: strings.Split(string(f.Text), "\n")}
	c := treeCheck{file: f.Name}
	c.check(t.Root, "", 0)
	if len(c.problems) == 0 && t.Root.Kind != yaml.MappingNode {
		c.add(t.Root, "", "the document must be a mapping of keys to values")
	}
	if len(c.problems) > 0 {
		return nil, c.problems.Sorted()
	}
	return t, nil
}

// unreadable finds what must be refused before a YAML parser sees it.
func unreadable(f File) (Problem, bool) {
	if len(f.Text) > maxDocumentBytes {
		return Problem{File: f.Name, Message: fmt.Sprintf("the document has %d bytes; at most %d are read", len(f.Text), maxDocumentBytes)}, true
	}
	line, col := 1, 1
	for rest := f.Text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return Problem{File: f.Name, Line: line, Col: col, Message: fmt.Sprintf("byte 0x%02x is not UTF-8", rest[0])}, true
		case r == '\n':
			line, col = line+1, 0
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return Problem{File: f.Name, Line: line, Col: col, Message: fmt.Sprintf("control character 0x%02x is not allowed", r)}, true
		}
		rest, col = rest[size:], col+1
	}
	return Problem{}, false
}

var yamlErrorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxProblem gives a parser error its place. The parser names a line only, and for
// tabs the line before.
func syntaxProblem(f File, err error) Problem {
	p := Problem{File: f.Name, Line: 1, Col: 1, Message: err.Error()}
	m := yamlErrorLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	if m == nil {
		return p
	}
	p.Message = "YAML: " + m[2]
	if n, err := strconv.Atoi(m[1]); err == nil {
		p.Line = n
	}
	lines := strings.Split(string(f.Text), "\n")
	for n := max(p.Line-1, 1); n <= min(p.Line+1, len(lines)); n++ {
		text := lines[n-1]
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if i := strings.IndexByte(indent, '\t'); i >= 0 {
			p.Line, p.Col, p.Message = n, i+1, "a tab cannot indent; use spaces"
			return p
		}
	}
	if p.Line <= len(lines) {
		p.Col = 1 + len(lines[p.Line-1]) - len(strings.TrimLeft(lines[p.Line-1], " "))
	}
	return p
}

type treeCheck struct {
	file     string
	problems Problems
}

func (c *treeCheck) add(n *yaml.Node, path, message string) {
	c.problems = append(c.problems, Problem{File: c.file, Line: n.Line, Col: n.Column, Path: path, Message: message})
}

func (c *treeCheck) check(n *yaml.Node, path string, depth int) {
	if depth > maxDepth {
		c.add(n, "", fmt.Sprintf("values are nested more than %d deep", maxDepth))
		return
	}
	if n.Kind == yaml.AliasNode {
		c.add(n, path, fmt.Sprintf("alias *%s is not allowed; write the value out", n.Value))
		return
	}
	if n.Anchor != "" {
		c.add(n, path, fmt.Sprintf("anchor &%s is not allowed; write the value out where it is needed", n.Anchor))
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, child := range n.Content {
			c.check(child, at(path, i), depth+1)
		}
	case yaml.MappingNode:
		c.mapping(n, path, depth)
	case yaml.ScalarNode:
		if tag := n.ShortTag(); !strings.HasPrefix(tag, "!!") || tag == "!!binary" {
			c.add(n, path, fmt.Sprintf("tag %s is not allowed", tag))
		}
	}
}

func (c *treeCheck) mapping(n *yaml.Node, path string, depth int) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			c.add(key, path, "a key must be text")
			continue
		}
		if key.Value == "<<" && key.ShortTag() == "!!merge" {
			c.add(key, path, "merge keys are not allowed; write the values out")
			continue
		}
		if line, dup := seen[key.Value]; dup {
			c.add(key, join(path, key.Value), fmt.Sprintf("is given twice, first on line %d", line))
		} else {
			seen[key.Value] = key.Line
		}
		if key.Anchor != "" {
			c.add(key, path, fmt.Sprintf("anchor &%s is not allowed; write the value out where it is needed", key.Anchor))
		}
		c.check(val, join(path, key.Value), depth+1)
	}
}
