package plan

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/row"
)

// resultTables is where a catalogue holds the columns that the plan of a run found for the
// statements of steps without a schema: a job plans again and does not analyse SQL.
const resultTables = "system/step/"

// result returns the columns that were found for the step's statement before.
func (s *stepBuilder) result() (configs.TableSchema, bool) {
	return s.deps.Catalog.Table(resultTables + s.step.StepID)
}

// landsAs gives a query step without a schema the columns of its statement.
func (b *builder) landsAs(s *Step, n *yaml.Node, result *configs.SQLResult, own map[string]bool) {
	if s.Kind != configs.KindQuery || s.Destination.Table == "" || len(s.Schema.Fields) > 0 || s.Skip {
		return
	}
	path := stepPath(s) + ".config.sql"
	if len(result.Columns) == 0 {
		if other := slices.IndexFunc(result.Problems, func(p configs.SQLProblem) bool { return p.Kind != configs.SQLNoTable }); other >= 0 {
			b.problem(n, path, "its columns cannot be told: %s; correct it, or name the table's schema in destination.schema_ref", result.Problems[other].Message)
		} else if !b.request.Preview && !slices.ContainsFunc(result.Problems, func(p configs.SQLProblem) bool { return own[p.Table] }) {
			// What keeps the columns of an own table from being known has been said there.
			b.problem(n, path, "its columns cannot be told before it runs%s: run `convergence preview FILE --step %s`, save the schema that it prints and name it in destination.schema_ref", because(b.unknownTables(result)), s.ID)
		}
		return
	}
	var fields row.Schema
	for i, c := range result.Columns {
		t, err := row.ParseType(c.Type)
		switch {
		case c.Name == "":
			b.problem(n, path, "column %d of its result has no name; give it one with AS", i+1)
		case fields.Index(c.Name) >= 0:
			b.problem(n, path, "two columns of its result are named %q", c.Name)
		case err != nil:
			b.problem(n, path, "column %q of its result is %s, which no table of a pipeline holds; cast it, or write it with TO_JSON_STRING", c.Name, c.Type)
		}
		fields = append(fields, row.Field{Name: c.Name, Type: t})
	}
	s.Schema = configs.TableSchema{Ref: resultTables + s.ID, Fields: fields}
	b.told(s)
}

// told checks the columns that a destination names against those of a statement.
func (b *builder) told(s *Step) {
	d, node := s.Destination, configs.StepNodes(b.canonical)[s.Index]
	n := configs.Member(node, "destination")
	if n == nil {
		n = node
	}
	check := func(key string, names ...string) {
		for _, name := range names {
			if name != "" && s.Schema.Fields.Index(name) < 0 {
				b.problem(n, stepPath(s)+".destination."+key, "%q is no column of the statement", name)
				b.problems[len(b.problems)-1].Suggestion = configs.Nearest(name, s.Schema.Fields.Names())
			}
		}
	}
	check("key_fields", d.KeyFields...)
	check("replace_field", d.ReplaceField)
	check("clustering_fields", d.Clustering...)
	if d.TimePartitioning != nil && d.TimePartitioning.Field != d.ReplaceField {
		check("time_partitioning.field", d.TimePartitioning.Field)
	}
}

// unknownTables names the tables that keep the columns of a statement from being known.
func (b *builder) unknownTables(result *configs.SQLResult) []string {
	var out []string
	for _, p := range result.Problems {
		name := strings.TrimPrefix(p.Table, b.plan.Project+"."+b.plan.Dataset+".")
		if p.Kind == configs.SQLNoTable && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func because(tables []string) string {
	if len(tables) == 0 {
		return ""
	}
	return fmt.Sprintf(", because nothing declares the columns of %s", strings.Join(tables, ", "))
}
