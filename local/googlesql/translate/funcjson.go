package translate

import (
	"strconv"
	"strings"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

var jsonRules = map[string]rule{
	"json_value":                jsonScalar,
	"json_extract_scalar":       jsonScalar,
	"json_query":                jsonQuery,
	"json_extract":              jsonQuery,
	"json_query_array":          jsonArray,
	"json_extract_array":        jsonArray,
	"json_value_array":          jsonScalarArray,
	"json_extract_string_array": jsonScalarArray,
	"json_type":                 byType(map[string]string{"JSON": "bq_json_type({0})"}),
	"parse_json":                parseJSON,
	"to_json_string":            toJSONString,
	"to_json":                   toJSON,
	"string":                    stringOf,
	"int64":                     byType(map[string]string{"JSON": "bq_json_int64({0})"}),
	"float64":                   jsonFloat,
	"double":                    jsonFloat,
	"bool":                      byType(map[string]string{"JSON": "bq_json_bool({0})"}),
	"$subscript":                jsonSubscript,
}

// jsonSource is the document and the path of a JSON function in DuckDB's
// terms. A STRING that is not JSON yields NULL.
func (c *call) jsonSource() (document, path string) {
	document, path = c.args[0], "'$'"
	switch c.types[0].Name {
	case "STRING":
		document = "bq_json_or_null(" + document + ")"
	case "JSON":
	default:
		c.bad()
	}
	if len(c.args) == 1 {
		return document, path
	}
	text, ok := c.constText()
	if !ok {
		c.t.unsupported(c.node, strings.ToUpper(c.name)+" with a path that is not a constant")
	}
	keys, ok := jsonPath(text)
	if !ok {
		c.t.unsupported(c.node, strings.ToUpper(c.name)+" with the path "+text)
	}
	return document, quoteText(keys)
}

// jsonPath rewrites $.a['b'][0] as $."a"."b"[0].
func jsonPath(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok {
		return "", false
	}
	out := "$"
	for rest != "" {
		var step string
		if step, rest, ok = jsonStep(rest); !ok {
			return "", false
		}
		out += step
	}
	return out, true
}

func jsonStep(rest string) (step, after string, ok bool) {
	switch {
	case strings.HasPrefix(rest, `."`):
		end := strings.IndexByte(rest[2:], '"')
		if end < 0 {
			return "", "", false
		}
		return "." + jsonKey(rest[2:2+end]), rest[3+end:], true
	case rest[0] == '.':
		end := strings.IndexAny(rest[1:], ".[")
		if end < 0 {
			end = len(rest) - 1
		}
		if end == 0 || strings.ContainsAny(rest[1:1+end], `*"'\`) {
			return "", "", false
		}
		return "." + jsonKey(rest[1:1+end]), rest[1+end:], true
	case rest[0] == '[':
		end := strings.IndexByte(rest, ']')
		if end < 2 {
			return "", "", false
		}
		return jsonBracket(rest[1:end], rest[end+1:])
	}
	return "", "", false
}

func jsonBracket(inner, after string) (string, string, bool) {
	if n, err := strconv.Atoi(inner); err == nil && n >= 0 {
		return "[" + strconv.Itoa(n) + "]", after, true
	}
	quote := inner[0]
	if (quote != '\'' && quote != '"') || len(inner) < 2 || inner[len(inner)-1] != quote {
		return "", "", false
	}
	key := inner[1 : len(inner)-1]
	if strings.ContainsAny(key, `"\`) {
		return "", "", false
	}
	return "." + jsonKey(key), after, true
}

func jsonKey(key string) string { return `"` + key + `"` }

func jsonScalar(c *call) string {
	document, path := c.jsonSource()
	return "bq_json_value(" + document + ", " + path + ")"
}

func jsonQuery(c *call) string {
	document, path := c.jsonSource()
	if c.types[0].Name == "JSON" {
		return "json_extract(" + document + ", " + path + ")"
	}
	return "bq_json_query(" + document + ", " + path + ")"
}

func jsonArray(c *call) string {
	document, path := c.jsonSource()
	if c.types[0].Name == "JSON" {
		return "bq_json_array(" + document + ", " + path + ")"
	}
	return "CAST(bq_json_array(" + document + ", " + path + ") AS VARCHAR[])"
}

func jsonScalarArray(c *call) string {
	document, path := c.jsonSource()
	return "bq_json_value_array(" + document + ", " + path + ")"
}

func parseJSON(c *call) string {
	if len(c.args) > 1 {
		if mode, ok := c.constText(); !ok || mode != "exact" {
			return c.bad()
		}
	}
	return "CAST(bq_udf_parse_json(" + c.args[0] + ") AS JSON)"
}

func jsonSubscript(c *call) string {
	if c.types[0].Name != "JSON" {
		return c.bad()
	}
	if key, ok := c.constText(); ok && !strings.ContainsAny(key, `"\`) {
		return "json_extract(" + c.args[0] + ", " + quoteText("$."+jsonKey(key)) + ")"
	}
	if c.types[1].Name == "INT64" {
		return "CASE WHEN " + c.args[1] + " >= 0 THEN json_extract(" + c.args[0] + ", " + c.args[1] + ") END"
	}
	return c.bad()
}

func jsonFloat(c *call) string {
	if len(c.args) > 1 {
		if mode, ok := c.constText(); !ok || mode != "round" {
			return c.bad()
		}
	}
	if c.types[0].Name != "JSON" {
		return c.bad()
	}
	return "bq_json_float64(" + c.args[0] + ")"
}

func stringOf(c *call) string {
	switch c.types[0].Name {
	case "JSON":
		return "bq_json_string(" + c.args[0] + ")"
	case "TIMESTAMP":
		if len(c.args) > 1 {
			return "bq_udf_timestamp_text(epoch_us(" + c.args[0] + "), " + c.args[1] + ")"
		}
		return "bq_timestamp_to_text(" + c.args[0] + ")"
	case "DATE":
		return "CAST(" + c.args[0] + " AS VARCHAR)"
	case "DATETIME":
		return "bq_datetime_to_text(" + c.args[0] + ")"
	case "TIME":
		return "bq_time_to_text(" + c.args[0] + ")"
	}
	return c.bad()
}

func toJSONString(c *call) string {
	if len(c.args) > 1 && c.args[1] != "FALSE" {
		return c.bad()
	}
	return c.jsonText(c.types[0], c.args[0], 0)
}

func toJSON(c *call) string {
	if len(c.args) > 1 && c.args[1] != "FALSE" {
		return c.bad()
	}
	return "CAST(" + c.jsonText(c.types[0], c.args[0], 0) + " AS JSON)"
}

// jsonText is the JSON form of a value; NULL is the text null.
func (c *call) jsonText(typ *analyze.Type, text string, depth int) string {
	var out string
	v := "j" + strconv.Itoa(depth)
	switch typ.Name {
	case "INT64":
		out = "bq_json_of_int(" + text + ")"
	case "NUMERIC", "BIGNUMERIC":
		out = "bq_json_of_decimal(" + text + ")"
	case "FLOAT64":
		out = "bq_json_of_float(" + text + ")"
	case "BOOL", "JSON":
		out = "CAST(" + text + " AS VARCHAR)"
	case "STRING":
		out = "bq_udf_json_quote(" + text + ")"
	case "BYTES":
		out = `('"' || base64(` + text + `) || '"')`
	case "DATE":
		out = `('"' || CAST(` + text + ` AS VARCHAR) || '"')`
	case "DATETIME":
		out = `('"' || replace(bq_datetime_to_text(` + text + `), ' ', 'T') || '"')`
	case "TIME":
		out = `('"' || bq_time_to_text(` + text + `) || '"')`
	case "TIMESTAMP":
		out = `('"' || replace(replace(bq_timestamp_to_text(` + text + `), ' ', 'T'), '+00', 'Z') || '"')`
	case "ARRAY":
		inner := c.jsonText(typ.Elem, v, depth+1)
		return "coalesce('[' || list_aggregate(list_transform(" + text + ", lambda " + v + ": " + inner + "), 'string_agg', ',') || ']', '[]')"
	case "STRUCT":
		return c.jsonStruct(typ, text, depth)
	default:
		return c.bad()
	}
	return "coalesce(" + out + ", 'null')"
}

func (c *call) jsonStruct(typ *analyze.Type, text string, depth int) string {
	v := "j" + strconv.Itoa(depth)
	names := fieldNames(typ)
	parts := make([]string, len(names))
	for i, f := range typ.Fields {
		field := c.jsonText(f.Type, "struct_extract("+v+", "+quoteText(names[i])+")", depth+1)
		parts[i] = quoteText(jsonQuote(f.Name)+":") + " || " + field
	}
	body := "'{' || " + strings.Join(parts, " || ',' || ") + " || '}'"
	return "list_transform([" + text + "], lambda " + v + ": CASE WHEN " + v + " IS NULL THEN 'null' ELSE " + body + " END)[1]"
}
