package bigquery

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// define runs a statement that creates or drops a table or view in conn's
// transaction; the caller holds the schema lock.
func (s *Server) define(ctx context.Context, conn *sql.Conn, st *statement) error {
	ref := tableReference(*st.st.Target)
	st.stats.DDLTargetTable = &ref
	old, err := s.findTable(ctx, conn, ref)
	if err != nil && !isNotFound(err) {
		return err
	}
	switch st.st.Kind {
	case kindAlterTable:
		return s.alterTable(ctx, conn, st, old)
	case analyze.KindDropTable, analyze.KindDropView:
		return s.drop(ctx, conn, st, old)
	case analyze.KindCreateTable, analyze.KindCreateTableAsSelect, analyze.KindCreateView:
	default:
		return wire.NotImplemented("statement " + string(st.st.Kind))
	}
	c := st.st.Create
	if c.Temporary {
		return wire.NotImplemented("CREATE TEMP TABLE")
	}
	st.stats.DDLOperationPerformed = "CREATE"
	if old != nil {
		if c.IfNotExists {
			st.stats.DDLOperationPerformed = "SKIP"
			return nil
		}
		if !c.OrReplace {
			return wire.DuplicateTable(ref)
		}
		st.stats.DDLOperationPerformed = "REPLACE"
	}
	t, err := tableOf(ref, st)
	if err != nil {
		return err
	}
	if st.st.Kind != analyze.KindCreateTableAsSelect {
		return s.createTable(ctx, conn, t, c.OrReplace)
	}
	return s.createAs(ctx, conn, st, t)
}

// createAs creates a table from a query. The rows are computed first: the
// query may read the table that it replaces.
func (s *Server) createAs(ctx context.Context, conn *sql.Conn, st *statement, t *wire.Table) error {
	query, err := schemaOf(st.query.Columns, "")
	if err != nil {
		return err
	}
	args, err := st.params.bind(st.query.Params)
	if err != nil {
		return err
	}
	const staged = `temp.main."created_rows"`
	if _, err := conn.ExecContext(ctx, `CREATE TEMP TABLE "created_rows" AS `+st.query.SQL, args...); err != nil {
		return fmt.Errorf("running a query: %w", err)
	}
	if err := s.createTable(ctx, conn, t, st.st.Create.OrReplace); err != nil {
		return err
	}
	staging := *st.query
	staging.SQL, staging.Params, staging.Checks = `SELECT * FROM `+staged, nil, nil
	inner := *st
	inner.query = &staging
	if err := s.insertRows(ctx, conn, &inner, insertTarget{table: t, schema: query}); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, `DROP TABLE `+staged)
	return err
}

func (s *Server) drop(ctx context.Context, conn *sql.Conn, st *statement, old *wire.Table) error {
	ref := *st.stats.DDLTargetTable
	st.stats.DDLOperationPerformed = "DROP"
	if old == nil {
		st.stats.DDLOperationPerformed = "SKIP"
		if st.st.Drop.IfExists {
			return nil
		}
		return wire.NotFoundTable(ref)
	}
	if view := st.st.Kind == analyze.KindDropView; view != (old.View != nil) {
		return wire.Invalid("Cannot drop %s %s with this statement: it is a %s", strings.ToLower(old.Type), ref, old.Type)
	}
	s.inserts.forget(ref)
	return catalog.DeleteTable(ctx, conn, old)
}

// tableOf is the table that a CREATE statement describes.
func tableOf(ref wire.TableReference, st *statement) (*wire.Table, error) {
	c := st.st.Create
	t := &wire.Table{TableReference: ref, Schema: &wire.Schema{}}
	if st.st.Kind == analyze.KindCreateView {
		t.View = &wire.ViewDefinition{Query: c.Query}
	}
	for _, column := range c.Columns {
		f, err := fieldOf(column.Name, column.Type, "")
		if err != nil {
			return nil, err
		}
		if column.NotNull && !f.Repeated() {
			f.Mode = "REQUIRED"
		}
		if column.Default != "" {
			return nil, wire.NotImplemented(fmt.Sprintf("DEFAULT of column %s", column.Name))
		}
		for _, o := range column.Options {
			if o.Name != "description" {
				return nil, wire.NotImplemented("column option " + o.Name)
			}
			if f.Description, err = optionText(o); err != nil {
				return nil, err
			}
		}
		t.Schema.Fields = append(t.Schema.Fields, f)
	}
	if st.st.Kind == analyze.KindCreateView && len(c.Columns) == 0 {
		schema, err := schemaOf(st.st.Columns, "")
		if err != nil {
			return nil, err
		}
		t.Schema = schema
	}
	if p := c.PartitionBy; p != nil && p.IsRange {
		t.RangePartitioning = &wire.RangePartitioning{Field: p.Column, Range: wire.PartitionRange{
			Start: decimalText(p.Start), End: decimalText(p.End), Interval: decimalText(p.Interval),
		}}
	} else if p != nil {
		t.TimePartitioning = &wire.TimePartitioning{Type: p.Granularity, Field: p.Column}
	}
	if len(c.ClusterBy) > 0 {
		t.Clustering = &wire.Clustering{Fields: c.ClusterBy}
	}
	return t, tableOptions(t, c.Options)
}

