package configs

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// Report is a shipped SQL query over the tables of an organization's dataset. Its
// {project} and {dataset} are identifiers; @from and @to are DATE parameters, both
// inclusive, that the caller supplies.
type Report struct {
	Name  string // e.g. cost_by_day
	Title string // the first comment line
	text  string
	doc   *Canonical
}

func newReport(name, file string, text []byte) Report {
	f := File{Name: file, Text: text}
	title := ""
	if first, _, _ := strings.Cut(string(text), "\n"); strings.HasPrefix(first, "--") {
		title = strings.TrimSpace(strings.TrimLeft(first, "-"))
	}
	return Report{Name: name, Title: title, text: string(text), doc: &Canonical{
		File: f, Root: &yaml.Node{Kind: yaml.MappingNode}, lines: strings.Split(string(text), "\n"),
	}}
}

// SQL returns the report over the tables of a dataset. @from and @to are left to the
// caller.
func (r Report) SQL(project, dataset string) (string, error) {
	env := Environment{Project: project, Dataset: dataset}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: r.text, Line: 1, Column: 1}
	statement, _, problems := NewScope(r.doc, env).SQL(n, "")
	if err := problems.Err(); err != nil {
		return "", err
	}
	return statement.SQL, nil
}
