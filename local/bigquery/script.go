package bigquery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// script runs the statements of one job in order. A statement outside a
// transaction commits by itself, with the record of its child job.
type script struct {
	s   *Server
	run *jobRun
	qc  *queryContext
	tx  *scriptTx
	// ran counts statements, for the ids of child jobs; bytes sums estimates.
	ran   int
	bytes int64
}

// scriptTx is an open multi-statement transaction.
type scriptTx struct {
	conn     *sql.Conn
	since    int64 // of the locks, when it began
	held     []lock
	children []*jobRun
}

func (s *Server) runScript(ctx context.Context, run *jobRun, qc *queryContext, texts []analyze.StatementText) error {
	if run.cfg.Query.DestinationTable != nil {
		return wire.Invalid("configuration.query.destinationTable cannot be set for scripts")
	}
	sc := &script{s: s, run: run, qc: qc}
	defer sc.abandon(ctx)
	run.job.Statistics.Query.StatementType = "SCRIPT"
	for i, text := range texts {
		err := faultOf(ctx).atStatement(ctx, i+1)
		if err == nil {
			err = sc.step(ctx, text, i == len(texts)-1)
		}
		if err != nil {
			sc.forgetChildren()
			return err
		}
	}
	if sc.tx == nil && run.job.Status.State == stateDone {
		return nil
	}
	sc.abandon(ctx)
	return s.transactAgain(ctx, func(ctx context.Context, conn *sql.Conn) error { return s.record(ctx, conn, run) })
}

// forgetChildren takes back the figures of children that were rolled back.
func (sc *script) forgetChildren() {
	if sc.tx != nil {
		sc.ran -= len(sc.tx.children)
		sc.summarise()
	}
}

func (sc *script) summarise() {
	stats := sc.run.job.Statistics
	stats.NumChildJobs = decimalText(int64(sc.ran))
	stats.TotalBytesProcessed = decimalText(sc.bytes)
	stats.Query.TotalBytesProcessed = stats.TotalBytesProcessed
	stats.Query.TotalBytesBilled = decimalText(billed(sc.bytes))
}

// abandon rolls back a transaction that is still open.
func (sc *script) abandon(ctx context.Context) {
	if sc.tx == nil {
		return
	}
	if err := sc.close(ctx, false); err != nil {
		sc.s.cfg.Logger.ErrorContext(ctx, "rolling back a transaction", "job", sc.run.job.ID, "error", err)
	}
}

// close ends the transaction and gives its locks and connection back.
func (sc *script) close(ctx context.Context, commit bool) error {
	tx := sc.tx
	sc.tx = nil
	var err error
	if commit {
		_, err = tx.conn.ExecContext(context.WithoutCancel(ctx), `COMMIT`)
	}
	if !commit || err != nil {
		err = errors.Join(err, rollback(ctx, tx.conn))
	}
	sc.s.locks.release(commit && err == nil, tx.held...)
	return errors.Join(err, tx.conn.Close())
}

func (sc *script) step(ctx context.Context, text analyze.StatementText, last bool) error {
	if sc.tx == nil {
		if err := sc.s.expirePartitions(ctx); err != nil {
			return err
		}
	}
	for range staleRetries {
		st, err := sc.analyse(ctx, text)
		if err == nil {
			err = sc.s.requireFilters(ctx, st)
		}
		if err != nil {
			return err
		}
		if err := checkBilled(sc.run.cfg.Query, sc.bytes+st.bytes); err != nil {
			return err
		}
		switch st.st.Kind {
		case analyze.KindBeginTransaction:
			return sc.begin(ctx)
		case analyze.KindCommitTransaction:
			return sc.commit(ctx, last)
		case analyze.KindRollbackTransaction:
			return sc.rollback(ctx)
		}
		if sc.tx != nil {
			return sc.within(ctx, st)
		}
		if err = sc.alone(ctx, st, last); !errors.Is(err, errStale) {
			return err
		}
	}
	return errStale
}

func (sc *script) analyse(ctx context.Context, text analyze.StatementText) (*statement, error) {
	if sc.tx != nil {
		return sc.s.analyse(ctx, sc.tx.conn, sc.qc, text)
	}
	return sc.s.analyse(ctx, sc.s.db, sc.qc, text)
}

func (sc *script) begin(ctx context.Context) error {
	if sc.tx != nil {
		return wire.InvalidQuery("Cannot begin a transaction: a transaction is already in progress")
	}
	since := sc.s.locks.now()
	conn, err := sc.s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the database: %w", err)
	}
	if _, err := conn.ExecContext(ctx, `BEGIN TRANSACTION`); err != nil {
		return errors.Join(fmt.Errorf("beginning a transaction: %w", err), conn.Close())
	}
	sc.tx = &scriptTx{conn: conn, since: since}
	return nil
}

