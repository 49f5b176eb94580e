package bigquery

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// partition is one partition of a table, as named by a decorator.
type partition struct {
	id     string
	column string
	index  int // of the column in the schema, -1 by ingestion time
	kind   string
	null   bool
	start  time.Time
	end    time.Time
	low    int64 // of an integer range
	high   int64
}

// decoratorLayouts are the decorator forms by granularity.
var decoratorLayouts = map[string]string{"HOUR": "2006010215", "DAY": "20060102", "MONTH": "200601", "YEAR": "2006"}

// findPartition reads a decorator against a table's partitioning.
func findPartition(t *wire.Table, decorator string) (*partition, error) {
	p := &partition{id: decorator, index: -1}
	switch {
	case t.TimePartitioning != nil:
		p.column = t.TimePartitioning.Field
	case t.RangePartitioning != nil:
		p.column = t.RangePartitioning.Field
	default:
		return nil, wire.Invalid("Cannot read or write partition %s of table %s, which is not partitioned", decorator, t.TableReference)
	}
	p.kind = "TIMESTAMP"
	if p.column == "" {
		p.column = partitionTimeColumn
	} else {
		p.index = t.Schema.Find(p.column)
		p.kind = t.Schema.Fields[p.index].Type
	}
	switch {
	case decorator == "__NULL__":
		p.null = true
		return p, nil
	case decorator == "__UNPARTITIONED__":
		return nil, wire.NotImplemented("partition decorator $__UNPARTITIONED__")
	case t.RangePartitioning != nil:
		return p, p.readRange(t.RangePartitioning, decorator)
	}
	return p, p.readTime(t, decorator)
}

func (p *partition) readRange(r *wire.RangePartitioning, decorator string) error {
	low, err := strconv.ParseInt(decorator, 10, 64)
	if err != nil {
		return wire.Invalid("Invalid partition decorator: %s", decorator)
	}
	interval, err := strconv.ParseInt(r.Range.Interval, 10, 64)
	if err != nil {
		return wire.Invalid("Invalid range partitioning interval: %s", r.Range.Interval)
	}
	p.low, p.high = low, low+interval
	return nil
}

func (p *partition) readTime(t *wire.Table, decorator string) error {
	unit := t.TimePartitioning.Type
	layout := decoratorLayouts[unit]
	start, err := time.Parse(layout, decorator)
	if err != nil || len(layout) != len(decorator) {
		return wire.Invalid("Invalid time partition decorator %s for table %s, partitioned by %s", decorator, t.TableReference, unit)
	}
	p.start, p.end = start, nextPartition(start, unit)
	return nil
}

func nextPartition(start time.Time, unit string) time.Time {
	switch unit {
	case "HOUR":
		return start.Add(time.Hour)
	case "MONTH":
		return start.AddDate(0, 1, 0)
	case "YEAR":
		return start.AddDate(1, 0, 0)
	}
	return start.AddDate(0, 0, 1)
}

// predicate is the DuckDB condition that a row is in the partition.
func (p *partition) predicate() string {
	column := catalog.Quote(p.column)
	if p.null {
		return column + ` IS NULL`
	}
	if p.kind == "INTEGER" {
		return fmt.Sprintf(`(%s >= %d AND %s < %d)`, column, p.low, column, p.high)
	}
	return fmt.Sprintf(`(%s >= %s AND %s < %s)`, column, duckTime(p.kind, p.start), column, duckTime(p.kind, p.end))
}

func duckTime(kind string, t time.Time) string {
	switch kind {
	case "DATE":
		return `DATE '` + t.Format(time.DateOnly) + `'`
	case "DATETIME":
		return `TIMESTAMP '` + t.Format(time.DateTime) + `'`
	}
	return `TIMESTAMPTZ '` + t.Format(time.DateTime) + `+00'`
}

