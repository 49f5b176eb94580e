package bigquery

import (
	"context"
	"fmt"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// partitionTimeColumn is the hidden first column of tables that are
// partitioned by ingestion time.
const partitionTimeColumn = "_PARTITIONTIME"

// partitionDateColumn is computed from it in tables with a partition a day.
const partitionDateColumn = "_PARTITIONDATE"

// typeText is a field's type as GoogleSQL text.
func typeText(f *wire.Field) string {
	name := load.TypeName(f.Type)
	if f.Type == "RECORD" {
		parts := make([]string, len(f.Fields))
		for i := range f.Fields {
			parts[i] = "`" + f.Fields[i].Name + "` " + typeText(&f.Fields[i])
		}
		name = "STRUCT<" + strings.Join(parts, ", ") + ">"
	}
	if f.Repeated() {
		return "ARRAY<" + name + ">"
	}
	return name
}

// fieldOf turns a GoogleSQL type into a field; mode is what a field that is
// not repeated gets: NULLABLE in results, empty in tables.
func fieldOf(name, text, mode string) (wire.Field, error) {
	t, err := analyze.ParseType(text)
	if err != nil {
		return wire.Field{}, fmt.Errorf("reading the type of column %s: %w", name, err)
	}
	return fieldOfType(name, t, mode)
}

func fieldOfType(name string, t *analyze.Type, mode string) (wire.Field, error) {
	f := wire.Field{Name: name, Mode: mode}
	if t.Name == "ARRAY" {
		t, f.Mode = t.Elem, "REPEATED"
	}
	f.Type = t.Name
	if t.Name == "STRUCT" {
		for i, sub := range t.Fields {
			subName := sub.Name
			if subName == "" {
				subName = fmt.Sprintf("_field_%d", i+1)
			}
			field, err := fieldOfType(subName, sub.Type, mode)
			if err != nil {
				return f, err
			}
			f.Fields = append(f.Fields, field)
		}
		f.Type = "RECORD"
		return f, nil
	}
	one := wire.Schema{Fields: []wire.Field{{Name: "x", Type: t.Name}}}
	if err := one.Normalize(); err != nil {
		return f, wire.NotImplemented("type " + t.Name)
	}
	f.Type = one.Fields[0].Type
	switch precision, scale, _ := strings.Cut(t.Params, ","); {
	case t.Params == "":
	case t.Name == "STRING" || t.Name == "BYTES":
		f.MaxLength = t.Params
	default:
		f.Precision, f.Scale = precision, scale
	}
	return f, nil
}

// schemaOf is the schema of a statement's columns.
func schemaOf(columns []analyze.Column, mode string) (*wire.Schema, error) {
	schema := &wire.Schema{Fields: []wire.Field{}}
	for _, c := range columns {
		f, err := fieldOf(c.Name, c.Type, mode)
		if err != nil {
			return nil, err
		}
		schema.Fields = append(schema.Fields, f)
	}
	return schema, nil
}

// duckColumn is a column's definition in DuckDB.
func duckColumn(f *wire.Field) (string, error) {
	duck, err := translate.DuckType(typeText(f))
	if err != nil {
		return "", wire.NotImplemented(fmt.Sprintf("type %s of column %s", typeText(f), f.Name))
	}
	definition := catalog.Quote(f.Name) + " " + duck
	if f.Required() {
		definition += " NOT NULL"
	}
	return definition, nil
}

// readable is an expression whose value the driver returns as it is stored:
// it would parse JSON and lose digits, so JSON is read as text.
func readable(expression string, f *wire.Field) string {
	text := textOfJSON(*f)
	if !text.changed {
		return expression
	}
	duck, err := translate.DuckType(typeText(&text.field))
	if err != nil {
		return expression
	}
	return `CAST(` + expression + ` AS ` + duck + `)`
}

type textField struct {
	field   wire.Field
	changed bool
}

// textOfJSON is a field with STRING in place of JSON at any depth.
func textOfJSON(f wire.Field) textField {
	out := textField{field: f}
	if f.Type == "JSON" {
		out.field.Type, out.changed = "STRING", true
	}
	out.field.Fields = nil
	for _, sub := range f.Fields {
		inner := textOfJSON(sub)
		out.field.Fields = append(out.field.Fields, inner.field)
		out.changed = out.changed || inner.changed
	}
	return out
}

// createRelation creates the DuckDB relation of a table, replacing another.
func createRelation(ctx context.Context, q catalog.Querier, t *wire.Table) error {
	var columns []string
	if t.Streamed {
		columns = append(columns, catalog.Quote(streamTimeColumn)+` TIMESTAMPTZ`)
	}
	t.Dated = false
	if p := t.TimePartitioning; p != nil && p.Field == "" {
		columns = append(columns, fmt.Sprintf(`%s TIMESTAMPTZ DEFAULT date_trunc('%s', now())`, catalog.Quote(partitionTimeColumn), strings.ToLower(p.Type)))
		if t.Dated = p.Type == "DAY"; t.Dated {
			columns = append(columns, catalog.Quote(partitionDateColumn)+` DATE GENERATED ALWAYS AS (CAST(`+catalog.Quote(partitionTimeColumn)+` AS DATE))`)
		}
	}
	if t.Schema != nil {
		for i := range t.Schema.Fields {
			definition, err := duckColumn(&t.Schema.Fields[i])
			if err != nil {
				return err
			}
			columns = append(columns, definition)
		}
	}
	if len(columns) == 0 {
		// DuckDB has no relation without columns; this one is replaced as
		// soon as the table gets a schema.
		columns = []string{`"_empty" BOOLEAN`}
	}
	statement := `CREATE OR REPLACE TABLE ` + catalog.Relation(t.TableReference) + ` (` + strings.Join(columns, ", ") + `)`
	if _, err := q.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("creating table %s: %w", t.TableReference, err)
	}
	return nil
}

