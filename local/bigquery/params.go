package bigquery

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// parameters are a query's parameters: their declarations for the analysis and
// their values by the name that translated SQL knows.
type parameters struct {
	declared []analyze.Param
	values   map[string]any
}

func readParameters(list []wire.QueryParameter) (*parameters, error) {
	p := &parameters{values: map[string]any{}}
	for i := range list {
		q := &list[i]
		text, err := parameterType(&q.Type)
		if err != nil {
			return nil, err
		}
		value, err := parameterValue(q, &q.Type, &q.Value)
		if err != nil {
			return nil, err
		}
		bound, err := translate.ParamText(text, value)
		if err != nil {
			return nil, wire.NotImplemented(fmt.Sprintf("query parameter %s of type %s", q.Name, text))
		}
		key := strings.ToLower(q.Name)
		if key == "" {
			key = strconv.Itoa(i + 1)
		}
		p.declared = append(p.declared, analyze.Param{Name: q.Name, Type: text})
		p.values[key] = bound
	}
	return p, nil
}

// parameterType is a declared type as GoogleSQL text.
func parameterType(t *wire.ParameterType) (string, error) {
	switch t.Type {
	case "":
		return "", wire.Invalid("Query parameter is missing its type")
	case "ARRAY":
		if t.ArrayType == nil {
			return "", wire.Invalid("ARRAY query parameter is missing its arrayType")
		}
		elem, err := parameterType(t.ArrayType)
		return "ARRAY<" + elem + ">", err
	case "STRUCT":
		parts := make([]string, len(t.StructTypes))
		for i := range t.StructTypes {
			text, err := parameterType(&t.StructTypes[i].Type)
			if err != nil {
				return "", err
			}
			parts[i] = "`" + t.StructTypes[i].Name + "` " + text
		}
		return "STRUCT<" + strings.Join(parts, ", ") + ">", nil
	}
	return t.Type, nil
}

// parameterValue is a value in the form the translated SQL takes; scalars are
// checked with the rules of loads.
func parameterValue(q *wire.QueryParameter, t *wire.ParameterType, v *wire.ParameterValue) (translate.Value, error) {
	out := translate.Value{}
	switch t.Type {
	case "ARRAY":
		for i := range v.ArrayValues {
			item, err := parameterValue(q, t.ArrayType, &v.ArrayValues[i])
			if err != nil {
				return out, err
			}
			out.Elems = append(out.Elems, item)
		}
		return out, nil
	case "STRUCT":
		out.Null, out.Fields = v.StructValues == nil, map[string]translate.Value{}
		for i := range t.StructTypes {
			part := &t.StructTypes[i]
			value := v.StructValues[part.Name]
			item, err := parameterValue(q, &part.Type, &value)
			if err != nil {
				return out, err
			}
			out.Fields[part.Name] = item
		}
		return out, nil
	}
	if v.Value == nil {
		out.Null = true
		return out, nil
	}
	out.Text = *v.Value
	if err := load.CheckText(t.Type, out.Text); err != nil {
		return out, wire.Invalid("Invalid value for query parameter %s of type %s: %s", q.Name, t.Type, out.Text)
	}
	return out, nil
}

// bind lists the arguments of a translated statement.
func (p *parameters) bind(names []string) ([]any, error) {
	out := make([]any, len(names))
	for i, name := range names {
		value, ok := p.values[name]
		if !ok {
			return nil, fmt.Errorf("query parameter %s has no value", name)
		}
		out[i] = value
	}
	return out, nil
}
