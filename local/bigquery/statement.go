package bigquery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/alter"
	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// statement is one analysed statement and what it did once it ran.
type statement struct {
	text   analyze.StatementText
	params *parameters
	st     *analyze.Statement
	query  *translate.Query
	alter  *alter.Statement // of ALTER TABLE only
	schema int64            // of the server when it was analysed

	rows  *queryRows
	stats wire.QueryStatistics
	bytes int64
}

// errStale says that a table changed between analysis and execution.
var errStale = errors.New("a table changed since the statement was analysed")

// queryContext is what the statements of one job share.
type queryContext struct {
	project string
	dataset wire.DatasetReference
	params  *parameters
	region  string
}

func newQueryContext(run *jobRun) (*queryContext, error) {
	cfg := run.cfg.Query
	qc := &queryContext{project: run.job.JobReference.ProjectID, region: run.job.JobReference.Location}
	qc.dataset.ProjectID = qc.project
	if d := cfg.DefaultDataset; d != nil {
		qc.dataset.DatasetID = d.DatasetID
		if d.ProjectID != "" {
			qc.dataset.ProjectID = d.ProjectID
		}
	}
	var err error
	qc.params, err = readParameters(cfg.QueryParameters)
	return qc, err
}

// analyse resolves a statement against the catalog that q sees.
func (s *Server) analyse(ctx context.Context, q catalog.Querier, qc *queryContext, text analyze.StatementText) (*statement, error) {
	if alter.Is(text.SQL) {
		return s.analyseAlter(ctx, q, qc, text)
	}
	out := &statement{text: text, params: qc.params, schema: s.schema.Load()}
	var err error
	out.st, err = s.analyzer.Statement(ctx, text.SQL, analyze.Options{
		DefaultProject: qc.dataset.ProjectID, DefaultDataset: qc.dataset.DatasetID, Catalog: sqlCatalog{s: s, q: q},
		Params: qc.params.declared, Location: qc.region, Line: text.Line, Col: text.Col,
	})
	if err != nil {
		return nil, s.sqlError(err)
	}
	if out.query, err = translate.Statement(out.st, relations{s: s}); err != nil {
		return nil, s.sqlError(err)
	}
	out.stats.StatementType = string(out.st.Kind)
	for _, t := range out.st.Referenced {
		if strings.HasPrefix(t.Name, informationSchema+".") {
			continue
		}
		out.stats.ReferencedTables = append(out.stats.ReferencedTables, tableReference(t.FullName()))
	}
	return out, s.estimate(ctx, q, out)
}

// estimate sets the bytes the statement reads: rows by the width of the
// columns of each table it names.
func (s *Server) estimate(ctx context.Context, q catalog.Querier, st *statement) error {
	refs := append([]wire.TableReference{}, st.stats.ReferencedTables...)
	if st.st.Kind.IsDML() && st.st.Kind != analyze.KindInsert && st.st.Target != nil {
		refs = append(refs, tableReference(*st.st.Target))
	}
	for _, ref := range refs {
		t, err := catalog.Table(ctx, q, ref)
		if err != nil {
			return err
		}
		if t.View != nil {
			continue
		}
		var n int64
		if err := q.QueryRowContext(ctx, `SELECT count(*) FROM `+catalog.Relation(ref)).Scan(&n); err != nil {
			return fmt.Errorf("counting table %s: %w", ref, err)
		}
		st.bytes += n * rowBytes(t.Schema)
	}
	st.stats.TotalBytesProcessed = decimalText(st.bytes)
	st.stats.TotalBytesBilled = decimalText(billed(st.bytes))
	return nil
}

// billed rounds up to a MiB, at least ten, as the service bills.
func billed(bytes int64) int64 {
	const mib = 1 << 20
	if bytes == 0 {
		return 0
	}
	return max(10*mib, (bytes+mib-1)/mib*mib)
}

