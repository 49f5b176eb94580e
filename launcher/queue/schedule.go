package queue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/civil"
	"github.com/adhocore/gronx"
	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
)

// aliases are the texts that stand for five cron fields.
var aliases = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

// Schedule is five cron fields in a time zone. Its slots are instants; a slot is never
// computed from when something ran, only from the text.
//
// Where a zone changes its offset, a schedule of fixed hours has one slot for each time
// that it names: at the end of the gap when clocks are put forward over that time, and at
// the first of the two when they are put back. A schedule whose hour is * goes by elapsed
// time instead and has a slot in each hour that passes.
type Schedule struct {
	cron    string
	zone    *time.Location
	rolling bool // the hour is *, */n or ?
	monthly bool // by the day of the month
}

// ParseSchedule returns the schedule of a cron text, UTC when zone is empty. The error
// says what is wrong and is made for the user.
func ParseSchedule(cron, zone string) (Schedule, error) {
	text := strings.Join(strings.Fields(strings.ToLower(cron)), " ")
	if alias, ok := aliases[text]; ok {
		text = alias
	}
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return Schedule{}, invalidSchedule("Invalid cron expression: %q has %d fields; a schedule has five: minute, hour, day of month, month, day of week", cron, len(fields))
	}
	if !withinBounds(fields) || !gronx.New().IsValid(text) {
		return Schedule{}, invalidSchedule("Invalid cron expression: %s", cron)
	}
	location, err := time.LoadLocation(cmp.Or(zone, "UTC"))
	if err != nil || zone == "Local" {
		return Schedule{}, invalidSchedule("%q is no time zone; write a name such as UTC or Europe/Berlin", zone)
	}
	s := Schedule{cron: text, zone: location}
	s.rolling = strings.HasPrefix(fields[1], "*") || fields[1] == "?"
	s.monthly = fields[2] != "*" && fields[2] != "?" && (fields[4] == "*" || fields[4] == "?") && !s.rolling && !strings.ContainsAny(fields[2], ",-/*")
	if _, ok := s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return Schedule{}, invalidSchedule("Invalid cron expression: %s names no day that exists", cron)
	}
	return s, nil
}

func invalidSchedule(format string, args ...any) error {
	return &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf(format, args...)}
}

var bounds = [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}

// withinBounds checks the numbers of fields; names of months and days, and the shape, are
// left to the parser.
func withinBounds(fields []string) bool {
	for i, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			span, step, stepped := strings.Cut(part, "/")
			if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > bounds[i][1]) {
				return false
			}
			first, last, ranged := strings.Cut(span, "-")
			a, errA := strconv.Atoi(first)
			b, errB := strconv.Atoi(last)
			if errA == nil && (a < bounds[i][0] || a > bounds[i][1]) || ranged && errB == nil && (b < bounds[i][0] || b > bounds[i][1]) ||
				ranged && errA == nil && errB == nil && b < a {
				return false
			}
		}
	}
	return true
}

// String returns the cron text.
func (s Schedule) String() string { return s.cron }

// Next returns the first slot after an instant, in UTC.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	if s.rolling {
		return s.nextElapsed(after)
	}
	wall := wallOf(after.In(s.zone))
	for range 1000 { // more slots than a gap or a repeated hour can hold
		next, ok := nextWall(s.cron, wall)
		if !ok {
			return time.Time{}, false
		}
		if slot := instant(next, s.zone); slot.After(after) {
			return slot.UTC(), true
		}
		wall = next
	}
	return time.Time{}, false
}

// nextElapsed goes through the stretches of time in which the zone keeps one offset.
func (s Schedule) nextElapsed(after time.Time) (time.Time, bool) {
	for {
		local := after.In(s.zone)
		_, offset := local.Zone()
		next, ok := nextWall(s.cron, wallOf(local))
		if !ok {
			return time.Time{}, false
		}
		slot := next.Add(-time.Duration(offset) * time.Second)
		_, end := local.ZoneBounds()
		if end.IsZero() || slot.Before(end) {
			return slot, true
		}
		if dueAt(s.cron, wallOf(end.In(s.zone))) { // the change itself is a slot
			return end.UTC(), true
		}
		after = end
	}
}

