package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/cloudact/convergence/api"
	"github.com/cloudact/convergence/launcher/queue"
)

// measuredBoard counts what passes on its way to the tables of the queue.
type measuredBoard struct {
	queue.Board
	metrics *api.Metrics

	mu   sync.Mutex
	runs map[string]queue.Row // that have not ended, by id
}

func measured(b queue.Board, m *api.Metrics) *measuredBoard {
	return &measuredBoard{Board: b, metrics: m, runs: map[string]queue.Row{}}
}

// ShowQueue implements queue.Board. Rows are what has changed since the last call.
func (b *measuredBoard) ShowQueue(ctx context.Context, rows ...queue.Row) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	touched := map[string]bool{}
	now := maps.Clone(b.runs)
	for _, r := range rows {
		touched[r.Run.Org] = true
		if r.State == "" {
			delete(now, r.Run.ID)
		} else {
			now[r.Run.ID] = r
		}
	}
	if err := b.Board.ShowQueue(ctx, rows...); err != nil {
		return err // they come again
	}
	b.runs = now
	states := map[string]int{queue.Queued: 0, queue.Waiting: 0, queue.RetryWait: 0, queue.Processing: 0}
	active := map[string]int{}
	for _, r := range now {
		states[r.State]++
		if r.State == queue.Processing {
			active[r.Run.Org]++
		}
	}
	for state, runs := range states {
		b.metrics.Queued(state, runs)
	}
	for org := range touched {
		b.metrics.Active(org, active[org])
	}
	return nil
}

// ShowUsage implements queue.Board.
func (b *measuredBoard) ShowUsage(ctx context.Context, now time.Time, usages ...queue.Usage) error {
	for _, u := range usages {
		b.metrics.Quota(u.Org, "daily", int64(u.Today), u.Account.DailyLimit)
		b.metrics.Quota(u.Org, "monthly", int64(u.Month), u.Account.MonthlyLimit)
		b.metrics.Quota(u.Org, "concurrent", int64(u.Slots), u.Account.ConcurrentLimit)
	}
	return b.Board.ShowUsage(ctx, now, usages...)
}
