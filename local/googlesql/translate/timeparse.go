package translate

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeParser reads a text by a format. Fields keep their defaults when the
// format does not name them: 1970-01-01 00:00:00.
type timeParser struct {
	rest              string
	year, month, day  int
	hour, minute, sec int
	micros            int
	yearDay           int
	pm, hasPM         bool
	zone              string
	unix              int64
	hasUnix           bool
}

// parseTime is PARSE_DATE and its kin.
func parseTime(format, text, zone, kind string) (time.Time, error) {
	p := &timeParser{rest: text, year: 1970, month: 1, day: 1, zone: zone}
	mismatch := fmt.Errorf("Failed to parse input string \"%s\"", text)
	for i := 0; i < len(format); i++ {
		switch {
		case strings.IndexByte(" \t\n\r", format[i]) >= 0:
			p.rest = strings.TrimLeft(p.rest, " \t\n\r")
		case format[i] == '%' && i+1 < len(format):
			element, size := formatElement(format[i+1:])
			i += size
			known, ok := p.element(element)
			if !known || kind == "DATE" && isTimeElement(element) {
				return time.Time{}, fmt.Errorf("Format element %%%s is not supported by the local server for %s", element, kind)
			}
			if !ok {
				return time.Time{}, mismatch
			}
		case p.rest == "" || p.rest[0] != format[i]:
			return time.Time{}, mismatch
		default:
			p.rest = p.rest[1:]
		}
	}
	if strings.TrimSpace(p.rest) != "" {
		return time.Time{}, mismatch
	}
	return p.time(mismatch)
}

func (p *timeParser) time(mismatch error) (time.Time, error) {
	if p.hasUnix {
		return time.Unix(p.unix, 0).UTC(), nil
	}
	if p.hasPM {
		if p.hour < 1 || p.hour > 12 {
			return time.Time{}, mismatch
		}
		p.hour %= 12
		if p.pm {
			p.hour += 12
		}
	}
	loc, err := location(p.zone)
	if err != nil {
		return time.Time{}, err
	}
	if p.yearDay > 0 {
		p.month, p.day = 1, 1
	}
	t := time.Date(p.year, time.Month(p.month), p.day, p.hour, p.minute, p.sec, p.micros*1000, loc)
	if t.Day() != p.day || int(t.Month()) != p.month || p.year < 1 {
		return time.Time{}, mismatch
	}
	if p.yearDay > 0 {
		t = t.AddDate(0, 0, p.yearDay-1)
	}
	return t, nil
}

// number reads up to width digits between low and high.
func (p *timeParser) number(width, low, high int, into *int) bool {
	end := 0
	for end < len(p.rest) && end < width && p.rest[end] >= '0' && p.rest[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(p.rest[:end])
	if err != nil || n < low || n > high {
		return false
	}
	p.rest, *into = p.rest[end:], n
	return true
}

var composites = map[string][]string{
	"F": {"Y", "-", "m", "-", "d"}, "D": {"m", "/", "d", "/", "y"}, "x": {"m", "/", "d", "/", "y"},
	"T": {"H", ":", "M", ":", "S"}, "X": {"H", ":", "M", ":", "S"}, "R": {"H", ":", "M"},
}

// element reads one format element; known is false when there is no such one.
func (p *timeParser) element(e string) (known, ok bool) {
	if parts, composite := composites[e]; composite {
		return true, p.composite(parts)
	}
	switch e {
	case "Y", "E4Y":
		return true, p.number(4, 1, 9999, &p.year)
	case "y":
		ok = p.number(2, 0, 99, &p.year)
		if p.year < 69 {
			p.year += 100
		}
		p.year += 1900
		return true, ok
	case "m":
		return true, p.number(2, 1, 12, &p.month)
	case "d", "e":
		p.rest = strings.TrimLeft(p.rest, " ")
		return true, p.number(2, 1, 31, &p.day)
	case "j":
		return true, p.number(3, 1, 366, &p.yearDay)
	case "H", "k":
		p.rest = strings.TrimLeft(p.rest, " ")
		return true, p.number(2, 0, 23, &p.hour)
	case "I", "l":
		p.rest = strings.TrimLeft(p.rest, " ")
		return true, p.number(2, 1, 12, &p.hour)
	case "M":
		return true, p.number(2, 0, 59, &p.minute)
	case "S":
		return true, p.number(2, 0, 60, &p.sec)
	case "%":
		return true, p.literal("%")
	}
	return p.named(e)
}

func (p *timeParser) composite(parts []string) bool {
	for _, part := range parts {
		if strings.Contains("-/:", part) {
			if !p.literal(part) {
				return false
			}
			continue
		}
		if _, ok := p.element(part); !ok {
			return false
		}
	}
	return true
}

func (p *timeParser) literal(text string) bool {
	rest, ok := strings.CutPrefix(p.rest, text)
	p.rest = rest
	return ok
}

// named reads the elements made of words, zones and fractions.
func (p *timeParser) named(e string) (known, ok bool) {
	switch e {
	case "B", "b", "h":
		for m := time.January; m <= time.December; m++ {
			if p.word(m.String()) || p.word(m.String()[:3]) {
				p.month = int(m)
				return true, true
			}
		}
		return true, false
	case "A", "a":
		for d := time.Sunday; d <= time.Saturday; d++ {
			if p.word(d.String()) || p.word(d.String()[:3]) {
				return true, true
			}
		}
		return true, false
	case "p", "P":
		p.hasPM = true
		p.pm = p.word("PM")
		return true, p.pm || p.word("AM")
	case "s":
		end := strings.IndexFunc(p.rest, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(p.rest)
		}
		n, err := strconv.ParseInt(p.rest[:end], 10, 64)
		p.unix, p.hasUnix, p.rest = n, true, p.rest[end:]
		return true, err == nil
	case "z", "Ez", "Z":
		return true, p.readZone()
	}
	if strings.HasPrefix(e, "E") && strings.HasSuffix(e, "S") {
		return true, p.number(2, 0, 60, &p.sec) && p.fraction()
	}
	return false, false
}

func (p *timeParser) word(text string) bool {
	if len(p.rest) < len(text) || !strings.EqualFold(p.rest[:len(text)], text) {
		return false
	}
	p.rest = p.rest[len(text):]
	return true
}

func (p *timeParser) readZone() bool {
	end := strings.IndexAny(p.rest, " \t")
	if end < 0 {
		end = len(p.rest)
	}
	zone := p.rest[:end]
	if _, err := location(zone); err != nil {
		return false
	}
	p.zone, p.rest = zone, p.rest[end:]
	return true
}

func (p *timeParser) fraction() bool {
	if !strings.HasPrefix(p.rest, ".") {
		return true
	}
	end := 1
	for end < len(p.rest) && p.rest[end] >= '0' && p.rest[end] <= '9' {
		end++
	}
	if end == 1 || end > 7 {
		return false
	}
	p.micros, _ = strconv.Atoi((p.rest[1:end] + "000000")[:6])
	p.rest = p.rest[end:]
	return true
}
