package sink

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

var sqlTexts = template.Must(template.New("sql").Funcs(template.FuncMap{
	"join": func(names []string) string { return strings.Join(names, ", ") },
}).ParseFS(sqlFiles, "sql/*.sql"))

// Names of the SQL files.
const (
	sqlSelect       = "select.sql"
	sqlAppend       = "append.sql"
	sqlMerge        = "merge.sql"
	sqlKeys         = "keys.sql"
	sqlChunks       = "chunks.sql"
	sqlReread       = "reread.sql"
	sqlFence        = "fence.sql"
	sqlReplaceRange = "replace_range.sql"
	sqlDeadLetters  = "dead_letters.sql"
	sqlFill         = "fill.sql"
	sqlFilled       = "filled.sql"
	sqlDecide       = "decide.sql"
	sqlGuard        = "guard.sql"
)

// stageNotWhole is the error of a publish whose stage lost or doubled rows.
const stageNotWhole = "the staging table does not hold the rows of its chunks"

// sqlData is what a template sees: quoted paths and columns, names of parameters.
// Values never stand in the text.
type sqlData struct {
	Table    string
	Stage    string
	Columns  []sqlColumn
	Field    string // of the replaced or matched range, "" if none
	Keys     []string
	Match    []sqlMatch  // the keys, of each side
	Updates  []sqlColumn // that a matched row takes over; none: it is left as it is
	Scope    []sqlScope
	Required []string
	NullKeys bool // NULL keys are rejected
	Query    string
	Guard    string // of publishes that must come one after another, "" if none
}

type sqlColumn struct{ Name, Quoted, Cast string }

type sqlMatch struct{ Stage, Staged, Destination string }

type sqlScope struct{ Column, Param, Type string }

func render(name string, data sqlData) (string, error) {
	var b strings.Builder
	if err := sqlTexts.ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return b.String(), nil
}

func typedParam(p Param) bigquery.QueryParameter {
	v := &bigquery.QueryParameterValue{Type: bigquery.StandardSQLDataType{TypeKind: p.Type.String()}, Value: p.Value}
	if p.Null {
		v.Value = bigquery.NullString{}
	}
	return bigquery.QueryParameter{Name: p.Name, Value: v}
}

func textParam(name, value string) bigquery.QueryParameter {
	return bigquery.QueryParameter{Name: name, Value: value}
}

// chunksParam names the chunks that a statement may read.
func chunksParam(refs []ChunkRef) bigquery.QueryParameter {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return bigquery.QueryParameter{Name: "chunks", Value: ids}
}

// wholeParams are what a statement that reads the chunks of a stage must find there.
func wholeParams(refs []ChunkRef) []bigquery.QueryParameter {
	sum := totals(refs)
	return []bigquery.QueryParameter{chunksParam(refs), {Name: "staged", Value: sum.RowsOut}, {Name: "rejected", Value: sum.Rejected}}
}

// rangeParams are the bounds of a unit's slice in the type of the replaced field.
func rangeParams(o Options, u row.Unit, start, end string) []bigquery.QueryParameter {
	s := o.Table.Schema
	if s[s.Index(o.replaceField())].Type == row.TypeDate {
		return []bigquery.QueryParameter{{Name: start, Value: u.Start}, {Name: end, Value: u.End}}
	}
	return []bigquery.QueryParameter{{Name: start, Value: midnight(u.Start)}, {Name: end, Value: midnight(u.End)}}
}

// scopeOf returns the replaced scope as conditions and their parameters.
func scopeOf(o Options, prefix string) ([]sqlScope, []bigquery.QueryParameter) {
	var conditions []sqlScope
	var params []bigquery.QueryParameter
	for i, column := range sortedKeys(o.ReplaceScope) {
		field := o.Table.Schema[o.Table.Schema.Index(column)]
		name := prefix + strconv.Itoa(i)
		conditions = append(conditions, sqlScope{quoted(column), name, field.Type.String()})
		params = append(params, textParam(name, o.ReplaceScope[column]))
	}
	return conditions, params
}

func plainColumns(s row.Schema) []sqlColumn {
	out := make([]sqlColumn, len(s))
	for i, f := range s {
		out[i] = sqlColumn{Name: f.Name, Quoted: quoted(f.Name)}
	}
	return slices.Clip(out)
}
