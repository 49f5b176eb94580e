package queue_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones that the tests name

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func schedule(t *testing.T, cron, zone string) queue.Schedule {
	t.Helper()
	s, err := queue.ParseSchedule(cron, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNextSlots(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, after, want string // slots in UTC, joined by ", "
	}{
		{"daily", "0 2 * * *", "", "2026-06-01 02:00", "2026-06-02 02:00, 2026-06-03 02:00"},
		{"alias", "@daily", "", "2026-06-01 02:00", "2026-06-02 00:00"},
		{"spaces and names", " 30  4 * JAN Mon ", "UTC", "2026-06-01 00:00", "2027-01-04 04:30, 2027-01-11 04:30"},
		{"Sunday is 0 and 7", "0 0 * * 7", "", "2026-06-01 00:00", "2026-06-07 00:00, 2026-06-14 00:00"},
		{"weekdays", "0 0 * * 1-5", "", "2026-06-04 12:00", "2026-06-05 00:00, 2026-06-08 00:00"},
		{"day of month or of week", "0 0 13 * 5", "", "2026-06-01 00:00", "2026-06-05 00:00, 2026-06-12 00:00, 2026-06-13 00:00"},
		{"29 February", "0 3 29 2 *", "", "2026-06-01 00:00", "2028-02-29 03:00, 2032-02-29 03:00"},
		{"29 February skips 2100", "0 3 29 2 *", "", "2096-03-01 00:00", "2104-02-29 03:00"},
		{"the 31st", "0 0 31 * *", "", "2026-06-01 00:00", "2026-07-31 00:00, 2026-08-31 00:00, 2026-10-31 00:00"},
		{"half hours east", "0 9 * * *", "Asia/Kolkata", "2026-06-01 00:00", "2026-06-01 03:30, 2026-06-02 03:30"},
		{"quarters of an hour", "15 0 * * *", "Asia/Kathmandu", "2026-06-01 00:00", "2026-06-01 18:30"},
		{"west", "0 22 * * *", "America/Los_Angeles", "2026-06-01 00:00", "2026-06-01 05:00, 2026-06-02 05:00"},
		// Berlin goes from 02:00 to 03:00 on 29 March 2026 and back from 03:00 to 02:00 on 25 October.
		{"in the gap", "30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", "2026-03-28 01:30, 2026-03-29 01:00, 2026-03-30 00:30"},
		{"twice in the gap is once", "0,30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00, 2026-03-30 00:00, 2026-03-30 00:30"},
		{"at the end of the gap", "0 3 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00, 2026-03-30 01:00"},
		{"in the repeated hour", "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 00:30, 2026-10-26 01:30"},
		{"after the first of two", "30 2 * * *", "Europe/Berlin", "2026-10-25 01:10", "2026-10-26 01:30"},
		{"hourly over the gap", "0 * * * *", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 01:00, 2026-03-29 02:00"},
		{"hourly over the repeated hour", "0 * * * *", "Europe/Berlin", "2026-10-24 23:30", "2026-10-25 00:00, 2026-10-25 01:00, 2026-10-25 02:00"},
		{"every two hours over the repeated hour", "0 */2 * * *", "Europe/Berlin", "2026-10-24 21:00", "2026-10-24 22:00, 2026-10-25 00:00, 2026-10-25 01:00, 2026-10-25 03:00"},
		{"quarters over the gap", "*/15 * * * *", "Europe/Berlin", "2026-03-29 00:40", "2026-03-29 00:45, 2026-03-29 01:00, 2026-03-29 01:15"},
		// Lord Howe goes back by half an hour, from 02:00 to 01:30, on 5 April 2026, and forward from 02:00 to 02:30 on 4 October.
		{"half an hour back", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00", "2026-04-04 14:45, 2026-04-05 15:15"},
		{"half an hour forward", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", "2026-10-03 15:30, 2026-10-04 15:15"},
		{"half hours of elapsed time", "*/30 * * * *", "Australia/Lord_Howe", "2026-04-04 14:30", "2026-04-04 15:00, 2026-04-04 15:30, 2026-04-04 16:00"},
		// Samoa left out 30 December 2011.
		{"a day that was left out", "0 6 30 * *", "Pacific/Apia", "2011-12-01 00:00", "2011-12-30 10:00, 2012-01-29 16:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := schedule(t, c.cron, c.zone)
			var got []string
			now := at(c.after)
			for range strings.Count(c.want, ",") + 1 {
				next, ok := s.Next(now)
				if !ok {
					t.Fatalf("no slot after %s", now)
				}
				got, now = append(got, next.Format("2006-01-02 15:04")), next
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("%s in %s after %s:\n got %s\nwant %s", c.cron, c.zone, c.after, text, c.want)
			}
		})
	}
}

func TestSchedulesThatAreNone(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""},
		{"* * * *", ""},
		{"0 0 * * * *", ""},
		{"60 * * * *", ""},
		{"0 24 * * *", ""},
		{"0 0 0 * *", ""},
		{"0 0 * 13 *", ""},
		{"0 0 * * 8", ""},
		{"a * * * *", ""},
		{"*/0 * * * *", ""},
		{"10-5 * * * *", ""},
		{"0 0 31 2 *", ""},
		{"@never", ""},
		{"0 0 * * *", "Mars/Olympus"},
		{"0 0 * * *", "Local"},
		{"0 0 * * *", "../../etc/passwd"},
		{"0 0 * * *; DROP", ""},
	} {
		_, err := queue.ParseSchedule(c[0], c[1])
		var refused *launcher.Error
		if !errors.As(err, &refused) || refused.Code != launcher.CodeInvalidParameter {
			t.Errorf("%q in %q: %v", c[0], c[1], err)
		}
	}
}

func TestDatesOfSlots(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, slot string
		lookback               int
		want                   string
	}{
		{"daily is the day before", "0 2 * * *", "", "2026-06-02 02:00", 0, "2026-06-01..2026-06-01"},
		{"late days", "0 2 * * *", "", "2026-06-02 02:00", 3, "2026-05-29..2026-06-01"},
		{"monthly is the month before", "0 3 1 * *", "", "2026-03-01 03:00", 0, "2026-02-01..2026-02-28"},
		{"monthly in January", "0 3 1 * *", "", "2026-01-01 03:00", 0, "2025-12-01..2025-12-31"},
		{"monthly in the zone's month", "0 0 1 * *", "Europe/Berlin", "2026-05-31 22:00", 0, "2026-05-01..2026-05-31"},
		{"quarterly", "0 3 1 1,4,7,10 *", "", "2026-04-01 03:00", 0, "2026-01-01..2026-03-31"},
		{"weekly is the week", "0 3 * * 1", "", "2026-06-08 03:00", 0, "2026-06-01..2026-06-07"},
		{"Monday after a weekend", "0 3 * * 1-5", "", "2026-06-08 03:00", 0, "2026-06-05..2026-06-07"},
		{"hourly is the day before", "0 * * * *", "", "2026-06-02 05:00", 0, "2026-06-01..2026-06-01"},
		{"a day that has not ended in UTC is left to the next slot", "0 1 * * *", "Europe/Berlin", "2026-06-01 23:00", 0, "2026-05-31..2026-05-31"},
		{"and made up for when clocks go back", "0 1 * * *", "Europe/Berlin", "2026-10-26 00:00", 0, "2026-10-24..2026-10-25"},
		{"west of UTC", "0 20 * * *", "America/Los_Angeles", "2026-06-02 03:00", 0, "2026-05-31..2026-05-31"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start, end := schedule(t, c.cron, c.zone).Dates(at(c.slot), c.lookback)
			if got := start.String() + ".." + end.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Whatever the zone, no day is left out over a year with both changes of its offset.
func TestDailySchedulesStateEveryDay(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Pago_Pago"} {
		for _, cron := range []string{"30 1 * * *", "59 23 * * *", "0 5 * * 1-5"} {
			s := schedule(t, cron, zone)
			slot, _ := s.Next(at("2026-01-10 00:00"))
			_, last := s.Dates(slot, 0)
			for slot.Before(at("2027-01-10 00:00")) {
				slot, _ = s.Next(slot)
				start, end := s.Dates(slot, 0)
				if start.After(last.AddDays(1)) {
					t.Fatalf("%s in %s: the slot %s begins with %s, the one before ended with %s", cron, zone, slot, start, last)
				}
				if !end.AddDays(1).In(time.UTC).Before(slot.Add(time.Nanosecond)) {
					t.Fatalf("%s in %s: %s had not ended at %s", cron, zone, end, slot)
				}
				last = end
			}
		}
	}
}

func TestMissedSlotsAreEachFiredOnce(t *testing.T) {
	s := schedule(t, "0 2 * * *", "")
	now := at("2026-06-10 12:00")
	for _, c := range []struct {
		since       string
		back        time.Duration
		most, count int
		first       string
	}{
		{"2026-06-10 02:00", 240 * time.Hour, 100, 0, ""},
		{"2026-06-10 01:59", 240 * time.Hour, 100, 1, "2026-06-10 02:00"},
		{"2026-06-07 02:00", 240 * time.Hour, 100, 3, "2026-06-08 02:00"},
		{"2025-01-01 00:00", 72 * time.Hour, 100, 3, "2026-06-08 02:00"},
		{"2026-06-01 00:00", 240 * time.Hour, 2, 2, "2026-06-09 02:00"},
	} {
		got := s.Missed(at(c.since), now, c.back, c.most)
		if len(got) != c.count || c.count > 0 && !got[0].Equal(at(c.first)) {
			t.Errorf("since %s: %v", c.since, got)
		}
	}
}

func TestRunOfASlotIsTheSameWhoeverFiresIt(t *testing.T) {
	slot := at("2026-06-02 02:00")
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	id := queue.SlotRun("acme", "openai/cost/usage_cost", nil, slot)
	if id != queue.SlotRun("acme", "openai/cost/usage_cost", map[string]string{}, slot.In(berlin)) {
		t.Error("the zone in which a slot is written changes its run")
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{
		queue.SlotRun("acme2", "openai/cost/usage_cost", nil, slot),
		queue.SlotRun("acme", "openai/cost/usage_extract", nil, slot),
		queue.SlotRun("acme", "openai/cost/usage_cost", nil, slot.Add(time.Minute)),
		queue.SlotRun("acme", "openai/cost/usage_cost", map[string]string{"a": "1"}, slot),
		queue.SlotRun("acme", "openai/cost/usage_cost", map[string]string{"a": "2"}, slot),
	} {
		if seen[other] {
			t.Error("two slots share a run")
		}
		seen[other] = true
	}
}
