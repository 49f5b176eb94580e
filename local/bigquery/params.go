package bigquery

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// parameters are a query's parameters: their declarations for the analysis and
// their values as DuckDB literals by the name that translated SQL knows.
type parameters struct {
	declared []analyze.Param
	literals map[string]string
}

func readParameters(list []wire.QueryParameter) (*parameters, error) {
	p := &parameters{literals: map[string]string{}}
	for i := range list {
		q := &list[i]
		text, err := parameterType(&q.Type)
		if err != nil {
			return nil, err
		}
		literal, err := parameterLiteral(q, &q.Type, &q.Value)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(q.Name)
		if key == "" {
			key = strconv.Itoa(i + 1)
		}
		p.declared = append(p.declared, analyze.Param{Name: q.Name, Type: text})
		p.literals[key] = literal
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

// parameterLiteral writes a value as a DuckDB expression of its type. Values
// become part of the statement: DuckDB's driver cannot bind decimals, structs
// and typed NULLs exactly.
func parameterLiteral(q *wire.QueryParameter, t *wire.ParameterType, v *wire.ParameterValue) (string, error) {
	text, err := parameterType(t)
	if err != nil {
		return "", err
	}
	duck, err := translate.DuckType(text)
	if err != nil {
		return "", wire.NotImplemented(fmt.Sprintf("query parameter %s of type %s", q.Name, text))
	}
	switch t.Type {
	case "ARRAY":
		return arrayLiteral(q, t, v, duck)
	case "STRUCT":
		return structLiteral(q, t, v, duck)
	}
	if v.Value == nil {
		return "CAST(NULL AS " + duck + ")", nil
	}
	literal, err := scalarLiteral(t.Type, *v.Value)
	if err != nil {
		return "", wire.Invalid("Invalid value for query parameter %s of type %s: %s", q.Name, t.Type, *v.Value)
	}
	return "CAST(" + literal + " AS " + duck + ")", nil
}

func arrayLiteral(q *wire.QueryParameter, t *wire.ParameterType, v *wire.ParameterValue, duck string) (string, error) {
	items := make([]string, len(v.ArrayValues))
	for i := range v.ArrayValues {
		item, err := parameterLiteral(q, t.ArrayType, &v.ArrayValues[i])
		if err != nil {
			return "", err
		}
		items[i] = item
	}
	return "CAST([" + strings.Join(items, ", ") + "] AS " + duck + ")", nil
}

func structLiteral(q *wire.QueryParameter, t *wire.ParameterType, v *wire.ParameterValue, duck string) (string, error) {
	if v.StructValues == nil {
		return "CAST(NULL AS " + duck + ")", nil
	}
	items := make([]string, len(t.StructTypes))
	for i := range t.StructTypes {
		part := &t.StructTypes[i]
		value := v.StructValues[part.Name]
		item, err := parameterLiteral(q, &part.Type, &value)
		if err != nil {
			return "", err
		}
		items[i] = catalog.Quote(part.Name) + " := " + item
	}
	return "CAST(struct_pack(" + strings.Join(items, ", ") + ") AS " + duck + ")", nil
}

// scalarLiteral checks a scalar with the rules of loads and quotes it.
func scalarLiteral(kind, text string) (string, error) {
	switch kind {
	case "BYTES":
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("decoding base64: %w", err)
		}
		return fmt.Sprintf("unhex('%X')", b), nil
	case "STRING", "JSON", "INTERVAL", "FLOAT64":
		if strings.ContainsRune(text, 0) {
			return "", fmt.Errorf("NUL in text")
		}
	default:
		canonical, err := load.Canonical(kind, text)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", kind, err)
		}
		text = canonical
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'", nil
}

// bind puts parameter literals in place of $1, $2, ... of translated SQL. The
// text of string literals and quoted names is left alone.
func (p *parameters) bind(sql string, names []string) (string, error) {
	if len(names) == 0 {
		return sql, nil
	}
	var b strings.Builder
	for i := 0; i < len(sql); {
		c := sql[i]
		if c == '\'' || c == '"' {
			end := i + 1
			for end < len(sql) && sql[end] != c {
				end++
			}
			end = min(end+1, len(sql))
			b.WriteString(sql[i:end])
			i = end
			continue
		}
		if c != '$' {
			b.WriteByte(c)
			i++
			continue
		}
		end := i + 1
		for end < len(sql) && sql[end] >= '0' && sql[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(sql[i+1 : end])
		if err != nil || n < 1 || n > len(names) {
			return "", fmt.Errorf("translated SQL names parameter %q of %d", sql[i:end], len(names))
		}
		literal, ok := p.literals[names[n-1]]
		if !ok {
			return "", fmt.Errorf("query parameter %s has no value", names[n-1])
		}
		b.WriteString(literal)
		i = end
	}
	return b.String(), nil
}
