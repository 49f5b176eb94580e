package bigquery

import (
	"context"
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// insertMemory answers which insert ids were stored lately. The catalog holds
// the same ids; this is its index. Streams into one relation take turns.
type insertMemory struct {
	window time.Duration

	mu        sync.Mutex
	relations map[string]*insertRelation
	purged    time.Time
}

type insertRelation struct {
	turn sync.Mutex
	ids  map[string]int64 // id to milliseconds
}

func loadInsertMemory(ctx context.Context, q catalog.Querier, window time.Duration) (*insertMemory, error) {
	m := &insertMemory{window: window, relations: map[string]*insertRelation{}}
	ids, err := catalog.InsertIDs(ctx, q, 0)
	m.remember(ids)
	return m, err
}

// relation needs m.mu.
func (m *insertMemory) relation(name string) *insertRelation {
	r := m.relations[name]
	if r == nil {
		r = &insertRelation{ids: map[string]int64{}}
		m.relations[name] = r
	}
	return r
}

// lock gives the caller the turn for a relation until the result is called.
func (m *insertMemory) lock(name string) (unlock func()) {
	m.mu.Lock()
	r := m.relation(name)
	m.mu.Unlock()
	r.turn.Lock()
	return r.turn.Unlock
}

// fresh returns the rows whose ids are not remembered, each id once, and the
// ids to remember with them. A row without an id is always fresh.
func (m *insertMemory) fresh(name string, rows []decodedInsert, now time.Time) ([]decodedInsert, []catalog.InsertID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.relation(name).ids
	since := now.Add(-m.window).UnixMilli()
	here := map[string]bool{}
	out := make([]decodedInsert, 0, len(rows))
	var ids []catalog.InsertID
	for _, row := range rows {
		if row.id != "" {
			if at, ok := known[row.id]; ok && at >= since || here[row.id] {
				continue
			}
			here[row.id] = true
			ids = append(ids, catalog.InsertID{Relation: name, ID: row.id, At: now.UnixMilli()})
		}
		out = append(out, row)
	}
	return out, ids
}

// remember is called once the ids are committed.
func (m *insertMemory) remember(ids []catalog.InsertID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.relation(id.Relation).ids[id.ID] = id.At
	}
}

// purgeBefore returns the time before which ids are to be forgotten in the
// catalog, or 0 when that was done lately; it forgets them here.
func (m *insertMemory) purgeBefore(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.purged) < m.window {
		return 0
	}
	m.purged = now
	limit := now.Add(-m.window).UnixMilli()
	for _, r := range m.relations {
		for id, at := range r.ids {
			if at < limit {
				delete(r.ids, id)
			}
		}
	}
	return limit
}

// forget drops what is known about a table that is dropped.
func (m *insertMemory) forget(ref wire.TableReference) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.relations[catalog.PhysicalName(ref)]; r != nil {
		r.ids = map[string]int64{}
	}
}