// commit makes the transaction's effects and the records of its statements
// durable at once; as the last statement it makes the script's record too.
func (sc *script) commit(ctx context.Context, last bool) error {
	tx := sc.tx
	if tx == nil {
		return wire.InvalidQuery("Cannot commit: no transaction is in progress")
	}
	for _, child := range tx.children {
		if err := sc.s.record(ctx, tx.conn, child); err != nil {
			return err
		}
	}
	if err := sc.recordScript(ctx, tx.conn, last); err != nil {
		return err
	}
	table := wire.TableReference{}
	if len(tx.held) > 0 {
		table = tx.held[0].table
	}
	err := sc.close(ctx, true)
	if err != nil {
		sc.run.job.Status.State = stateRunning
	}
	if isConflict(err) {
		return wire.ConcurrentUpdate(table)
	}
	return err
}

func (sc *script) rollback(ctx context.Context) error {
	if sc.tx == nil {
		return wire.InvalidQuery("Cannot roll back: no transaction is in progress")
	}
	sc.forgetChildren()
	return sc.close(ctx, false)
}

// recordScript stores the script's own job: done when its last statement
// commits here, running otherwise, so that a killed server leaves a trace.
func (sc *script) recordScript(ctx context.Context, conn *sql.Conn, last bool) error {
	sc.summarise()
	if last {
		return sc.s.record(ctx, conn, sc.run)
	}
	return catalog.PutJob(ctx, conn, sc.run.job)
}

// within runs a statement inside the open transaction. The transaction never
// waits: a table that another changes, or changed since it began, aborts it.
func (sc *script) within(ctx context.Context, st *statement) error {
	k, writes := st.lock()
	if writes && k.mode == lockSchema {
		return wire.NotImplemented(fmt.Sprintf("%s inside a transaction", st.st.Kind))
	}
	if writes && !sc.tx.holds(k) {
		if !sc.s.locks.try(k, sc.tx.since) {
			return wire.ConcurrentUpdate(k.table)
		}
		sc.tx.held = append(sc.tx.held, k)
	}
	leave, err := sc.s.dml.enter(st)
	if err != nil {
		return err
	}
	defer leave()
	st.schema = sc.s.schema.Load()
	err = sc.s.perform(ctx, sc.tx.conn, st)
	if isConflict(err) {
		return wire.ConcurrentUpdate(k.table)
	}
	if err != nil {
		return err
	}
	sc.tx.children = append(sc.tx.children, sc.child(st))
	return nil
}

func (tx *scriptTx) holds(k lock) bool {
	for _, h := range tx.held {
		if h.table == k.table && h.mode >= k.mode {
			return true
		}
	}
	return false
}

// alone runs a statement outside a transaction.
func (sc *script) alone(ctx context.Context, st *statement, last bool) error {
	ran, bytes := sc.ran, sc.bytes
	c := change{run: func(ctx context.Context, conn *sql.Conn) error {
		sc.ran, sc.bytes = ran, bytes
		if err := sc.s.perform(ctx, conn, st); err != nil {
			return err
		}
		if err := sc.s.record(ctx, conn, sc.child(st)); err != nil {
			return err
		}
		return sc.recordScript(ctx, conn, last)
	}}
	if k, ok := st.lock(); ok {
		c.locks = []lock{k}
	}
	leave, err := sc.s.dml.enter(st)
	if err != nil {
		return err
	}
	defer leave()
	if err = sc.s.apply(ctx, c); err != nil {
		sc.run.job.Status.State = stateRunning
	}
	return err
}

// child makes the job of a statement that ran; the script answers with the
// result of its latest statement.
func (sc *script) child(st *statement) *jobRun {
	parent := sc.run.job
	ref := parent.JobReference
	ref.JobID = fmt.Sprintf("script_job_%s_%d", ref.JobID, sc.ran)
	sc.ran++
	sc.bytes += st.bytes
	job := &wire.Job{
		Kind: parent.Kind, ID: ref.ProjectID + ":" + ref.Location + "." + ref.JobID, UserEmail: parent.UserEmail, JobReference: ref,
		Configuration: map[string]any{"jobType": "QUERY", "query": map[string]any{"query": st.text.SQL, "useLegacySql": false}},
		Statistics: &wire.JobStatistics{
			CreationTime: parent.Statistics.CreationTime, StartTime: decimalText(sc.s.cfg.Clock().UnixMilli()),
			ParentJobID: parent.JobReference.JobID, ScriptStatistics: &wire.ScriptStatistics{EvaluationKind: "STATEMENT"},
		},
	}
	run := &jobRun{job: job}
	run.describe(st)
	sc.run.rows, sc.run.job.Local = st.rows, job.Local
	sc.run.job.Statistics.Query.NumDMLAffectedRows = st.stats.NumDMLAffectedRows
	sc.run.job.Statistics.Query.DMLStats = st.stats.DMLStats
	return run
}
