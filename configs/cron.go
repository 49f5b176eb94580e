package configs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones of schedules, also where the machine has none
)

type cronField struct {
	name     string
	min, max int
	words    []string // accepted instead of min, min+1, ...
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// CheckCron says what is wrong with five cron fields, "" when nothing is.
func CheckCron(text string) string {
	fields := strings.Fields(text)
	if len(fields) != len(cronFields) {
		return fmt.Sprintf("%q has %d fields; a schedule has five: minute, hour, day of month, month, day of week", text, len(fields))
	}
	for i, field := range fields {
		for _, part := range strings.Split(field, ",") {
			if problem := cronFields[i].check(part); problem != "" {
				return fmt.Sprintf("%s %q %s", cronFields[i].name, part, problem)
			}
		}
	}
	return ""
}

// check accepts *, n, a-b and each of them with /step.
func (f cronField) check(part string) string {
	span, step, stepped := strings.Cut(part, "/")
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > f.max) {
		return fmt.Sprintf("has no step between 1 and %d", f.max)
	}
	if span == "*" || span == "?" {
		return ""
	}
	first, last, ranged := strings.Cut(span, "-")
	from, ok := f.value(first)
	if !ok {
		return fmt.Sprintf("is not between %d and %d", f.min, f.max)
	}
	if !ranged {
		return ""
	}
	to, ok := f.value(last)
	switch {
	case !ok:
		return fmt.Sprintf("is not between %d and %d", f.min, f.max)
	case to < from:
		return "ends before it starts"
	}
	return ""
}

func (f cronField) value(text string) (int, bool) {
	if i := slices.Index(f.words, strings.ToLower(text)); i >= f.min && text != "" {
		return i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= f.min && n <= f.max
}

// CheckSchedule checks what the shape of a schedule does not say: the values of its cron
// fields, and that its time zone exists.
func CheckSchedule(doc *Canonical) Problems {
	var out Problems
	schedule := get(doc.Root, "schedule")
	add := func(key, message string) {
		n := get(schedule, key)
		out = append(out, Problem{File: doc.File.Name, Line: n.Line, Col: n.Column, Path: "schedule." + key, Message: message})
	}
	if cron := plainText(get(schedule, "cron")); len(strings.Fields(cron)) == len(cronFields) {
		if message := CheckCron(cron); message != "" {
			add("cron", message)
		}
	}
	if zone := plainText(get(schedule, "timezone")); zone != "" {
		if _, err := time.LoadLocation(zone); err != nil {
			add("timezone", fmt.Sprintf("%q is no time zone; write a name such as UTC or Europe/Berlin", zone))
		}
	}
	return out
}
