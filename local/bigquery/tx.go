package bigquery

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// conflictRetries bounds how often a change is done again after DuckDB refused
// it for a conflict that the locks above it do not know; the pause between
// attempts doubles from the first to the longest.
const (
	conflictRetries = 60
	firstPause      = time.Millisecond
	longestPause    = 200 * time.Millisecond
)

// change is a unit of work that commits as a whole.
type change struct {
	locks []lock
	run   func(ctx context.Context, conn *sql.Conn) error
}

// apply takes the change's locks, runs it in one DuckDB transaction and
// commits. Conflicts inside DuckDB are retried and never returned.
func (s *Server) apply(ctx context.Context, c change) error {
	held := make([]lock, 0, len(c.locks))
	committed := false
	defer func() { s.locks.release(committed, held...) }()
	for _, k := range c.locks {
		if err := s.locks.acquire(ctx, k); err != nil {
			return err
		}
		held = append(held, k)
	}
	err := s.transactAgain(ctx, c.run)
	committed = err == nil
	if committed && slices.ContainsFunc(held, func(k lock) bool { return k.mode == lockSchema }) {
		// Before the locks are released: whoever waits for them was analysed
		// against the old schema and must notice.
		s.schema.Add(1)
	}
	return err
}

// transactAgain runs f until it meets no conflict inside DuckDB.
func (s *Server) transactAgain(ctx context.Context, f func(ctx context.Context, conn *sql.Conn) error) error {
	var err error
	pause := firstPause
	for range conflictRetries {
		if err = s.transact(ctx, f); !isConflict(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
		pause = min(2*pause, longestPause)
	}
	return err
}

// transact runs f in a DuckDB transaction of its own.
func (s *Server) transact(ctx context.Context, f func(ctx context.Context, conn *sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the database: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `BEGIN TRANSACTION`); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := f(ctx, conn); err != nil {
		return errors.Join(err, rollback(ctx, conn))
	}
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), `COMMIT`); err != nil {
		return errors.Join(fmt.Errorf("committing: %w", err), rollback(ctx, conn))
	}
	return nil
}

// rollback ends the transaction of conn, also after its context ended. DuckDB
// has ended it by itself when the commit was what failed.
func rollback(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	if err == nil || strings.Contains(err.Error(), "no transaction is active") {
		return nil
	}
	return fmt.Errorf("rolling back: %w", err)
}

// isConflict reports a refusal of DuckDB's concurrency control.
func isConflict(err error) bool {
	var known *wire.Error
	if err == nil || errors.As(err, &known) {
		return false
	}
	var duck *duckdb.Error
	if !errors.As(err, &duck) {
		return false
	}
	if duck.Type != duckdb.ErrorTypeTransaction && duck.Type != duckdb.ErrorTypeConstraint {
		return false
	}
	return strings.Contains(duck.Msg, "onflict") || strings.Contains(duck.Msg, "has been altered") || strings.Contains(duck.Msg, "uplicate key \"project:")
}

// withAppender appends rows to a table in conn's transaction.
func withAppender(conn *sql.Conn, schema, table string, f func(*duckdb.Appender) error) error {
	return conn.Raw(func(raw any) error {
		dc, ok := raw.(driver.Conn)
		if !ok {
			return fmt.Errorf("%T is not a database connection", raw)
		}
		a, err := duckdb.NewAppenderFromConn(dc, schema, table)
		if err != nil {
			return fmt.Errorf("opening an appender: %w", err)
		}
		if err := f(a); err != nil {
			return errors.Join(err, a.Clear(), a.Close())
		}
		if err := a.Close(); err != nil {
			return fmt.Errorf("appending rows: %w", err)
		}
		return nil
	})
}
