package load

import (
	"strings"
	"time"
)

// civil reads the leading "YYYY-MM-DD" of s; sep is '-' or '/'.
func civilDate(s string, sep byte) (year, month, day int, rest string, ok bool) {
	year, rest, ok = number(s, 4, 4)
	if !ok || len(rest) == 0 || rest[0] != sep {
		return 0, 0, 0, "", false
	}
	month, rest, ok = number(rest[1:], 1, 2)
	if !ok || len(rest) == 0 || rest[0] != sep {
		return 0, 0, 0, "", false
	}
	day, rest, ok = number(rest[1:], 1, 2)
	if !ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || year < 1 {
		return 0, 0, 0, "", false
	}
	return year, month, day, rest, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// number reads between least and most digits.
func number(s string, least, most int) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && i < most && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int(s[i]-'0')
		i++
	}
	return n, s[i:], i >= least
}

// clock reads "HH:MM[:SS[.ffffff]]" and returns it as nanoseconds of the day.
func clock(s string, needSeconds bool) (nanos time.Duration, rest string, ok bool) {
	hour, rest, ok := number(s, 1, 2)
	if !ok || hour > 23 || len(rest) == 0 || rest[0] != ':' {
		return 0, "", false
	}
	minute, rest, ok := number(rest[1:], 1, 2)
	if !ok || minute > 59 {
		return 0, "", false
	}
	nanos = time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if len(rest) == 0 || rest[0] != ':' {
		return nanos, rest, !needSeconds
	}
	second, rest, ok := number(rest[1:], 1, 2)
	if !ok || second > 59 {
		return 0, "", false
	}
	nanos += time.Duration(second) * time.Second
	if len(rest) == 0 || rest[0] != '.' {
		return nanos, rest, true
	}
	fraction := rest[1:]
	n, rest, ok := number(fraction, 1, 6)
	for i := len(fraction) - len(rest); i < 6; i++ {
		n *= 10
	}
	return nanos + time.Duration(n)*time.Microsecond, rest, ok
}

func parseDate(s string) (time.Time, bool) {
	year, month, day, rest, ok := civilDate(s, '-')
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC), ok && rest == ""
}

func parseTime(s string) (time.Time, bool) {
	nanos, rest, ok := clock(s, true)
	return time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).Add(nanos), ok && rest == ""
}

func parseDatetime(s string) (time.Time, bool) {
	t, rest, ok := dateAndClock(s, true)
	return t, ok && rest == ""
}

// dateAndClock reads a date and, after a space or T, a time of day.
func dateAndClock(s string, dateOnly bool) (t time.Time, rest string, ok bool) {
	sep := byte('-')
	if len(s) > 4 && s[4] == '/' {
		sep = '/'
	}
	year, month, day, rest, ok := civilDate(s, sep)
	if !ok {
		return t, "", false
	}
	t = time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if rest == "" {
		return t, "", dateOnly
	}
	if rest[0] != ' ' && rest[0] != 'T' && rest[0] != 't' {
		return t, rest, dateOnly
	}
	nanos, after, ok := clock(rest[1:], false)
	if !ok {
		return t, rest, false
	}
	return t.Add(nanos), after, true
}

// parseTimestamp reads a timestamp with an optional zone: Z, UTC, an offset or
// a zone name; UTC without one.
func parseTimestamp(s string, dateOnly bool) (time.Time, bool) {
	t, rest, ok := dateAndClock(s, dateOnly)
	if !ok {
		return t, false
	}
	rest = strings.TrimPrefix(rest, " ")
	switch rest {
	case "", "Z", "z", "UTC":
		return t, inRange(t)
	}
	if rest[0] == '+' || rest[0] == '-' {
		offset, ok := zoneOffset(rest[1:])
		if rest[0] == '-' {
			offset = -offset
		}
		t = t.Add(-offset)
		return t, ok && inRange(t)
	}
	zone, err := time.LoadLocation(rest)
	if err != nil {
		return t, false
	}
	t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone).UTC()
	return t, inRange(t)
}

func zoneOffset(s string) (time.Duration, bool) {
	hour, rest, ok := number(s, 1, 2)
	if !ok || hour > 14 {
		return 0, false
	}
	rest = strings.TrimPrefix(rest, ":")
	minute := 0
	if rest != "" {
		if minute, rest, ok = number(rest, 2, 2); !ok || rest != "" || minute > 59 {
			return 0, false
		}
	}
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute, true
}

func inRange(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }
