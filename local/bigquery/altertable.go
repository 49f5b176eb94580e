package bigquery

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/alter"
	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

const kindAlterTable analyze.Kind = "ALTER_TABLE"

// analyseAlter resolves ALTER TABLE. What it adds is a part of the grammar of
// CREATE TABLE, so that the analysis of one says what it is.
func (s *Server) analyseAlter(ctx context.Context, q catalog.Querier, qc *queryContext, text analyze.StatementText) (*statement, error) {
	out := &statement{text: text, params: qc.params, schema: s.schema.Load(), query: &translate.Query{}}
	var err error
	if out.alter, err = alter.Parse(text.SQL); err != nil {
		return nil, wire.InvalidQuery(err.Error())
	}
	var columns, options []string
	for _, action := range out.alter.Actions {
		switch action.Op {
		case alter.AddColumn:
			columns = append(columns, action.Text)
		case alter.SetOptions:
			options = append(options, action.Text)
		case alter.Unsupported:
			return nil, wire.NotImplemented("ALTER TABLE " + action.Text)
		}
	}
	if len(columns) == 0 {
		columns = []string{"`x` INT64"}
	}
	like := "CREATE TABLE " + out.alter.Table + " (" + strings.Join(columns, ", ") + ")"
	if len(options) > 1 {
		return nil, wire.NotImplemented("ALTER TABLE with SET OPTIONS more than once")
	} else if len(options) == 1 {
		like += " OPTIONS " + options[0]
	}
	created, err := s.analyzer.Statement(ctx, like, analyze.Options{
		DefaultProject: qc.dataset.ProjectID, DefaultDataset: qc.dataset.DatasetID, Catalog: sqlCatalog{s: s, q: q},
		Params: qc.params.declared, Location: qc.region,
	})
	if known := wireError(s.sqlError(err)); known != nil {
		// The position is that of another text.
		known.Message = positionSuffix.ReplaceAllString(known.Message, "")
		return nil, known
	} else if err != nil {
		return nil, err
	}
	out.st = &analyze.Statement{SQL: text.SQL, Kind: kindAlterTable, Target: created.Target, Create: created.Create}
	out.stats.StatementType = string(kindAlterTable)
	return out, nil
}

// alterTable changes a table in conn's transaction; the caller holds the
// schema lock.
func (s *Server) alterTable(ctx context.Context, conn *sql.Conn, st *statement, t *wire.Table) error {
	ref := *st.stats.DDLTargetTable
	st.stats.DDLOperationPerformed = "ALTER"
	if t == nil && st.alter.IfExists {
		st.stats.DDLOperationPerformed = "SKIP"
		return nil
	}
	if t == nil {
		return wire.NotFoundTable(ref)
	}
	if t.View != nil || t.Schema == nil {
		return wire.Invalid("ALTER TABLE is not allowed on %s: it is a %s", ref, t.Type)
	}
	added, err := tableOf(ref, &statement{st: &analyze.Statement{Kind: analyze.KindCreateTable, Create: &analyze.Create{Columns: st.st.Create.Columns}}})
	if err != nil {
		return err
	}
	if err := added.Schema.Normalize(); err != nil {
		return err
	}
	for _, action := range st.alter.Actions {
		clause, err := alterAction(t, added.Schema, action)
		if err != nil {
			return err
		}
		if action.Op == alter.SetOptions {
			err = tableOptions(t, st.st.Create.Options)
		} else if clause != "" {
			err = alterRelation(ctx, conn, ref, &schemaChange{clauses: []string{clause}})
		}
		if err != nil {
			return err
		}
	}
	t.LastModifiedTime = decimalText(s.cfg.Clock().UnixMilli())
	return catalog.PutTable(ctx, conn, t)
}

// alterAction changes the schema of a table and returns what its relation
// needs for it.
func alterAction(t *wire.Table, added *wire.Schema, action alter.Action) (clause string, err error) {
	at := t.Schema.Find(action.Column)
	switch action.Op {
	case alter.AddColumn:
		if at >= 0 && action.Quiet {
			return "", nil
		} else if at >= 0 {
			return "", wire.InvalidQuery("Column already exists: " + action.Column)
		}
		f := added.Fields[added.Find(action.Column)]
		if f.Required() {
			return "", wire.InvalidQuery(fmt.Sprintf("Cannot add required fields to an existing schema. (field: %s)", f.Name))
		}
		definition, err := duckColumn(&f)
		t.Schema.Fields = append(t.Schema.Fields, f)
		return `ADD COLUMN ` + definition, err
	case alter.SetOptions, alter.Unsupported:
		return "", nil
	}
	if at < 0 && action.Quiet {
		return "", nil
	} else if at < 0 {
		return "", wire.InvalidQuery("Column not found: " + action.Column)
	}
	name := t.Schema.Fields[at].Name
	if action.Op == alter.DropNotNull {
		if !t.Schema.Fields[at].Required() {
			return "", nil
		}
		t.Schema.Fields[at].Mode = ""
		return `ALTER COLUMN ` + catalog.Quote(name) + ` DROP NOT NULL`, nil
	}
	if err := droppable(t, name); err != nil {
		return "", err
	}
	t.Schema.Fields = slices.Delete(t.Schema.Fields, at, at+1)
	return `DROP COLUMN ` + catalog.Quote(name), nil
}

func droppable(t *wire.Table, name string) error {
	same := func(other string) bool { return strings.EqualFold(other, name) }
	switch {
	case t.TimePartitioning != nil && same(t.TimePartitioning.Field), t.RangePartitioning != nil && same(t.RangePartitioning.Field):
		return wire.InvalidQuery(fmt.Sprintf("ALTER TABLE DROP COLUMN cannot drop column %s: it is used for partitioning", name))
	case t.Clustering != nil && slices.ContainsFunc(t.Clustering.Fields, same):
		return wire.InvalidQuery(fmt.Sprintf("ALTER TABLE DROP COLUMN cannot drop column %s: it is used for clustering", name))
	case len(t.Schema.Fields) == 1:
		return wire.InvalidQuery(fmt.Sprintf("ALTER TABLE DROP COLUMN cannot drop column %s: it is the only one", name))
	}
	return nil
}
