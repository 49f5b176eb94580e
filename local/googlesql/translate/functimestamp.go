package translate

import (
	"fmt"
	"strings"
)

var timestampRules = map[string]rule{
	"timestamp":         timestampOf,
	"timestamp_add":     shiftTimestamp(""),
	"timestamp_sub":     shiftTimestamp("-"),
	"timestamp_diff":    timestampDiff,
	"timestamp_trunc":   timestampTrunc,
	"timestamp_seconds": template("bq_timestamp_of_us({0} * CAST('1000000' AS BIGINT))"),
	"timestamp_millis":  template("bq_timestamp_of_us({0} * CAST('1000' AS BIGINT))"),
	"timestamp_micros":  template("bq_timestamp_of_us({0})"),
	"unix_seconds":      template("bq_floor_div(epoch_us({0}), 1000000)"),
	"unix_millis":       template("bq_floor_div(epoch_us({0}), 1000)"),
	"unix_micros":       template("epoch_us({0})"),
	"current_timestamp": template("now()"),
	"format_timestamp":  byArgs(map[int]string{2: "bq_udf_format_time({0}, epoch_us({1}), 'UTC', 'TIMESTAMP')", 3: "bq_udf_format_time({0}, epoch_us({1}), {2}, 'TIMESTAMP')"}),
	"parse_timestamp":   byArgs(map[int]string{2: "bq_timestamp_of_us(bq_udf_parse_time({0}, {1}, 'UTC', 'TIMESTAMP'))", 3: "bq_timestamp_of_us(bq_udf_parse_time({0}, {1}, {2}, 'TIMESTAMP'))"}),
	"datetime":          datetimeOf,
	"datetime_add":      shiftDatetime(""),
	"datetime_sub":      shiftDatetime("-"),
	"datetime_diff":     datetimeDiff,
	"datetime_trunc":    datetimeTrunc,
	"current_datetime":  func(c *call) string { return c.zone(0).local("now()") },
	"format_datetime":   template("bq_udf_format_time({0}, epoch_us({1}), 'UTC', 'DATETIME')"),
	"parse_datetime":    template("make_timestamp(bq_udf_parse_time({0}, {1}, 'UTC', 'DATETIME'))"),
	"time":              timeOf,
	"current_time":      func(c *call) string { return "CAST(" + c.zone(0).local("now()") + " AS TIME)" },
	"format_time":       template("bq_udf_format_time({0}, epoch_us(DATE '1970-01-01' + {1}), 'UTC', 'TIME')"),
	"parse_time":        template("CAST(make_timestamp(bq_udf_parse_time({0}, {1}, 'UTC', 'TIME')) AS TIME)"),
}

// micros says how many microseconds a part of fixed length has.
var micros = map[string]int64{
	"MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 1000000, "MINUTE": 60000000,
	"HOUR": 3600000000, "DAY": 86400000000, "WEEK": 7 * 86400000000,
}

func shiftTimestamp(sign string) rule {
	return func(c *call) string {
		part := c.enum(2)
		if c.types[0].Name != "TIMESTAMP" || micros[part] == 0 || part == "WEEK" {
			return c.badPart(part)
		}
		return fmt.Sprintf("bq_timestamp_of_us(epoch_us(%s) + CAST('%d' AS BIGINT) * %s%s)", c.args[0], micros[part], sign, c.args[1])
	}
}

func shiftDatetime(sign string) rule {
	return func(c *call) string {
		part := c.enum(2)
		switch {
		case c.types[0].Name != "DATETIME":
		case micros[part] > 0:
			return fmt.Sprintf("bq_datetime_of_us(epoch_us(%s) + CAST('%d' AS BIGINT) * %s%s)", c.args[0], micros[part], sign, c.args[1])
		case months[part] > 0:
			return fmt.Sprintf("bq_datetime_add_months(%s, %d * %s%s)", c.args[0], months[part], sign, c.args[1])
		}
		return c.badPart(part)
	}
}

func timestampDiff(c *call) string {
	part := c.enum(2)
	if micros[part] == 0 || part == "WEEK" {
		return c.badPart(part)
	}
	return fmt.Sprintf("bq_trunc_div(epoch_us(%s) - epoch_us(%s), CAST('%d' AS BIGINT))", c.args[0], c.args[1], micros[part])
}

func datetimeDiff(c *call) string {
	part := c.enum(2)
	if day, ok := weekdays[part]; ok {
		return fmt.Sprintf("CAST(date_diff('day', bq_week(CAST(%s AS DATE), %d), bq_week(CAST(%s AS DATE), %d)) // 7 AS BIGINT)", c.args[1], day, c.args[0], day)
	}
	switch part {
	case "MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "QUARTER", "YEAR":
		return fmt.Sprintf("date_diff('%s', CAST(%s AS TIMESTAMP), CAST(%s AS TIMESTAMP))", strings.ToLower(part), c.args[1], c.args[0])
	case "ISOYEAR":
		return fmt.Sprintf("CAST(isoyear(%s) - isoyear(%s) AS BIGINT)", c.args[0], c.args[1])
	}
	return c.badPart(part)
}

