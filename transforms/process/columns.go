package process

import (
	"fmt"
	"strings"

	"github.com/cloudact/convergence/transforms/row"
)

// column is a column that a processor reads or makes.
type column struct {
	name string
	typ  row.Type
}

// resolveInput finds the places of the columns in a schema, -1 for one that it lacks. A
// column of another type is an error.
func resolveInput(schema row.Schema, want []column) ([]int, error) {
	places := make([]int, len(want))
	for i, c := range want {
		places[i] = schema.Index(c.name)
		if p := places[i]; p >= 0 && schema[p].Type != c.typ {
			return nil, fmt.Errorf("input column %s is %s: make it %s", c.name, schema[p].Type, c.typ)
		}
	}
	return places, nil
}

// origin says where the cell of an output column comes from: a made column, or the
// input column of the same name. The other place is -1.
type origin struct{ made, input int }

// resolveOutput finds an origin for every column of the output schema. A column that
// nothing gives, or of another type than its origin, is an error.
func resolveOutput(out, in row.Schema, made []column) ([]origin, error) {
	origins := make([]origin, len(out))
	var unknown []string
	for i, f := range out {
		o := origin{made: -1, input: in.Index(f.Name)}
		for m, c := range made {
			if c.name == f.Name {
				o = origin{made: m, input: -1}
			}
		}
		var typ row.Type
		switch {
		case o.made >= 0:
			typ = made[o.made].typ
		case o.input >= 0:
			typ = in[o.input].Type
		default:
			unknown = append(unknown, f.Name)
			continue
		}
		if typ != f.Type {
			return nil, fmt.Errorf("column %s is declared %s: make it %s", f.Name, f.Type, typ)
		}
		origins[i] = o
	}
	if unknown != nil {
		return nil, fmt.Errorf("nothing gives the columns %s: remove them from the schema, or have the step before give them", strings.Join(unknown, ", "))
	}
	return origins, nil
}

// bare returns the schema without descriptions, which need not travel to workers.
func bare(s row.Schema) row.Schema {
	out := make(row.Schema, len(s))
	for i, f := range s {
		out[i] = row.Field{Name: f.Name, Type: f.Type, Required: f.Required}
	}
	return out
}
