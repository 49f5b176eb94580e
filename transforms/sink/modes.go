package sink

import (
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

// mode is how a write mode publishes.
type mode struct {
	check   func(Options) error
	plan    func(publication) (statement, error)
	match   func(Options) []keyField // what rows are matched by; nil: rows have no identity
	update  bool                     // matched rows are updated
	ordered bool                     // units act on each other's rows: one that fails stops those after it, and they publish one by one
}

// modeAppendKeys is ModeAppend with key fields.
const modeAppendKeys = "append+key_fields"

var modes = map[string]mode{
	ModeAppend:           {check: checkAppend, plan: planAppend},
	modeAppendKeys:       {check: checkKeys, plan: planMerge, match: matchRowID},
	ModeInsertNew:        {check: checkKeys, plan: planMerge, match: matchKeys, ordered: true},
	ModeMerge:            {check: checkKeys, plan: planMerge, match: matchKeys, update: true, ordered: true},
	ModeReplacePartition: {check: checkReplace, plan: planReplace},
	ModeOverwrite:        {check: checkOverwrite, plan: planOverwrite},
}

// mode returns how the options publish; false if there is no such mode.
func (o Options) mode() (mode, bool) {
	name := o.WriteMode
	if name == ModeAppend && len(o.KeyFields) > 0 {
		name = modeAppendKeys
	}
	m, ok := modes[name]
	return m, ok
}

// keyed reports whether rows are matched by their keys, so that none may be NULL.
func (o Options) keyed() bool {
	m, _ := o.mode()
	return m.match != nil
}

// publication is one unit that is about to be published.
type publication struct {
	options Options
	mode    mode
	unit    row.Unit
	chosen  []ChunkRef
	to      destination
	keys    keyFacts // of modes that match rows
}

// statement is the query job of a publish.
type statement struct {
	text        string
	params      []bigquery.QueryParameter
	to          *bigquery.Table // destination of a SELECT; nil: the text is a script
	disposition bigquery.TableWriteDisposition
	anew        *Table // of a SELECT that replaces the table together with its layout
}

func (p publication) data() sqlData {
	return sqlData{
		Table:   p.options.Table.path(p.options.Table.Name),
		Stage:   p.options.Table.path(stageName(p.unit)),
		Columns: p.to.columns,
	}
}

func (p publication) params() []bigquery.QueryParameter {
	return append(wholeParams(p.chosen), textParam("run_id", p.options.RunID))
}

func checkAppend(Options) error { return nil }

func planAppend(p publication) (statement, error) {
	text, err := render(sqlAppend, p.data())
	return statement{text: text, params: p.params()}, err
}

func checkOverwrite(o Options) error {
	if len(o.Units) != 1 {
		return fmt.Errorf("overwrite of %s has %d units: the table can hold the rows of one only", o.Table.Name, len(o.Units))
	}
	return nil
}

func planOverwrite(p publication) (statement, error) {
	text, err := render(sqlSelect, p.data())
	s := statement{text: text, params: p.params(), to: p.to.table, disposition: bigquery.WriteTruncateData}
	if p.options.Recreate {
		s.disposition, s.anew = bigquery.WriteTruncate, &p.options.Table
	}
	return s, err
}

func checkReplace(o Options) error {
	var errs []error
	s := o.Table.Schema
	field := o.replaceField()
	if i := s.Index(field); i < 0 || !isTime(s[i].Type) {
		errs = append(errs, fmt.Errorf("replace_partition of %s needs a DATE or TIMESTAMP column to replace by: replace_field is %q", o.Table.Name, field))
	}
	for _, column := range sortedKeys(o.ReplaceScope) {
		i := s.Index(column)
		if i < 0 || s[i].Type == row.TypeJSON || s[i].Type == row.TypeBytes || s[i].Type == row.TypeFloat64 {
			errs = append(errs, fmt.Errorf("replace_scope names %q, which is no comparable column of %s", column, o.Table.Name))
		}
	}
	for _, u := range o.Units {
		if !u.Start.Before(u.End) {
			errs = append(errs, fmt.Errorf("unit %s is empty: from %s to %s (exclusive)", u.ID, u.Start, u.End))
		}
	}
	return errors.Join(errs...)
}

func planReplace(p publication) (statement, error) {
	if p.isOneTablePartition() {
		text, err := render(sqlSelect, p.data())
		t := *p.to.table
		t.TableID += "$" + strings.ReplaceAll(p.unit.Start.String(), "-", "")
		return statement{text: text, params: p.params(), to: &t, disposition: bigquery.WriteTruncate}, err
	}
	data := p.data()
	data.Field = quoted(p.options.replaceField())
	scope, scopeParams := scopeOf(p.options, "scope_")
	data.Scope = scope
	text, err := render(sqlReplaceRange, data)
	params := append(p.params(), rangeParams(p.options, p.unit, "range_start", "range_end")...)
	return statement{text: text, params: append(params, scopeParams...)}, err
}

// isOneTablePartition reports whether the slice is exactly one partition of the table,
// which a single query job can replace.
func (p publication) isOneTablePartition() bool {
	tp := p.to.partitioning
	return tp != nil && tp.Type == bigquery.DayPartitioningType && tp.Field == p.options.replaceField() &&
		p.unit.End == p.unit.Start.AddDays(1) && len(p.options.ReplaceScope) == 0 && p.to.truncatable
}