// tableOptions applies the OPTIONS list of a CREATE statement.
func tableOptions(t *wire.Table, options []analyze.Option) error {
	for _, o := range options {
		var err error
		switch o.Name {
		case "description":
			t.Description, err = optionText(o)
		case "friendly_name":
			t.FriendlyName, err = optionText(o)
		case "labels":
			t.Labels, err = optionLabels(o)
		case "require_partition_filter":
			t.RequirePartitionFilter = strings.EqualFold(o.Value, "true")
		case "expiration_timestamp":
			t.ExpirationTime, err = optionTime(o)
		case "partition_expiration_days":
			err = partitionDays(t, o)
		default:
			err = wire.NotImplemented("table option " + o.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func partitionDays(t *wire.Table, o analyze.Option) error {
	if t.TimePartitioning != nil && isNull(o) {
		t.TimePartitioning.ExpirationMs = ""
		return nil
	}
	days, err := strconv.ParseFloat(o.Value, 64)
	if err != nil || t.TimePartitioning == nil {
		return wire.InvalidQuery("Invalid value for option partition_expiration_days: " + o.Value)
	}
	t.TimePartitioning.ExpirationMs = decimalText(int64(days * 24 * float64(time.Hour/time.Millisecond)))
	return nil
}

func isNull(o analyze.Option) bool { return strings.EqualFold(strings.TrimSpace(o.Value), "NULL") }

// optionText reads a GoogleSQL string literal.
func optionText(o analyze.Option) (string, error) {
	text := strings.TrimSpace(o.Value)
	if strings.EqualFold(text, "NULL") {
		return "", nil
	}
	if len(text) >= 2 && text[0] == '\'' {
		text = `"` + strings.ReplaceAll(strings.ReplaceAll(text[1:len(text)-1], `\'`, `'`), `"`, `\"`) + `"`
	}
	out, err := strconv.Unquote(text)
	if err != nil {
		return "", wire.InvalidQuery(fmt.Sprintf("Invalid value for option %s: %s", o.Name, o.Value))
	}
	return out, nil
}

func optionTime(o analyze.Option) (string, error) {
	if isNull(o) {
		return "", nil
	}
	at := strings.IndexAny(o.Value, `"'`)
	if at < 0 {
		return "", wire.NotImplemented(fmt.Sprintf("option %s with a value that is not a literal", o.Name))
	}
	text, err := optionText(analyze.Option{Name: o.Name, Value: o.Value[at:]})
	if err != nil {
		return "", err
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05.999999-07:00", "2006-01-02 15:04:05 MST", time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return decimalText(t.UnixMilli()), nil
		}
	}
	return "", wire.InvalidQuery(fmt.Sprintf("Invalid value for option %s: %s", o.Name, o.Value))
}

// optionLabels reads [("name", "value"), ...] and [STRUCT("name", "value")].
func optionLabels(o analyze.Option) (map[string]string, error) {
	labels := map[string]string{}
	rest := o.Value
	var texts []string
	for {
		start := strings.IndexAny(rest, `"'`)
		if start < 0 {
			break
		}
		end := start + 1
		for end < len(rest) && rest[end] != rest[start] {
			end++
		}
		if end == len(rest) {
			return nil, wire.InvalidQuery("Invalid value for option labels: " + o.Value)
		}
		texts = append(texts, rest[start+1:end])
		rest = rest[end+1:]
	}
	if len(texts)%2 != 0 {
		return nil, wire.InvalidQuery("Invalid value for option labels: " + o.Value)
	}
	for i := 0; i < len(texts); i += 2 {
		labels[texts[i]] = texts[i+1]
	}
	return labels, nil
}
