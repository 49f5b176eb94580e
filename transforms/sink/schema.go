package sink

import (
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

// Columns that this package adds to destinations and to staging tables.
const (
	columnRunID    = "_run_id"
	columnRowID    = "_row_id"
	columnKind     = "_kind"
	columnChunk    = "_chunk"
	columnPart     = "_part"
	columnPass     = "_pass"
	columnPage     = "_page"
	columnIndex    = "_index"
	columnFirst    = "_first"
	columnNext     = "_next"
	columnLast     = "_last"
	columnPages    = "_pages"
	columnRowsIn   = "_rows_in"
	columnRowsOut  = "_rows_out"
	columnRejected = "_rejected"
	columnCode     = "_code"
	columnStep     = "_step"
	columnReason   = "_reason"
	columnPayload  = "_payload"
)

// Kinds of staged rows.
const (
	kindRow    = "row"
	kindChunk  = "chunk"
	kindReject = "reject"
)

// bookkeeping are the columns of a staging table beside those of its rows.
var bookkeeping = row.Schema{
	{Name: columnKind, Type: row.TypeString},
	{Name: columnChunk, Type: row.TypeString},
	{Name: columnPart, Type: row.TypeString},
	{Name: columnPass, Type: row.TypeString},
	{Name: columnPage, Type: row.TypeInt64},
	{Name: columnIndex, Type: row.TypeInt64},
	{Name: columnRowID, Type: row.TypeString},
	{Name: columnFirst, Type: row.TypeString},
	{Name: columnNext, Type: row.TypeString},
	{Name: columnLast, Type: row.TypeBool},
	{Name: columnPages, Type: row.TypeInt64},
	{Name: columnRowsIn, Type: row.TypeInt64},
	{Name: columnRowsOut, Type: row.TypeInt64},
	{Name: columnRejected, Type: row.TypeInt64},
	{Name: columnCode, Type: row.TypeString},
	{Name: columnStep, Type: row.TypeString},
	{Name: columnReason, Type: row.TypeString},
	{Name: columnPayload, Type: row.TypeString},
}

// added are the columns that every destination carries.
var added = row.Schema{
	{Name: columnRunID, Type: row.TypeString, Description: "Run that published the row"},
	{Name: columnRowID, Type: row.TypeString, Description: "Identity of the row within its unit"},
}

var fieldTypes = map[row.Type]bigquery.FieldType{
	row.TypeBool:      bigquery.BooleanFieldType,
	row.TypeInt64:     bigquery.IntegerFieldType,
	row.TypeFloat64:   bigquery.FloatFieldType,
	row.TypeNumeric:   bigquery.NumericFieldType,
	row.TypeString:    bigquery.StringFieldType,
	row.TypeBytes:     bigquery.BytesFieldType,
	row.TypeDate:      bigquery.DateFieldType,
	row.TypeTimestamp: bigquery.TimestampFieldType,
	row.TypeJSON:      bigquery.JSONFieldType,
}

func fieldSchema(f row.Field) *bigquery.FieldSchema {
	return &bigquery.FieldSchema{Name: f.Name, Type: fieldTypes[f.Type], Required: f.Required, Description: f.Description}
}

func tableSchema(columns ...row.Schema) bigquery.Schema {
	var out bigquery.Schema
	for _, s := range columns {
		for _, f := range s {
			out = append(out, fieldSchema(f))
		}
	}
	return out
}

// stageSchema leaves every column nullable: a reject or bookkeeping row fills none.
func stageSchema(s row.Schema) bigquery.Schema {
	out := tableSchema(s, bookkeeping)
	for _, f := range out {
		f.Required, f.Description = false, ""
	}
	return out
}

// findField looks a column up as BigQuery does: names differ by more than their case.
func findField(s bigquery.Schema, name string) *bigquery.FieldSchema {
	for _, f := range s {
		if strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}