// contains reports whether a value of the partitioning column is in the
// partition.
func (p *partition) contains(v any) bool {
	switch x := v.(type) {
	case nil:
		return p.null
	case time.Time:
		return !p.null && !x.Before(p.start) && x.Before(p.end)
	case int64:
		return !p.null && x >= p.low && x < p.high
	}
	return false
}

// check refuses a row outside the partition.
func (p *partition) check(row []driver.Value) *load.FieldError {
	if p.index < 0 || p.contains(row[p.index]) {
		return nil
	}
	return &load.FieldError{Field: p.column, Type: load.TypeName(p.kind), Value: fmt.Sprint(row[p.index]), Message: p.outside()}
}

// guard is a condition that fails the whole statement, in the same pass, at a
// row outside the partition.
func (p *partition) guard() string {
	return `CASE WHEN ` + p.predicate() + ` THEN true ELSE error(` + literal(p.outside()) + `) END`
}

func (p *partition) outside() string {
	return fmt.Sprintf("Some rows belong to different partitions rather than destination partition %s", p.id)
}

// ingestionPrefix is the value of _PARTITIONTIME for rows that arrive now, or
// in the named partition; nil when the table has no such column.
func ingestionPrefix(t *wire.Table, p *partition, now time.Time) []driver.Value {
	if t.TimePartitioning == nil || t.TimePartitioning.Field != "" {
		return nil
	}
	if p != nil && p.null {
		return []driver.Value{nil}
	}
	if p != nil {
		return []driver.Value{p.start}
	}
	return []driver.Value{partitionStart(now, t.TimePartitioning.Type)}
}

// partitionStart is when the partition of a time begins.
func partitionStart(at time.Time, unit string) time.Time {
	at = at.UTC()
	switch unit {
	case "HOUR":
		return at.Truncate(time.Hour)
	case "MONTH":
		return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	case "YEAR":
		return time.Date(at.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
}

// checkPartitioning validates the partitioning and clustering of a new table.
func checkPartitioning(t *wire.Table) error {
	if p := t.TimePartitioning; p != nil {
		p.Type = strings.ToUpper(p.Type)
		if p.Type == "" {
			p.Type = "DAY"
		}
		if decoratorLayouts[p.Type] == "" {
			return wire.Invalid("Invalid time partitioning type: %s", p.Type)
		}
		if p.Field != "" {
			if err := checkPartitionField(t, p); err != nil {
				return err
			}
		}
	}
	if r := t.RangePartitioning; r != nil {
		i := t.Schema.Find(r.Field)
		if i < 0 || t.Schema.Fields[i].Type != "INTEGER" {
			return wire.Invalid("The field specified for range partitioning must be an INTEGER column of the schema: %s", r.Field)
		}
	}
	if t.Clustering == nil {
		return nil
	}
	for _, name := range t.Clustering.Fields {
		i := t.Schema.Find(name)
		if i < 0 {
			return wire.Invalid("The field specified for clustering cannot be found in the schema: %s. Invalid field: %s.", name, name)
		}
		if f := t.Schema.Fields[i]; f.Repeated() || f.Type == "RECORD" || f.Type == "FLOAT" {
			return wire.Invalid("The field specified for clustering has a type or mode that cannot be clustered: %s", name)
		}
	}
	return nil
}

func checkPartitionField(t *wire.Table, p *wire.TimePartitioning) error {
	i := t.Schema.Find(p.Field)
	if i < 0 {
		return wire.Invalid("The field specified for partitioning cannot be found in the schema: %s", p.Field)
	}
	f := t.Schema.Fields[i]
	if f.Repeated() {
		return wire.Invalid("The field specified for time partitioning can only be of mode NULLABLE or REQUIRED: %s", p.Field)
	}
	switch f.Type {
	case "TIMESTAMP", "DATETIME":
		return nil
	case "DATE":
		if p.Type != "HOUR" {
			return nil
		}
	}
	return wire.Invalid("The field specified for time partitioning can only be of type TIMESTAMP, DATE or DATETIME: %s is %s partitioned by %s", p.Field, f.Type, p.Type)
}