// wallOf returns what a clock on the wall shows, as if it hung in UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// instant returns when a wall clock shows a time: the first time it does, or the end of
// the gap that leaves the time out.
func instant(wall time.Time, zone *time.Location) time.Time {
	var best, later time.Time
	for _, around := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := wall.Add(around).In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if wallOf(t).Equal(wall) && (best.IsZero() || t.Before(best)) {
			best = t
		}
		if t.After(later) {
			later = t
		}
	}
	if !best.IsZero() {
		return best
	}
	start, _ := later.ZoneBounds()
	return start
}

// searchYears is how far the next slot may be away: 29 February skips 2100.
const searchYears = 9

func nextWall(cron string, after time.Time) (time.Time, bool) {
	from := after
	for range searchYears {
		next, err := gronx.NextTickAfter(cron, from, !from.Equal(after))
		if err == nil && dueAt(cron, next) && next.After(after) {
			return next.Truncate(time.Minute), true
		}
		from = time.Date(from.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}, false
}

func dueAt(cron string, wall time.Time) bool {
	due, err := gronx.New().IsDue(cron, wall)
	return err == nil && due
}

// previous returns the last slot before another one.
func (s Schedule) previous(slot time.Time) (time.Time, bool) {
	const day = 24 * time.Hour
	for _, back := range []time.Duration{2 * time.Hour, 50 * time.Hour, 33 * day, 367 * day, searchYears * 366 * day} {
		var last time.Time
		for at, ok := s.Next(slot.Add(-back)); ok && at.Before(slot); at, ok = s.Next(at) {
			last = at
		}
		if !last.IsZero() {
			return last, true
		}
	}
	return time.Time{}, false
}

// Missed returns the slots after `since` up to now, oldest first: each once, at most the
// newest `most`, and none older than back.
func (s Schedule) Missed(since, now time.Time, back time.Duration, most int) []time.Time {
	if oldest := now.Add(-back); since.Before(oldest) {
		since = oldest
	}
	var out []time.Time
	for at, ok := s.Next(since); ok && !at.After(now); at, ok = s.Next(at) {
		if out = append(out, at); len(out) > most {
			out = slices.Delete(out, 0, 1)
		}
	}
	return out
}

// Dates returns the days, both inclusive, that the run of a slot is about. A schedule by
// the day of the month is about the month before (or the months since its last slot); any
// other about the days that ended since its last slot, which for a daily one is the day
// before. Days are those of the schedule's zone, but one that has not ended in UTC yet is
// left to the next slot: providers count in UTC, and half a day would be stated for good.
// lookback adds days before, because providers restate them.
func (s Schedule) Dates(slot time.Time, lookback int) (start, end civil.Date) {
	local := civil.DateOf(slot.In(s.zone))
	before, ok := s.previous(slot)
	if s.monthly {
		end = civil.Date{Year: local.Year, Month: local.Month, Day: 1}.AddDays(-1)
		start = civil.Date{Year: end.Year, Month: end.Month, Day: 1}
		if from := civil.DateOf(before.In(s.zone)); ok {
			start = minDate(start, civil.Date{Year: from.Year, Month: from.Month, Day: 1})
		}
	} else {
		end = s.lastDay(slot)
		start = end
		if ok {
			start = minDate(end, s.lastDay(before).AddDays(1))
		}
	}
	return start.AddDays(-lookback), end
}

// lastDay is the day before an instant, in the zone and in UTC.
func (s Schedule) lastDay(at time.Time) civil.Date {
	return minDate(civil.DateOf(at.In(s.zone)), civil.DateOf(at.UTC())).AddDays(-1)
}

func minDate(a, b civil.Date) civil.Date {
	if b.Before(a) {
		return b
	}
	return a
}

var slotSpace = uuid.MustParse("6f1d2c0a-5b0e-5c55-9a3b-0d7b1e6c4f21")

// SlotRun returns the id of the run that a slot makes: the same whoever fires it, and
// however often. Configs of one pipeline with different parameters have different runs.
func SlotRun(org, pipeline string, params map[string]string, slot time.Time) string {
	return keyedRun(org, pipeline, params, slot.UTC().Format(time.RFC3339))
}

func keyedRun(org, pipeline string, params map[string]string, key string) string {
	var text []byte
	if len(params) > 0 {
		text, _ = json.Marshal(params) // keys come out sorted; texts always encode
	}
	return uuid.NewSHA1(slotSpace, fmt.Appendf(nil, "%q %q %q %q", org, pipeline, text, key)).String()
}
