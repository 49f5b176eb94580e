package sink

import (
	"context"
	"errors"
	"sync"

	"cloud.google.com/go/bigquery"
)

// Warehouse hands out clients. Implementations are safe for concurrent use and own the
// clients: nothing in this package closes one.
type Warehouse interface {
	// Client returns a client whose default project is project.
	Client(ctx context.Context, project string) (*bigquery.Client, error)
}

var current struct {
	sync.RWMutex
	warehouse Warehouse
}

// UseWarehouse sets where DoFns of this process get their clients. A main calls it
// before beam.Init; tests may call it again.
func UseWarehouse(w Warehouse) {
	current.Lock()
	defer current.Unlock()
	current.warehouse = w
}

func client(ctx context.Context, project string) (*bigquery.Client, error) {
	current.RLock()
	w := current.warehouse
	current.RUnlock()
	if w == nil {
		return nil, errors.New("no warehouse is set: call sink.UseWarehouse before beam.Init")
	}
	return w.Client(ctx, project)
}
