package bigquery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// staleRetries bounds how often a statement is analysed again because tables
// changed before it ran.
const staleRetries = 200

// runQuery runs a query job: one statement, or a script.
func (s *Server) runQuery(ctx context.Context, run *jobRun) error {
	run.job.Statistics.Query = &wire.QueryStatistics{}
	texts, qc, err := s.openQuery(run)
	if err != nil {
		return err
	}
	if len(texts) > 1 {
		return s.runScript(ctx, run, qc, texts)
	}
	if err := faultOf(ctx).atStatement(ctx, 1); err != nil {
		return err
	}
	if err := s.expirePartitions(ctx); err != nil {
		return err
	}
	for range staleRetries {
		st, err := s.analyse(ctx, s.db, qc, texts[0])
		if err == nil {
			err = s.requireFilters(ctx, st)
		}
		if err != nil {
			return err
		}
		if err := checkBilled(run.cfg.Query, st.bytes); err != nil {
			return err
		}
		if err = s.runStatement(ctx, run, st); !errors.Is(err, errStale) {
			return err
		}
	}
	return errStale
}

// openQuery checks what a query asks for and splits its text.
func (s *Server) openQuery(run *jobRun) ([]analyze.StatementText, *queryContext, error) {
	cfg := run.cfg.Query
	switch {
	case cfg.UseLegacySQL != nil && *cfg.UseLegacySQL:
		return nil, nil, wire.NotImplemented("legacy SQL; set useLegacySql to false")
	case cfg.CreateSession:
		return nil, nil, wire.NotImplemented("sessions (createSession)")
	case strings.TrimSpace(cfg.Query) == "":
		return nil, nil, wire.Invalid("Required parameter is missing: query")
	}
	for _, p := range cfg.ConnectionProps {
		if p.Key == "session_id" {
			return nil, nil, wire.NotImplemented("sessions (connection property session_id)")
		}
	}
	qc, err := newQueryContext(run)
	if err != nil {
		return nil, nil, err
	}
	texts, err := s.analyzer.Script(cfg.Query)
	if err != nil {
		return nil, nil, s.sqlError(err)
	}
	if len(texts) == 0 {
		return nil, nil, wire.InvalidQuery("Syntax error: Unexpected end of statement at [1:1]")
	}
	return texts, qc, nil
}

// runStatement runs the only statement of a job and records the job with it.
func (s *Server) runStatement(ctx context.Context, run *jobRun, st *statement) error {
	if d := run.cfg.Query.DestinationTable; d != nil && st.st.Kind == analyze.KindSelect {
		return s.selectInto(ctx, run, st)
	} else if d != nil && run.cfg.Query.WriteDisposition != "" {
		return wire.Invalid("configuration.query.destinationTable cannot be set for a statement of type %s", st.st.Kind)
	}
	switch st.st.Kind {
	case analyze.KindBeginTransaction, analyze.KindCommitTransaction, analyze.KindRollbackTransaction:
		return wire.InvalidQuery("Transaction control statements are supported only in scripts or sessions")
	}
	leave, err := s.dml.enter(st)
	if err != nil {
		return err
	}
	defer leave()
	c := change{run: func(ctx context.Context, conn *sql.Conn) error {
		if err := s.perform(ctx, conn, st); err != nil {
			return err
		}
		run.describe(st)
		return s.record(ctx, conn, run)
	}}
	if k, ok := st.lock(); ok {
		c.locks = []lock{k}
	}
	return s.apply(ctx, c)
}

// describe copies what a statement did into its job.
func (run *jobRun) describe(st *statement) {
	stats := st.stats
	run.job.Statistics.TotalBytesProcessed = stats.TotalBytesProcessed
	run.job.Statistics.Query = &stats
	run.job.Local = nil
	if run.rows = st.rows; st.rows != nil {
		run.job.Local = &wire.LocalResult{Schema: st.rows.schema, TotalRows: st.rows.total}
		nameResult(run.job)
	}
}

