package translate

import (
	"fmt"
	"strings"
)

var dateRules = map[string]rule{
	"date":                dateOf,
	"date_add":            shiftDate(""),
	"date_sub":            shiftDate("-"),
	"date_diff":           dateDiff,
	"date_trunc":          dateTrunc,
	"last_day":            lastDay,
	"unix_date":           template("date_diff('day', DATE '1970-01-01', {0})"),
	"date_from_unix_date": template("bq_date_add(DATE '1970-01-01', {0})"),
	"current_date":        func(c *call) string { return "CAST(" + c.zone(0).local("now()") + " AS DATE)" },
	"parse_date":          template("bq_date_of_days(bq_udf_parse_date({0}, {1}))"),
	"format_date":         template("bq_udf_format_time({0}, epoch_us(CAST({1} AS TIMESTAMP)), 'UTC', 'DATE')"),
	"$extract":            extract,
	"$extract_date":       extract,
	"$extract_time":       extract,
	"$extract_datetime":   extract,
}

// weekdays are the first days of weeks, as DuckDB numbers days.
var weekdays = map[string]int{
	"WEEK": 0, "WEEK_SUNDAY": 0, "WEEK_MONDAY": 1, "WEEK_TUESDAY": 2, "WEEK_WEDNESDAY": 3,
	"WEEK_THURSDAY": 4, "WEEK_FRIDAY": 5, "WEEK_SATURDAY": 6, "ISOWEEK": 1,
	"WEEK(SUNDAY)": 0, "WEEK(MONDAY)": 1, "WEEK(TUESDAY)": 2, "WEEK(WEDNESDAY)": 3,
	"WEEK(THURSDAY)": 4, "WEEK(FRIDAY)": 5, "WEEK(SATURDAY)": 6,
}

// badPart refuses the date part of a call.
func (c *call) badPart(part string) string {
	c.t.unsupported(c.node, strings.ToUpper(strings.TrimPrefix(c.name, "$"))+" with the part "+part)
	return ""
}

func dateOf(c *call) string {
	switch c.types[0].Name {
	case "INT64":
		return "bq_make_date(" + strings.Join(c.args, ", ") + ")"
	case "TIMESTAMP":
		return "CAST(" + c.zone(1).local(c.args[0]) + " AS DATE)"
	case "DATETIME", "DATE":
		return "CAST(" + c.args[0] + " AS DATE)"
	case "STRING":
		return "bq_text_to_date(" + c.args[0] + ")"
	}
	return c.bad()
}

// months says how many months a part has.
var months = map[string]int{"MONTH": 1, "QUARTER": 3, "YEAR": 12}

func shiftDate(sign string) rule {
	return func(c *call) string {
		part, n := c.enum(2), sign+c.args[1]
		switch c.types[0].Name {
		case "DATE":
		case "DATETIME":
			return shiftDatetime(sign)(c)
		case "TIMESTAMP":
			return shiftTimestamp(sign)(c)
		default:
			return c.bad()
		}
		switch {
		case part == "DAY":
			return "bq_date_add(" + c.args[0] + ", " + n + ")"
		case part == "WEEK":
			return "bq_date_add(" + c.args[0] + ", 7 * " + n + ")"
		case months[part] > 0:
			return fmt.Sprintf("bq_date_add_months(%s, %d * %s)", c.args[0], months[part], n)
		}
		return c.badPart(part)
	}
}

func dateDiff(c *call) string {
	switch c.types[0].Name {
	case "DATETIME":
		return datetimeDiff(c)
	case "TIMESTAMP":
		return timestampDiff(c)
	}
	part := c.enum(2)
	if day, ok := weekdays[part]; ok {
		return fmt.Sprintf("CAST(date_diff('day', bq_week(%s, %d), bq_week(%s, %d)) // 7 AS BIGINT)", c.args[1], day, c.args[0], day)
	}
	switch part {
	case "DAY", "MONTH", "QUARTER", "YEAR":
		return fmt.Sprintf("date_diff('%s', %s, %s)", strings.ToLower(part), c.args[1], c.args[0])
	case "ISOYEAR":
		return fmt.Sprintf("CAST(isoyear(%s) - isoyear(%s) AS BIGINT)", c.args[0], c.args[1])
	}
	return c.badPart(part)
}

