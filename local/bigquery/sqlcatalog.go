package bigquery

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// sqlCatalog shows the catalog to the analysis of SQL.
type sqlCatalog struct {
	s *Server
	q catalog.Querier
}

var _ analyze.Catalog = sqlCatalog{}

// Table finds a table by its exact name.
func (c sqlCatalog) Table(ctx context.Context, project, dataset, name string) (*analyze.Table, error) {
	if view, ok := strings.CutPrefix(strings.ToUpper(name), informationSchema+"."); ok {
		return c.s.informationTable(ctx, c.q, analyze.TableName{Project: project, Dataset: dataset, Name: view})
	}
	t, err := c.s.findTable(ctx, c.q, wire.TableReference{ProjectID: project, DatasetID: dataset, TableID: name})
	if isNotFound(err) {
		return nil, fmt.Errorf("%w: %w", analyze.ErrTableNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	out := &analyze.Table{Project: project, Dataset: dataset, Name: name}
	if t.View != nil {
		out.View = t.View.Query
	}
	if t.Schema == nil {
		return out, nil
	}
	for i := range t.Schema.Fields {
		f := &t.Schema.Fields[i]
		out.Columns = append(out.Columns, analyze.Column{Name: f.Name, Type: typeText(f)})
	}
	if t.TimePartitioning != nil && t.TimePartitioning.Field == "" {
		out.Columns = append(out.Columns, analyze.Column{Name: partitionTimeColumn, Type: "TIMESTAMP", Pseudo: true})
	}
	if t.Dated {
		out.Columns = append(out.Columns, analyze.Column{Name: partitionDateColumn, Type: "DATE", Pseudo: true})
	}
	return out, nil
}

// relations names the DuckDB relations of tables in translated SQL.
type relations struct{ s *Server }

// Relation is the quoted name of a table's rows, or the query of an
// information table.
func (r relations) Relation(t *analyze.Table) (string, error) {
	if view, ok := strings.CutPrefix(t.Name, informationSchema+"."); ok {
		return informationRelation(t, view)
	}
	return catalog.Relation(tableReference(t.FullName())), nil
}

func tableReference(n analyze.TableName) wire.TableReference {
	return wire.TableReference{ProjectID: n.Project, DatasetID: n.Dataset, TableID: n.Name}
}

// sqlError turns an error of analysis, translation or execution into what the
// service answers.
func (s *Server) sqlError(err error) error {
	var mistake *analyze.Error
	var unsupported *analyze.UnsupportedError
	var duck *duckdb.Error
	switch {
	case err == nil || wireError(err) != nil || isConflict(err) || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &mistake) && mistake.NotFound:
		return &wire.Error{HTTPStatus: 404, Reason: wire.ReasonNotFound, Message: positionSuffix.ReplaceAllString(mistake.Message, "")}
	case errors.As(err, &mistake):
		return wire.InvalidQuery(mistake.Message)
	case errors.As(err, &unsupported):
		e := wire.NotImplemented(unsupported.Error())
		e.Location, e.LocationType = "q", "parameter"
		return e
	case errors.As(err, &duck):
		return s.duckError(duck)
	}
	return err
}

var (
	// A table that does not exist is reported without a position.
	positionSuffix = regexp.MustCompile(` at \[\d+:\d+\]$`)

	duckPrefix  = regexp.MustCompile(`^[A-Z][A-Za-z ]*Error: `)
	duckNotNull = regexp.MustCompile(`NOT NULL constraint failed: .*\.([^.]+)$`)
)

// duckError is a failure at run time: the query's fault, except where DuckDB
// did not understand what was generated.
func (s *Server) duckError(e *duckdb.Error) error {
	message, _, _ := strings.Cut(e.Msg, "\n")
	if m := duckNotNull.FindStringSubmatch(message); m != nil {
		return wire.InvalidQuery(fmt.Sprintf("Required field %s cannot be null", m[1]))
	}
	text := strings.TrimPrefix(duckPrefix.ReplaceAllString(message, ""), "database/sql/driver: API error: ")
	switch e.Type {
	case duckdb.ErrorTypeInterrupt:
		return fmt.Errorf("%s: %w", text, context.Canceled)
	case duckdb.ErrorTypeOutOfMemory:
		return &wire.Error{HTTPStatus: 400, Reason: "resourcesExceeded", Message: "Resources exceeded during query execution: " + text, Location: "q", LocationType: "parameter"}
	case duckdb.ErrorTypeParser, duckdb.ErrorTypeBinder, duckdb.ErrorTypeCatalog, duckdb.ErrorTypeSyntax, duckdb.ErrorTypeInternal, duckdb.ErrorTypeFatal:
		s.cfg.Logger.Error("generated SQL was refused", "error", e.Msg)
		return &wire.Error{HTTPStatus: 400, Reason: "jobInternalError", Message: "The query is not supported: " + message, Location: "q", LocationType: "parameter"}
	}
	return wire.InvalidQuery(text)
}
