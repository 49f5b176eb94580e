package queue_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/queue"
)

// newBusyDesk is a desk with one pipeline whose organisation may run it often.
func newBusyDesk(t *testing.T, now time.Time, cron string) *desk {
	d := newDesk(t, now)
	d.accounts["acme"] = account(100, 100, 100)
	d.valid["acme/openai"] = true
	often := usage
	often.Cron = cron
	d.schedule(often)
	return d
}

// TestRow54AClockThatJumpsLosesNoSlotAndDoublesNone is row 54 of the fault matrix for
// schedules: the wall clock of a host jumps by an hour, and back.
func TestRow54AClockThatJumpsLosesNoSlotAndDoublesNone(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := at("2026-06-01 00:10")
				d := newBusyDesk(t, begin, "*/30 * * * *")
				for minutes := 0; minutes <= 8*60; minutes += 10 {
					d.now = begin.Add(time.Duration(minutes) * time.Minute)
					if minutes >= 2*60 && minutes < 5*60 {
						d.now = d.now.Add(jump)
					}
					d.trigger()
				}
				var slots []time.Time
				for _, f := range d.firings {
					slots = append(slots, f.Slot)
				}
				slices.SortFunc(slots, time.Time.Compare)
				var want []time.Time
				for slot := at("2026-06-01 00:30"); !slot.After(begin.Add(8 * time.Hour)); slot = slot.Add(30 * time.Minute) {
					want = append(want, slot)
				}
				if !slices.EqualFunc(slots, want, time.Time.Equal) {
					t.Errorf("fired were\n%v, want\n%v", slots, want)
				}
				if len(d.w.runs) != len(want) || len(d.asked) != len(want) {
					t.Errorf("%d slots asked %d times and made %d runs", len(want), len(d.asked), len(d.w.runs))
				}
			})
		})
	}
}

// TestRow54TwoHostsWhoseClocksDifferMakeOneRunASlot lets hosts an hour apart fire the same
// schedule by turns.
func TestRow54TwoHostsWhoseClocksDifferMakeOneRunASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := at("2026-06-01 00:10")
		d := newBusyDesk(t, begin, "0 * * * *")
		for minutes := 0; minutes <= 6*60; minutes += 10 {
			before := maps.Clone(d.pipelines) // what a host has read just before the other one fired
			for _, off := range []time.Duration{time.Hour, -time.Hour, 0} {
				after := d.pipelines
				d.pipelines = maps.Clone(before)
				d.now = begin.Add(time.Duration(minutes)*time.Minute + off)
				d.trigger()
				for id, p := range after {
					if d.pipelines[id].NextRun.Before(p.NextRun) && off != time.Hour {
						d.pipelines[id] = p
					}
				}
			}
		}
		slots := map[time.Time]bool{}
		for _, f := range d.firings {
			slots[f.Slot] = true
		}
		if len(d.w.runs) != len(slots) || len(slots) != 7 {
			t.Errorf("%d slots made %d runs", len(slots), len(d.w.runs))
		}
	})
}

// TestRow54AClockThatJumpsGivesNoQuotaTwice lets the clock pass midnight and come back: a
// day's quota is there once for each day, and nothing that a run holds is given back early.
func TestRow54AClockThatJumpsGivesNoQuotaTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.accounts["acme"] = account(2, 10, 10)
		o.now = time.Date(2026, 6, 29, 23, 30, 0, 0, time.UTC)
		first := newRun(queue.TriggerScheduler)
		o.admits(first, "")
		o.admits(newRun(queue.TriggerScheduler), "")
		o.admits(newRun(queue.TriggerScheduler), launcher.CodeDailyQuota)
		o.now = o.now.Add(time.Hour)
		o.admits(newRun(queue.TriggerScheduler), "")
		o.now = o.now.Add(-time.Hour)
		o.admits(newRun(queue.TriggerScheduler), "")
		o.admits(newRun(queue.TriggerScheduler), launcher.CodeDailyQuota)
		o.now = o.now.Add(time.Hour)
		o.admits(newRun(queue.TriggerScheduler), launcher.CodeDailyQuota)
		if got := o.usage(); got.Today != 2 || got.Month != 4 {
			t.Errorf("used are %d of the day and %d of the month", got.Today, got.Month)
		}
		o.now = o.now.Add(2 * time.Hour)
		if _, err := o.SweepAll(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := o.usage(); len(got.Holds) != 4 {
			t.Errorf("a clock that jumped gave back what %d of 4 runs hold", 4-len(got.Holds))
		}
	})
}