// selectInto writes the rows of a query into its destination table.
func (s *Server) selectInto(ctx context.Context, run *jobRun, st *statement) error {
	cfg := run.cfg.Query
	schema, err := schemaOf(st.query.Columns, "")
	if err != nil {
		return err
	}
	d := &destination{
		schema: schema, create: cfg.CreateDisposition, write: cfg.WriteDisposition, options: cfg.SchemaUpdateOptions,
		partitioning: cfg.TimePartitioning, clustering: cfg.Clustering, fromQuery: true,
	}
	if d.write == "" {
		d.write = writeEmpty
	}
	ref := *cfg.DestinationTable
	if ref.ProjectID == "" {
		ref.ProjectID = run.job.JobReference.ProjectID
	}
	d.setTable(ref)
	return s.writeDestination(ctx, d, func(ctx context.Context, conn *sql.Conn, t *wire.Table) error {
		if st.schema != s.schema.Load() {
			return errStale
		}
		if err := s.insertRows(ctx, conn, st, insertTarget{table: t, partition: d.partition, schema: schema}); err != nil {
			return s.sqlError(err)
		}
		run.describe(st)
		run.job.Local = &wire.LocalResult{Schema: schema, Table: &ref}
		return s.record(ctx, conn, run)
	})
}

// insertTarget is where the rows of a query go; schema is the query's.
type insertTarget struct {
	table     *wire.Table
	partition *partition
	schema    *wire.Schema
}

// insertRows runs a query and stores its rows. With a partition, rows outside
// it fail the statement.
func (s *Server) insertRows(ctx context.Context, conn *sql.Conn, st *statement, target insertTarget) error {
	if err := s.runChecks(ctx, conn, st); err != nil {
		return err
	}
	args, err := st.params.bind(st.query.Params)
	if err != nil {
		return err
	}
	t, p := target.table, target.partition
	names := make([]string, 0, len(target.schema.Fields)+1)
	for i := range target.schema.Fields {
		names = append(names, catalog.Quote(target.schema.Fields[i].Name))
	}
	columns := strings.Join(names, ", ")
	from := `(` + st.query.SQL + `) AS q(` + columns + `)`
	values := columns
	if hidden := ingestionPrefix(t, p, s.cfg.Clock()); p != nil && p.index < 0 && !p.null {
		columns, values = catalog.Quote(partitionTimeColumn)+`, `+columns, duckTime("TIMESTAMP", p.start)+`, `+values
	} else if hidden != nil && p != nil {
		columns, values = catalog.Quote(partitionTimeColumn)+`, `+columns, `NULL, `+values
	}
	if p != nil && p.index >= 0 {
		from += ` WHERE ` + p.guard()
	}
	_, err = affect(ctx, conn, bound{`INSERT INTO ` + catalog.Relation(t.TableReference) + ` (` + columns + `) SELECT ` + values + ` FROM ` + from, args})
	return err
}

// dryRun checks a job without running it; nothing is recorded.
func (s *Server) dryRun(ctx context.Context, run *jobRun) error {
	if run.cfg.Query == nil {
		return wire.NotImplemented("dryRun of jobs other than queries")
	}
	texts, qc, err := s.openQuery(run)
	if err != nil {
		return err
	}
	run.job.Status.State = stateDone
	run.job.Statistics.Query = &wire.QueryStatistics{StatementType: "SCRIPT"}
	if len(texts) > 1 {
		run.job.Statistics.TotalBytesProcessed = "0"
		return nil
	}
	st, err := s.analyse(ctx, s.db, qc, texts[0])
	if err == nil {
		err = s.requireFilters(ctx, st)
	}
	if err != nil {
		return err
	}
	if err := checkBilled(run.cfg.Query, st.bytes); err != nil {
		return err
	}
	if len(st.query.Columns) > 0 {
		if st.stats.Schema, err = schemaOf(st.query.Columns, "NULLABLE"); err != nil {
			return err
		}
	}
	st.stats.TotalBytesProcessedAccuracy = "ESTIMATE"
	st.stats.UndeclaredQueryParameters = json.RawMessage(nil)
	run.job.Statistics.TotalBytesProcessed = st.stats.TotalBytesProcessed
	run.job.Statistics.Query = &st.stats
	return nil
}

// viewSchema analyses the query of a view.
func (s *Server) viewSchema(ctx context.Context, ref wire.TableReference, query string) (*wire.Schema, error) {
	qc := &queryContext{project: ref.ProjectID, dataset: wire.DatasetReference{ProjectID: ref.ProjectID}, params: &parameters{}, region: s.cfg.Location}
	st, err := s.analyse(ctx, s.db, qc, analyze.StatementText{SQL: query})
	if err != nil {
		return nil, err
	}
	if st.st.Kind != analyze.KindSelect {
		return nil, wire.InvalidQuery("The view query must be a SELECT statement")
	}
	return schemaOf(st.query.Columns, "")
}
