package translate

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

func timeFunctions() map[string]goFunction {
	text, integer := info(duckdb.TYPE_VARCHAR), info(duckdb.TYPE_BIGINT)
	texts := [2]duckdb.TypeInfo{text, text}
	return map[string]goFunction{
		"bq_udf_text_to_date":      one(text, integer, textToDate),
		"bq_udf_text_to_datetime":  one(text, integer, textToDatetime),
		"bq_udf_text_to_time":      one(text, integer, textToTime),
		"bq_udf_text_to_timestamp": two(texts, integer, textToTimestamp),
		"bq_udf_datetime_text":     one(integer, text, func(us int64) (any, error) { return civilText(time.UnixMicro(us).UTC()), nil }),
		"bq_udf_timestamp_text":    two([2]duckdb.TypeInfo{integer, text}, text, timestampText),
		"bq_udf_format_time":       {in: []duckdb.TypeInfo{text, integer, text, text}, out: text, run: formatTimeRow},
		"bq_udf_parse_time":        {in: []duckdb.TypeInfo{text, text, text, text}, out: integer, run: parseTimeRow},
		"bq_udf_parse_date":        two(texts, integer, parseDate),
	}
}

// civilPattern is a date, a time of day or both, with an optional zone.
var civilPattern = regexp.MustCompile(
	`^\s*(?:(\d{4})-(\d{1,2})-(\d{1,2}))?(?:(?:^|[ tT]+)(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{0,6}))?)?\s*([zZ]|[+-]\d{1,2}(?::?\d{2})?|[A-Za-z][A-Za-z_/+-]*[A-Za-z0-9_+-]*)?\s*$`)

// civil is what such a text says.
type civil struct {
	t                time.Time
	hasDate, hasTime bool
	zone             string
}

func readCivil(s string) (civil, bool) {
	m := civilPattern.FindStringSubmatch(s)
	if m == nil || m[1] == "" && m[4] == "" {
		return civil{}, false
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	c := civil{hasDate: m[1] != "", hasTime: m[4] != "", zone: m[8]}
	year, month, day := 1970, 1, 1
	if c.hasDate {
		year, month, day = n(1), n(2), n(3)
	}
	micros, _ := strconv.Atoi((m[7] + "000000")[:6])
	c.t = time.Date(year, time.Month(month), day, n(4), n(5), n(6), micros*1000, time.UTC)
	valid := c.t.Year() == year && int(c.t.Month()) == month && c.t.Day() == day && year >= 1 &&
		n(4) < 24 && n(5) < 60 && n(6) < 60
	return c, valid
}

// unixDays counts days from 1970-01-01, downwards for earlier times.
func unixDays(t time.Time) int64 {
	s := t.Unix()
	return (s - (s%86400+86400)%86400) / 86400
}

func textToDate(s string) (any, error) {
	c, ok := readCivil(s)
	if !ok || !c.hasDate || c.hasTime || c.zone != "" {
		return nil, fmt.Errorf("Invalid date: '%s'", s)
	}
	return unixDays(c.t), nil
}

func textToDatetime(s string) (any, error) {
	c, ok := readCivil(s)
	if !ok || !c.hasDate || c.zone != "" {
		return nil, fmt.Errorf("Invalid datetime string \"%s\"", s)
	}
	return c.t.UnixMicro(), nil
}

func textToTime(s string) (any, error) {
	c, ok := readCivil(s)
	if !ok || !c.hasTime || c.hasDate || c.zone != "" {
		return nil, fmt.Errorf("Invalid time string \"%s\"", s)
	}
	return c.t.UnixMicro(), nil
}

func textToTimestamp(s, zone string) (any, error) {
	c, ok := readCivil(s)
	if !ok || !c.hasDate {
		return nil, fmt.Errorf("Invalid timestamp: '%s'", s)
	}
	if c.zone != "" {
		zone = c.zone
	}
	loc, err := location(zone)
	if err != nil {
		return nil, fmt.Errorf("Invalid timestamp: '%s'", s)
	}
	return inZone(c.t, loc).UnixMicro(), nil
}

// inZone reads the clock of t as one in loc.
func inZone(t time.Time, loc *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
}

var offsetPattern = regexp.MustCompile(`^(?:UTC)?([+-])(\d{1,2})(?::?(\d{2}))?$`)

// location reads a zone name or an offset such as +05:30.
func location(zone string) (*time.Location, error) {
	switch zone {
	case "UTC", "Z", "z":
		return time.UTC, nil
	}
	if m := offsetPattern.FindStringSubmatch(zone); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi(m[3])
		seconds := hours*3600 + minutes*60
		if hours > 14 || minutes > 59 {
			return nil, fmt.Errorf("Invalid time zone: %s", zone)
		}
		if m[1] == "-" {
			seconds = -seconds
		}
		return time.FixedZone(zone, seconds), nil
	}
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return nil, fmt.Errorf("Invalid time zone: %s", zone)
	}
	return loc, nil
}

// civilText prints a fraction in groups of three digits, or none.
func civilText(t time.Time) string {
	text := t.Format("2006-01-02 15:04:05")
	switch us := t.Nanosecond() / 1000; {
	case us == 0:
	case us%1000 == 0:
		text += fmt.Sprintf(".%03d", us/1000)
	default:
		text += fmt.Sprintf(".%06d", us)
	}
	return text
}

func timestampText(us int64, zone string) (any, error) {
	loc, err := location(zone)
	if err != nil {
		return nil, err
	}
	t := time.UnixMicro(us).In(loc)
	return civilText(t) + offsetText(t), nil
}

// offsetText prints +00, or +05:30 when there are minutes.
func offsetText(t time.Time) string {
	_, seconds := t.Zone()
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	if minutes := seconds / 60 % 60; minutes != 0 {
		return fmt.Sprintf("%s%02d:%02d", sign, seconds/3600, minutes)
	}
	return fmt.Sprintf("%s%02d", sign, seconds/3600)
}

func formatTimeRow(v []driver.Value) (any, error) {
	format, okF := v[0].(string)
	us, okU := v[1].(int64)
	zone, okZ := v[2].(string)
	kind, okK := v[3].(string)
	if !okF || !okU || !okZ || !okK {
		return nil, errors.New("unexpected arguments of a FORMAT function")
	}
	loc, err := location(zone)
	if err != nil {
		return nil, err
	}
	return formatTime(format, time.UnixMicro(us).In(loc), kind)
}

func parseTimeRow(v []driver.Value) (any, error) {
	format, okF := v[0].(string)
	text, okT := v[1].(string)
	zone, okZ := v[2].(string)
	kind, okK := v[3].(string)
	if !okF || !okT || !okZ || !okK {
		return nil, errors.New("unexpected arguments of a PARSE function")
	}
	t, err := parseTime(format, text, zone, kind)
	if err != nil {
		return nil, err
	}
	return t.UnixMicro(), nil
}

func parseDate(format, text string) (any, error) {
	t, err := parseTime(format, text, "UTC", "DATE")
	if err != nil {
		return nil, err
	}
	return unixDays(t), nil
}
