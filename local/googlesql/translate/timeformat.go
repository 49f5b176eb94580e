package translate

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// formatTime is FORMAT_DATE and its kin: the elements of strftime and the
// service's own.
func formatTime(format string, t time.Time, kind string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		element, size := formatElement(format[i+1:])
		text, ok := formatOne(element, t)
		if !ok || kind == "DATE" && isTimeElement(element) || kind == "TIME" && !isTimeElement(element) && element != "%" {
			return "", fmt.Errorf("Format element %%%s is not supported by the local server for %s", element, kind)
		}
		b.WriteString(text)
		i += size
	}
	return b.String(), nil
}

func isTimeElement(e string) bool {
	return strings.Contains("HMSIpTRrklPX", e) && e != "" || strings.HasPrefix(e, "E") && strings.HasSuffix(e, "S")
}

// formatElement takes the name of one element: a letter, E*S, E3S, E4Y, Ez, or
// a letter after O or -.
func formatElement(rest string) (element string, size int) {
	if rest[0] == 'E' {
		end := 1
		for end < len(rest) && (rest[end] == '*' || rest[end] >= '0' && rest[end] <= '9') {
			end++
		}
		if end < len(rest) {
			return rest[:end+1], end + 1
		}
	}
	if (rest[0] == 'O' || rest[0] == '-') && len(rest) > 1 {
		return rest[:2], 2
	}
	return rest[:1], 1
}

var goLayouts = map[string]string{
	"A": "Monday", "a": "Mon", "B": "January", "b": "Jan", "h": "Jan", "d": "02", "m": "01", "y": "06",
	"H": "15", "I": "03", "M": "04", "S": "05", "p": "PM", "P": "pm", "F": "2006-01-02", "D": "01/02/06", "x": "01/02/06",
	"T": "15:04:05", "X": "15:04:05", "R": "15:04", "r": "03:04:05 PM", "e": "_2", "c": "Mon Jan _2 15:04:05 2006",
	"z": "-0700", "Ez": "-07:00", "Z": "MST",
}

func formatOne(element string, t time.Time) (string, bool) {
	if layout, ok := goLayouts[element]; ok {
		if element == "Z" && t.Location() != time.UTC {
			return "UTC" + offsetText(t), true
		}
		return t.Format(layout), true
	}
	_, isoWeek := t.ISOWeek()
	isoYear, _ := t.ISOWeek()
	switch element {
	case "%":
		return "%", true
	case "n":
		return "\n", true
	case "t":
		return "\t", true
	case "Y":
		return strconv.Itoa(t.Year()), true
	case "E4Y":
		return fmt.Sprintf("%04d", t.Year()), true
	case "C":
		return fmt.Sprintf("%02d", t.Year()/100), true
	case "G":
		return strconv.Itoa(isoYear), true
	case "g":
		return fmt.Sprintf("%02d", isoYear%100), true
	case "V":
		return fmt.Sprintf("%02d", isoWeek), true
	case "U":
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7), true
	case "W":
		return fmt.Sprintf("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7), true
	case "u":
		return strconv.Itoa((int(t.Weekday())+6)%7 + 1), true
	case "w":
		return strconv.Itoa(int(t.Weekday())), true
	case "j":
		return fmt.Sprintf("%03d", t.YearDay()), true
	case "k":
		return fmt.Sprintf("%2d", t.Hour()), true
	case "l":
		return fmt.Sprintf("%2d", (t.Hour()+11)%12+1), true
	case "Q":
		return strconv.Itoa((int(t.Month())-1)/3 + 1), true
	case "J":
		return fmt.Sprintf("%03d", isoDay(t)), true
	case "s":
		return strconv.FormatInt(t.Unix(), 10), true
	}
	return formatSeconds(element, t)
}

// isoDay is the day of the ISO year.
func isoDay(t time.Time) int {
	_, week := t.ISOWeek()
	return (week-1)*7 + (int(t.Weekday())+6)%7 + 1
}

// formatSeconds is %E3S (that many digits) and %E*S (as many as needed).
func formatSeconds(element string, t time.Time) (string, bool) {
	digits, ok := strings.CutPrefix(element, "E")
	digits, isSeconds := strings.CutSuffix(digits, "S")
	if !ok || !isSeconds {
		return "", false
	}
	fraction := fmt.Sprintf("%06d", t.Nanosecond()/1000)
	seconds := t.Format("05")
	if digits == "*" {
		fraction = strings.TrimRight(fraction, "0")
		if fraction == "" {
			return seconds, true
		}
		return seconds + "." + fraction, true
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > 6 {
		return "", false
	}
	if n == 0 {
		return seconds, true
	}
	return seconds + "." + fraction[:n], true
}
