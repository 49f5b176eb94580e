package translate

import (
	"fmt"
	"regexp"
	"strings"
)

// joined is concatenation; DuckDB's concat would skip NULL.
func joined(c *call) string {
	switch c.types[0].Name {
	case "STRING", "BYTES":
		return "(" + strings.Join(c.args, " || ") + ")"
	case "ARRAY":
		return arrayConcat(c)
	}
	return c.bad()
}

func substr(c *call) string {
	if c.types[0].Name != "STRING" {
		return c.bad()
	}
	return fmt.Sprintf("bq_substr%d(%s)", len(c.args), strings.Join(c.args, ", "))
}

// trimmed removes every Unicode space when no characters are given.
func trimmed(name string) rule {
	return func(c *call) string {
		if c.types[0].Name != "STRING" {
			return c.bad()
		}
		if len(c.args) == 1 {
			return name + "(" + c.args[0] + ", bq_spaces())"
		}
		return name + "(" + c.args[0] + ", " + c.args[1] + ")"
	}
}

func split(c *call) string {
	if c.types[0].Name != "STRING" {
		return c.bad()
	}
	delimiter := "','"
	if len(c.args) > 1 {
		delimiter = c.args[1]
	}
	return "bq_split(" + c.args[0] + ", " + delimiter + ")"
}

func padded(name string) rule {
	return func(c *call) string {
		if c.types[0].Name != "STRING" {
			return c.bad()
		}
		pad := "' '"
		if len(c.args) > 2 {
			pad = c.args[2]
		}
		return fmt.Sprintf("bq_%s(%s, %s, %s)", name, c.args[0], c.args[1], pad)
	}
}

func regexpExtract(c *call) string {
	if c.types[0].Name != "STRING" {
		return c.bad()
	}
	args := append(append([]string{}, c.args...), "CAST('1' AS BIGINT)", "CAST('1' AS BIGINT)")
	return "bq_udf_regexp_extract(" + strings.Join(args[:4], ", ") + ")"
}

// regexpExtractAll needs to know whether the pattern has a group.
func regexpExtractAll(c *call) string {
	pattern, ok := c.constText()
	if c.types[0].Name != "STRING" || !ok {
		return c.bad()
	}
	re, err := regexp.Compile(pattern)
	if err != nil || re.NumSubexp() > 1 {
		return c.bad()
	}
	return fmt.Sprintf("regexp_extract_all(%s, %s, %d)", c.args[0], c.args[1], re.NumSubexp())
}

func makeArray(c *call) string {
	return "CAST([" + strings.Join(c.args, ", ") + "] AS " + duckType(c.result) + ")"
}

// arrayConcat is NULL when any array is; DuckDB's list_concat skips NULL.
func arrayConcat(c *call) string {
	null := make([]string, len(c.args))
	for i, a := range c.args {
		null[i] = a + " IS NULL"
	}
	text := c.args[0]
	for _, a := range c.args[1:] {
		text = "list_concat(" + text + ", " + a + ")"
	}
	return "CASE WHEN " + strings.Join(null, " OR ") + " THEN NULL ELSE " + text + " END"
}

func arrayToString(c *call) string {
	if c.types[0].Elem.Name != "STRING" {
		return c.bad()
	}
	list := c.args[0]
	if len(c.args) > 2 {
		list = "list_transform(" + list + ", lambda e: coalesce(e, " + c.args[2] + "))"
	}
	return "bq_array_to_string(" + list + ", " + c.args[1] + ")"
}

// rangeBucket is the number of bounds that are not above a value.
func rangeBucket(c *call) string {
	switch c.types[0].Name {
	case "INT64", "NUMERIC", "BIGNUMERIC", "DATE", "DATETIME", "TIMESTAMP", "STRING":
		return "bq_range_bucket(" + c.args[0] + ", " + c.args[1] + ")"
	}
	return c.bad()
}

func generateArray(c *call) string {
	if c.result.Elem.Name != "INT64" {
		return c.bad()
	}
	step := "CAST('1' AS BIGINT)"
	if len(c.args) > 2 {
		step = c.args[2]
	}
	return "bq_generate_array(" + c.args[0] + ", " + c.args[1] + ", " + step + ")"
}
