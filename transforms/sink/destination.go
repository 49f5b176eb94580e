package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

var partitionTypes = map[string]bigquery.TimePartitioningType{
	"DAY":   bigquery.DayPartitioningType,
	"HOUR":  bigquery.HourPartitioningType,
	"MONTH": bigquery.MonthPartitioningType,
	"YEAR":  bigquery.YearPartitioningType,
}

// destination is a table that is ready to be written to.
type destination struct {
	table        *bigquery.Table
	columns      []sqlColumn // that we write, in the table's order
	partitioning *bigquery.TimePartitioning
	truncatable  bool // a query job may replace one partition without changing the schema
	warnings     []string
}

const schemaTries = 5 // other writers may change the same table at the same time

// ensureTable creates a missing table as declared, adds columns that a table lacks, and
// refuses any other difference.
func ensureTable(ctx context.Context, c *bigquery.Client, t Table, extra row.Schema) (destination, error) {
	d := destination{table: c.DatasetInProject(t.Project, t.Dataset).Table(t.Name)}
	want := slices.Concat(t.Schema, extra)
	for try := 0; ; try++ {
		md, err := d.table.Metadata(ctx)
		if hasStatus(err, http.StatusNotFound) {
			err = persist(ctx, func() error { return d.table.Create(ctx, t.metadata(extra)) })
			if err == nil || hasStatus(err, http.StatusConflict) && try < schemaTries {
				continue
			}
		}
		if err != nil {
			return d, fmt.Errorf("prepare table %s.%s: %w", t.Dataset, t.Name, err)
		}
		missing, err := d.compare(md.Schema, want)
		if err != nil {
			return d, coded{CodeSchemaMismatch, fmt.Errorf("table %s.%s: %w", t.Dataset, t.Name, err)}
		}
		if len(missing) == 0 {
			d.describe(md, want)
			return d, nil
		}
		err = persist(ctx, func() error {
			_, err := d.table.Update(ctx, bigquery.TableMetadataToUpdate{Schema: append(md.Schema, missing...)}, md.ETag)
			return err
		})
		if err != nil && (!isStale(err) || try >= schemaTries) {
			return d, fmt.Errorf("add columns to table %s.%s: %w", t.Dataset, t.Name, err)
		}
	}
}

// isStale reports whether a table was changed since its ETag was read, be it by a request of
// ours whose answer was lost; the service says so in two ways.
func isStale(err error) bool {
	return hasStatus(err, http.StatusPreconditionFailed) || slices.ContainsFunc(reasons(err), func(r string) bool {
		return r == "failedPrecondition" || r == "conditionNotMet"
	})
}

// prepare makes the destination ready for a publish; one that is made anew needs nothing.
func (o Options) prepare(ctx context.Context, c *bigquery.Client) (destination, error) {
	if !o.Recreate {
		return ensureTable(ctx, c, o.Table, added)
	}
	t := o.Table
	return destination{table: c.DatasetInProject(t.Project, t.Dataset).Table(t.Name), columns: plainColumns(slices.Concat(t.Schema, added))}, nil
}

func (t Table) metadata(extra row.Schema) *bigquery.TableMetadata {
	md := &bigquery.TableMetadata{Schema: tableSchema(t.Schema, extra), Description: t.Description}
	if p := t.TimePartitioning; p != nil {
		md.TimePartitioning = &bigquery.TimePartitioning{Type: partitionTypes[p.Type], Field: p.Field}
	}
	if len(t.Clustering) > 0 {
		md.Clustering = &bigquery.Clustering{Fields: t.Clustering}
	}
	return md
}

// compare returns the columns that the table lacks. Only one difference of type is
// lived with: a FLOAT64 column of an older table that is now declared NUMERIC.
func (d *destination) compare(have bigquery.Schema, want row.Schema) (bigquery.Schema, error) {
	var missing bigquery.Schema
	var errs []error
	d.warnings = nil
	for _, f := range want {
		existing := findField(have, f.Name)
		switch {
		case existing == nil:
			column := fieldSchema(f)
			column.Required = false
			missing = append(missing, column)
		case existing.Repeated:
			errs = append(errs, fmt.Errorf("column %s is REPEATED but declared %s: change the declaration or move the table away", f.Name, f.Type))
		case existing.Type == fieldTypes[f.Type]:
		case existing.Type == bigquery.FloatFieldType && f.Type == row.TypeNumeric:
			d.warnings = append(d.warnings, fmt.Sprintf("column %s is FLOAT64 but declared NUMERIC: kept, amounts in it are not exact", f.Name))
		default:
			errs = append(errs, fmt.Errorf("column %s is %s but declared %s: change the declaration or move the table away", f.Name, existing.Type, f.Type))
		}
	}
	return missing, errors.Join(errs...)
}

// describe records what publishing needs to know of the table.
func (d *destination) describe(md *bigquery.TableMetadata, want row.Schema) {
	d.columns, d.partitioning, d.truncatable = nil, md.TimePartitioning, true
	for _, f := range md.Schema {
		i := slices.IndexFunc(want, func(w row.Field) bool { return strings.EqualFold(w.Name, f.Name) })
		if i < 0 || f.Required {
			// A query result is all nullable and holds our columns only: a job that
			// truncates a partition would have to change the table's schema.
			d.truncatable = false
		}
		if i < 0 {
			continue
		}
		c := sqlColumn{Name: want[i].Name, Quoted: quoted(want[i].Name)}
		if f.Type == bigquery.FloatFieldType && want[i].Type == row.TypeNumeric {
			c.Cast = row.TypeFloat64.String()
		}
		d.columns = append(d.columns, c)
	}
}
