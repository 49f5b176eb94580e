package bigquery

import (
	"context"
	"fmt"
	"sync"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// lockMode says how an operation touches a table. DuckDB lets two writers of
// disjoint rows commit; BigQuery does not, so writers meet here first.
type lockMode int

const (
	// lockAppend adds rows: it never conflicts with rows being changed.
	lockAppend lockMode = iota + 1
	// lockMutate changes or removes rows of a partition or of the table.
	lockMutate
	// lockSchema changes the table itself and excludes everything else.
	lockSchema
)

// lockTable holds the locks of all tables.
type lockTable struct {
	mu      sync.Mutex
	changed chan struct{}
	tables  map[wire.TableReference]*tableLock
	// sequence counts committed changes; a transaction compares it to find
	// out that a table changed under it.
	sequence int64
}

type tableLock struct {
	appends  int
	schema   bool
	waiting  int             // for lockSchema; new appends let it pass
	mutators map[string]bool // partition, or "" for the table
	mutated  int64           // sequence of the last committed mutation
}

// lock is a held lock.
type lock struct {
	table     wire.TableReference
	mode      lockMode
	partition string
}

func newLockTable() *lockTable {
	return &lockTable{changed: make(chan struct{}), tables: map[wire.TableReference]*tableLock{}}
}

func (l *lockTable) table(ref wire.TableReference) *tableLock {
	t := l.tables[ref]
	if t == nil {
		t = &tableLock{mutators: map[string]bool{}}
		l.tables[ref] = t
	}
	return t
}

func (t *tableLock) free(k lock) bool {
	if t.schema {
		return false
	}
	switch k.mode {
	case lockAppend:
		return t.waiting == 0
	case lockMutate:
		if k.partition == "" {
			return len(t.mutators) == 0
		}
		return !t.mutators[""] && !t.mutators[k.partition]
	}
	return t.appends == 0 && len(t.mutators) == 0
}

func (t *tableLock) take(k lock) {
	switch k.mode {
	case lockAppend:
		t.appends++
	case lockMutate:
		t.mutators[k.partition] = true
	case lockSchema:
		t.schema = true
	}
}

// acquire waits for a lock. The caller holds no other lock of that table.
func (l *lockTable) acquire(ctx context.Context, k lock) error {
	waiting := false
	for {
		l.mu.Lock()
		t := l.table(k.table)
		if waiting {
			t.waiting--
		}
		if t.free(k) {
			t.take(k)
			l.mu.Unlock()
			return nil
		}
		if waiting = k.mode == lockSchema; waiting {
			t.waiting++
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			l.leave(k, waiting)
			return fmt.Errorf("waiting for table %s: %w", k.table, ctx.Err())
		}
	}
}

func (l *lockTable) leave(k lock, waiting bool) {
	if !waiting {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table(k.table).waiting--
	l.wake()
}

// try takes a lock at once or not at all. It also fails when the table was
// mutated after since, the moment the caller's transaction began.
func (l *lockTable) try(k lock, since int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table(k.table)
	if k.mode == lockMutate && t.mutated > since || !t.free(k) {
		return false
	}
	t.take(k)
	return true
}

// now returns the sequence against which a new transaction is checked.
func (l *lockTable) now() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sequence
}

// release gives locks back; committed says that their changes took effect.
func (l *lockTable) release(committed bool, locks ...lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range locks {
		t := l.table(k.table)
		switch k.mode {
		case lockAppend:
			t.appends--
		case lockMutate:
			delete(t.mutators, k.partition)
		case lockSchema:
			t.schema = false
		}
		if committed && k.mode != lockAppend {
			l.sequence++
			t.mutated = l.sequence
		}
	}
	l.wake()
}

// wake needs l.mu.
func (l *lockTable) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}