func dateTrunc(c *call) string {
	switch c.types[0].Name {
	case "DATETIME":
		return datetimeTrunc(c)
	case "TIMESTAMP":
		return timestampTrunc(c)
	}
	return c.truncDay(c.args[0], c.enum(1))
}

// truncDay truncates a DATE.
func (c *call) truncDay(date, part string) string {
	if day, ok := weekdays[part]; ok {
		return fmt.Sprintf("bq_week(%s, %d)", date, day)
	}
	switch part {
	case "DAY":
		return date
	case "MONTH", "QUARTER", "YEAR":
		return fmt.Sprintf("CAST(date_trunc('%s', %s) AS DATE)", strings.ToLower(part), date)
	case "ISOYEAR":
		return "bq_iso_year_start(" + date + ")"
	}
	return c.badPart(part)
}

func lastDay(c *call) string {
	date, part := "CAST("+c.args[0]+" AS DATE)", "MONTH"
	if p := c.enum(1); p != "" {
		part = p
	}
	if day, ok := weekdays[part]; ok {
		return fmt.Sprintf("CAST(bq_week(%s, %d) + 6 AS DATE)", date, day)
	}
	if months[part] == 0 {
		return c.badPart(part)
	}
	return fmt.Sprintf("CAST(bq_date_add_months(%s, %d) - 1 AS DATE)", c.truncDay(date, part), months[part])
}

// extract takes a part of a value, a TIMESTAMP as it reads in a time zone.
func extract(c *call) string {
	part, value := c.enum(1), c.args[0]
	if part == "" {
		part = strings.ToUpper(strings.TrimPrefix(c.name, "$extract_"))
	}
	if c.types[0].Name == "TIMESTAMP" {
		last := len(c.args)
		if last > 1 && c.types[last-1].Name == "STRING" {
			last--
		}
		value = c.zone(last).local(value)
	}
	if part == "WEEK" || strings.HasPrefix(part, "WEEK_") || strings.HasPrefix(part, "WEEK(") {
		return fmt.Sprintf("bq_week_number(%s, %d)", value, weekdays[part])
	}
	forms := map[string]string{
		"YEAR": "year(%s)", "MONTH": "month(%s)", "DAY": "day(%s)", "QUARTER": "quarter(%s)",
		"HOUR": "hour(%s)", "MINUTE": "minute(%s)", "SECOND": "second(%s)",
		"MILLISECOND": "millisecond(%s) %% 1000", "MICROSECOND": "microsecond(%s) %% 1000000",
		"DAYOFWEEK": "dayofweek(%s) + 1", "DAYOFYEAR": "dayofyear(%s)", "ISOWEEK": "weekofyear(%s)", "ISOYEAR": "isoyear(%s)",
	}
	if form, ok := forms[part]; ok {
		return "CAST(" + fmt.Sprintf(form, value) + " AS BIGINT)"
	}
	switch part {
	case "DATE":
		return "CAST(" + value + " AS DATE)"
	case "TIME":
		return "CAST(" + value + " AS TIME)"
	case "DATETIME":
		return "CAST(" + value + " AS TIMESTAMP)"
	}
	return c.badPart(part)
}

func generateDateArray(c *call) string {
	step, part := "CAST('1' AS BIGINT)", "DAY"
	if len(c.args) > 2 {
		step = c.args[2]
	}
	if p := c.enum(3); p != "" {
		part = p
	}
	switch {
	case part == "DAY":
		return fmt.Sprintf("bq_date_array(%s, %s, %s)", c.args[0], c.args[1], step)
	case part == "WEEK":
		return fmt.Sprintf("bq_date_array(%s, %s, 7 * %s)", c.args[0], c.args[1], step)
	case months[part] > 0:
		return fmt.Sprintf("bq_month_array(%s, %s, %d * %s)", c.args[0], c.args[1], months[part], step)
	}
	return c.badPart(part)
}