func datetimeTrunc(c *call) string {
	if c.types[0].Name != "DATETIME" {
		return c.bad()
	}
	return c.truncTime(c.args[0], c.enum(1))
}

// truncTime truncates a TIMESTAMP of DuckDB, which has no time zone.
func (c *call) truncTime(value, part string) string {
	switch part {
	case "MICROSECOND":
		return value
	case "MILLISECOND", "SECOND", "MINUTE", "HOUR":
		return fmt.Sprintf("date_trunc('%s', %s)", strings.ToLower(part), value)
	}
	return "CAST(" + c.truncDay("CAST("+value+" AS DATE)", part) + " AS TIMESTAMP)"
}

func timestampTrunc(c *call) string {
	part, zone := c.enum(1), c.zone(2)
	if c.types[0].Name != "TIMESTAMP" {
		return c.bad()
	}
	if n := micros[part]; n > 0 && n < micros["HOUR"] {
		return fmt.Sprintf("bq_timestamp_of_us(bq_floor_div(epoch_us(%s), %d) * CAST('%d' AS BIGINT))", c.args[0], n, n)
	}
	return zone.instant(c.truncTime(zone.local(c.args[0]), part))
}

func timestampOf(c *call) string {
	switch c.types[0].Name {
	case "STRING":
		zone := "'UTC'"
		if len(c.args) > 1 {
			zone = c.args[1]
		}
		return "bq_timestamp_of_us(bq_udf_text_to_timestamp(" + c.args[0] + ", " + zone + "))"
	case "DATE", "DATETIME":
		return c.zone(1).instant("CAST(" + c.args[0] + " AS TIMESTAMP)")
	case "TIMESTAMP":
		return c.args[0]
	}
	return c.bad()
}

func datetimeOf(c *call) string {
	switch {
	case c.types[0].Name == "INT64" && len(c.args) == 6:
		return "bq_make_datetime(" + strings.Join(c.args, ", ") + ")"
	case c.types[0].Name == "DATE" && len(c.args) == 2 && c.types[1].Name == "TIME":
		return "(" + c.args[0] + " + " + c.args[1] + ")"
	case c.types[0].Name == "TIMESTAMP":
		return c.zone(1).local(c.args[0])
	case c.types[0].Name == "DATE" || c.types[0].Name == "DATETIME":
		return "CAST(" + c.args[0] + " AS TIMESTAMP)"
	case c.types[0].Name == "STRING":
		return "bq_text_to_datetime(" + c.args[0] + ")"
	}
	return c.bad()
}

func timeOf(c *call) string {
	switch {
	case c.types[0].Name == "INT64" && len(c.args) == 3:
		return "bq_make_time(" + strings.Join(c.args, ", ") + ")"
	case c.types[0].Name == "TIMESTAMP":
		return "CAST(" + c.zone(1).local(c.args[0]) + " AS TIME)"
	case c.types[0].Name == "DATETIME":
		return "CAST(" + c.args[0] + " AS TIME)"
	}
	return c.bad()
}

func generateTimestampArray(c *call) string {
	part := c.enum(3)
	if micros[part] == 0 || part == "WEEK" {
		return c.badPart(part)
	}
	return fmt.Sprintf("bq_timestamp_array(%s, %s, CAST('%d' AS BIGINT) * %s)", c.args[0], c.args[1], micros[part], c.args[2])
}

func shiftTime(sign string) rule {
	return func(c *call) string {
		part := c.enum(2)
		if c.types[0].Name != "TIME" || micros[part] == 0 || micros[part] > micros["HOUR"] {
			return c.badPart(part)
		}
		return fmt.Sprintf("bq_time_of_us(%s + CAST('%d' AS BIGINT) * %s%s)", microsOfTime(c.args[0]), micros[part], sign, c.args[1])
	}
}

// timeDiff counts boundaries, as the difference of other types does.
func timeDiff(c *call) string {
	part := c.enum(2)
	n := micros[part]
	if n == 0 || n > micros["HOUR"] {
		return c.badPart(part)
	}
	return fmt.Sprintf("(%s // %d - %s // %d)", microsOfTime(c.args[0]), n, microsOfTime(c.args[1]), n)
}

func timeTrunc(c *call) string {
	part := c.enum(1)
	n := micros[part]
	if c.types[0].Name != "TIME" || n == 0 || n > micros["HOUR"] {
		return c.badPart(part)
	}
	return fmt.Sprintf("bq_time_of_us(%s // %d * %d)", microsOfTime(c.args[0]), n, n)
}