// checkBilled enforces maximumBytesBilled on the estimate.
func checkBilled(cfg *wire.QueryConfig, bytes int64) error {
	limit, err := strconv.ParseInt(cfg.MaximumBytesBilled, 10, 64)
	if err != nil || limit <= 0 || billed(bytes) <= limit {
		return nil
	}
	return &wire.Error{
		HTTPStatus: 400, Reason: wire.ReasonBytesBilled,
		Message: fmt.Sprintf("Query exceeded limit for bytes billed: %d. %d or higher required.", limit, billed(bytes)),
	}
}

// lock is what a statement needs of its target; false for one that writes no
// table.
func (st *statement) lock() (lock, bool) {
	if st.st.Target == nil {
		return lock{}, false
	}
	k := lock{table: tableReference(*st.st.Target), mode: lockSchema}
	switch {
	case st.st.Kind == analyze.KindInsert:
		k.mode = lockAppend
	case st.st.Kind.IsDML():
		k.mode = lockMutate
	case st.st.Kind == analyze.KindSelect:
		return lock{}, false
	}
	return k, true
}

// perform runs a statement in conn's transaction; the caller holds its lock.
func (s *Server) perform(ctx context.Context, conn *sql.Conn, st *statement) error {
	if st.schema != s.schema.Load() {
		return errStale
	}
	switch kind := st.st.Kind; {
	case kind == analyze.KindSelect:
		return s.sqlError(s.selectRows(ctx, conn, st))
	case kind.IsDML():
		return s.sqlError(s.modify(ctx, conn, st))
	}
	return s.sqlError(s.define(ctx, conn, st))
}

func (s *Server) selectRows(ctx context.Context, conn *sql.Conn, st *statement) error {
	schema, err := schemaOf(st.query.Columns, "NULLABLE")
	if err != nil {
		return err
	}
	if err := s.runChecks(ctx, conn, st); err != nil {
		return err
	}
	args, err := st.params.bind(st.query.Params)
	if err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, readableQuery(st.query.SQL, schema), args...)
	if err != nil {
		return fmt.Errorf("running a query: %w", err)
	}
	st.rows, err = collect(schema, rows)
	return err
}

// readableQuery wraps a query whose columns the driver cannot return as they
// are.
func readableQuery(text string, schema *wire.Schema) string {
	wrapped := false
	names, values := "", ""
	for i := range schema.Fields {
		name := fmt.Sprintf("c%d", i+1)
		value := readable("q."+name, &schema.Fields[i])
		wrapped = wrapped || value != "q."+name
		if i > 0 {
			names, values = names+", ", values+", "
		}
		names, values = names+name, values+value
	}
	if !wrapped {
		return text
	}
	return "SELECT " + values + " FROM (" + text + ") AS q(" + names + ")"
}

func (s *Server) runChecks(ctx context.Context, conn *sql.Conn, st *statement) error {
	for _, check := range st.query.Checks {
		args, err := st.params.bind(check.Params)
		if err != nil {
			return err
		}
		var found bool
		if err := conn.QueryRowContext(ctx, `SELECT count(*) > 0 FROM (`+check.SQL+`)`, args...).Scan(&found); err != nil {
			return fmt.Errorf("checking a statement: %w", err)
		}
		if found {
			return wire.InvalidQuery(check.Message)
		}
	}
	return nil
}

// modify runs a DML statement and counts the rows it changed.
func (s *Server) modify(ctx context.Context, conn *sql.Conn, st *statement) error {
	if err := s.runChecks(ctx, conn, st); err != nil {
		return err
	}
	args, err := st.params.bind(st.query.Params)
	if err != nil {
		return err
	}
	done, err := s.changeRows(ctx, conn, st, bound{st.query.SQL, args})
	if err != nil {
		return err
	}
	st.stats.DMLStats, st.stats.NumDMLAffectedRows = done.stats(st.st.Kind), decimalText(done.total)
	return nil
}

// bound is a statement with its arguments.
type bound struct {
	text string
	args []any
}

func affect(ctx context.Context, conn *sql.Conn, b bound) (int64, error) {
	result, err := conn.ExecContext(ctx, b.text, b.args...)
	if err != nil {
		return 0, fmt.Errorf("changing rows: %w", err)
	}
	return result.RowsAffected()
}
