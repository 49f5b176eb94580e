package configs

import (
	"fmt"
	"maps"
	"time"

	"cloud.google.com/go/civil"
	"gopkg.in/yaml.v3"
)

// Range returns the days of a run, both inclusive, and its parameters without the
// dates. `date` alone sets both; start alone sets the end; none means the defaults that
// the document declares, else yesterday UTC.
func Range(doc *Canonical, params map[string]string, now time.Time) (start, end civil.Date, rest map[string]string, problems Problems) {
	rest = maps.Clone(params)
	given := map[string]string{}
	for _, name := range dateNames {
		if v := params[name]; v != "" {
			given[name] = v
		}
		delete(rest, name)
	}
	where := Problem{File: doc.File.Name}
	if len(given) == 0 {
		if given = declaredDates(doc); len(given) > 0 {
			where = declaredPlace(doc)
		}
	}
	fail := func(format string, args ...any) {
		where.Message = fmt.Sprintf(format, args...)
		problems = append(problems, where)
	}
	if given["date"] != "" && len(given) > 1 {
		fail("date is given together with start_date or end_date; give either date or a range")
	}
	days := map[string]civil.Date{}
	for _, name := range dateNames {
		if given[name] == "" {
			continue
		}
		d, err := civil.ParseDate(given[name])
		if err != nil {
			fail("%s %q is no date; write it as YYYY-MM-DD", name, given[name])
		}
		days[name] = d
	}
	if len(problems) > 0 {
		return start, end, rest, problems
	}
	start, end, message := interval(days, now)
	if message != "" {
		fail("%s", message)
	}
	return start, end, rest, problems
}

func interval(days map[string]civil.Date, now time.Time) (start, end civil.Date, problem string) {
	if d, ok := days["date"]; ok {
		return d, d, ""
	}
	start, hasStart := days["start_date"]
	end, hasEnd := days["end_date"]
	switch {
	case !hasStart && hasEnd:
		return start, end, "end_date is given without start_date"
	case !hasStart:
		yesterday := civil.DateOf(now.UTC()).AddDays(-1)
		return yesterday, yesterday, ""
	case !hasEnd:
		end = start
	}
	return start, end, CheckRange(start, end)
}

const maxDays = 3660

// CheckRange says what is wrong with a range of days, "" when nothing is.
func CheckRange(start, end civil.Date) string {
	switch {
	case !start.IsValid() || !end.IsValid():
		return "a day of the range does not exist"
	case end.Before(start):
		return fmt.Sprintf("end_date %s is before start_date %s", end, start)
	case end.DaysSince(start) >= maxDays:
		return fmt.Sprintf("%s to %s are %d days; at most %d are run at once", start, end, end.DaysSince(start)+1, maxDays)
	}
	return ""
}

// declaredPlace is where a document gives the first of its dates.
func declaredPlace(doc *Canonical) Problem {
	for _, key := range []string{"parameters", "variables"} {
		for _, name := range dateNames {
			if n := get(get(doc.Root, key), name); givesDate(name, n) {
				return Problem{File: doc.File.Name, Line: n.Line, Col: n.Column, Path: join(key, name)}
			}
		}
	}
	return Problem{File: doc.File.Name}
}

// declaredDates returns the dates that a document gives as defaults of its runs.
func declaredDates(doc *Canonical) map[string]string {
	out := map[string]string{}
	for _, key := range []string{"variables", "parameters"} {
		m := get(doc.Root, key)
		for _, name := range dateNames {
			n := get(m, name)
			if givesDate(name, n) {
				out[name] = n.Value
			}
		}
	}
	return out
}

// givesDate reports whether a declaration of a date's name gives it a value: naming itself,
// or the other name of the first day, it means the run's.
func givesDate(name string, n *yaml.Node) bool {
	if n == nil || n.Kind != yaml.ScalarNode || isNull(n) || isSelfNamed(name, n) {
		return false
	}
	switch name {
	case "date":
		return !isSelfNamed("start_date", n)
	case "start_date":
		return !isSelfNamed("date", n)
	default:
		return true
	}
}