// schemaChange is what turns one schema into another: DuckDB ALTER clauses
// and the merged schema.
type schemaChange struct {
	merged  []wire.Field
	clauses []string
}

// compareSchemas checks that a table may get a new schema. Only added NULLABLE
// or REPEATED fields and relaxed REQUIRED fields are allowed; the errors are
// the service's. Fields keep the order of the table, new ones come last.
func compareSchemas(ref wire.TableReference, before, after []wire.Field) (*schemaChange, error) {
	c := &schemaChange{}
	merged, err := c.merge(ref, fieldPath{}, before, after)
	c.merged = merged
	return c, err
}

// fieldPath names a field for people and, quoted, for DuckDB.
type fieldPath struct{ shown, quoted string }

func (p fieldPath) child(name string) fieldPath {
	return fieldPath{shown: p.shown + name + ".", quoted: p.quoted + catalog.Quote(name) + "."}
}

func (c *schemaChange) merge(ref wire.TableReference, path fieldPath, before, after []wire.Field) ([]wire.Field, error) {
	mismatch := func(format string, args ...any) error {
		return wire.Invalid("Provided Schema does not match Table %s. %s", ref, fmt.Sprintf(format, args...))
	}
	var merged []wire.Field
	newer := &wire.Schema{Fields: after}
	for _, old := range before {
		shown := path.shown + old.Name
		i := newer.Find(old.Name)
		if i < 0 {
			return nil, mismatch("Field %s is missing in new schema", shown)
		}
		field, err := c.mergeField(ref, path, old, after[i])
		if err != nil {
			return nil, err
		}
		merged = append(merged, field)
	}
	older := &wire.Schema{Fields: before}
	for i := range after {
		f := after[i]
		if older.Find(f.Name) >= 0 {
			continue
		}
		if f.Required() {
			return nil, mismatch("Cannot add required fields to an existing schema. (field: %s)", path.shown+f.Name)
		}
		definition, err := duckColumn(&f)
		if err != nil {
			return nil, err
		}
		c.clauses = append(c.clauses, `ADD COLUMN `+path.quoted+definition)
		merged = append(merged, f)
	}
	return merged, nil
}

func (c *schemaChange) mergeField(ref wire.TableReference, path fieldPath, old, f wire.Field) (wire.Field, error) {
	shown := path.shown + old.Name
	oldMode, mode := modeOf(old), modeOf(f)
	if old.Type != f.Type {
		return f, wire.Invalid("Provided Schema does not match Table %s. Field %s has changed type from %s to %s", ref, shown, old.Type, f.Type)
	}
	if oldMode != mode && (oldMode != "REQUIRED" || mode != "NULLABLE") {
		return f, wire.Invalid("Provided Schema does not match Table %s. Field %s has changed mode from %s to %s", ref, shown, oldMode, mode)
	}
	if oldMode != mode && path.shown == "" {
		c.clauses = append(c.clauses, `ALTER COLUMN `+catalog.Quote(old.Name)+` DROP NOT NULL`)
	}
	f.Name = old.Name
	if f.Type != "RECORD" {
		return f, nil
	}
	inner := path.child(old.Name)
	if old.Repeated() {
		inner.quoted += `"element".`
	}
	fields, err := c.merge(ref, inner, old.Fields, f.Fields)
	f.Fields = fields
	return f, err
}

func modeOf(f wire.Field) string {
	if f.Mode == "" {
		return "NULLABLE"
	}
	return f.Mode
}

// alterRelation brings the relation of a table to its new schema.
func alterRelation(ctx context.Context, q catalog.Querier, ref wire.TableReference, c *schemaChange) error {
	for _, clause := range c.clauses {
		if _, err := q.ExecContext(ctx, `ALTER TABLE `+catalog.Relation(ref)+` `+clause); err != nil {
			return fmt.Errorf("altering table %s: %w", ref, err)
		}
	}
	return nil
}
