package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/cloudact/convergence/transforms/row"
)

// keyFacts is what must be known of a unit's staged keys before they are merged: the
// statement itself does not tell rows that were already there from rows that a later
// one of the unit supersedes.
type keyFacts struct {
	kept      int64 // rows that are left when each key keeps its last one
	low, high any   // of the partitioning column; nil if it is not part of the key
}

func matchKeys(o Options) []keyField {
	fields, _ := o.keyFields() // validated before
	return fields
}

// matchRowID matches by a hash over unit and key: other units' rows are not looked at.
func matchRowID(Options) []keyField { return []keyField{{name: columnRowID}} }

func checkKeys(o Options) error {
	if len(o.KeyFields) == 0 {
		return fmt.Errorf("%s of %s needs key_fields: the columns that a row is known by", o.WriteMode, o.Table.Name)
	}
	var errs []error
	for i, name := range o.KeyFields {
		if at := o.Table.Schema.Index(name); at >= 0 && !comparable(o.Table.Schema[at].Type) {
			errs = append(errs, fmt.Errorf("key_fields names column %q of %s, whose type %s cannot tell rows apart", name, o.Table.Name, o.Table.Schema[at].Type))
		}
		if slices.Contains(o.KeyFields[:i], name) {
			errs = append(errs, fmt.Errorf("key_fields names column %q twice", name))
		}
	}
	return errors.Join(errs...)
}

// comparable reports whether the warehouse can group by a type and hold equal values equal.
func comparable(t row.Type) bool { return t != row.TypeJSON && t != row.TypeFloat64 }

// keyData is what the statements over a unit's keys see.
func (p publication) keyData() sqlData {
	data := p.data()
	for _, f := range p.mode.match(p.options) {
		data.Keys = append(data.Keys, f.quoted(""))
		data.Match = append(data.Match, sqlMatch{f.quoted("stage."), f.quoted("staged."), f.quoted("destination.")})
	}
	if tp := p.to.partitioning; tp != nil && slices.ContainsFunc(p.options.KeyFields, func(k string) bool { return strings.EqualFold(k, tp.Field) }) {
		data.Field = quoted(tp.Field)
	}
	if p.mode.update {
		for _, c := range p.to.columns {
			if !slices.Contains(data.Keys, c.Quoted) {
				data.Updates = append(data.Updates, c)
			}
		}
	}
	return data
}

// guardName is the table with the one row that every publish by key of the whole table
// updates first. Transactions that change one row exclude each other, which two MERGEs
// that find no match do not: both would insert the same new key.
func guardName(table string) string { return "_guard_" + table }

// makeGuard makes the guard with its row, in one statement, if it is missing.
func makeGuard(ctx context.Context, c *bigquery.Client, t Table) error {
	name := guardName(t.Name)
	text, err := render(sqlGuard, sqlData{Guard: t.path(name)})
	if err != nil {
		return err
	}
	pauses := newPauses(ctx)
	for {
		_, err := c.DatasetInProject(t.Project, t.Dataset).Table(name).Metadata(ctx)
		if hasStatus(err, http.StatusNotFound) {
			q := c.Query(text)
			q.Location = t.Location
			_, err = q.Read(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || !isUncertain(err) {
			return fmt.Errorf("make guard table %s: %w", name, err)
		}
		if err := pauses.wait(ctx, fmt.Errorf("make guard table %s: %w", name, err)); err != nil {
			return err
		}
	}
}

// planMerge compares the staged rows, one per key, with the destination's. Bounds on the
// table partition keep the statement from reading the whole table; they are safe only
// for a column that equal keys have equal.
func planMerge(p publication) (statement, error) {
	data, params := p.keyData(), p.params()
	if p.mode.ordered {
		data.Guard = p.options.Table.path(guardName(p.options.Table.Name))
	}
	if p.keys.low == nil {
		data.Field = ""
	} else {
		params = append(params, bigquery.QueryParameter{Name: "low", Value: p.keys.low}, bigquery.QueryParameter{Name: "high", Value: p.keys.high})
	}
	text, err := render(sqlMerge, data)
	return statement{text: text, params: params}, err
}

// keyFacts asks the stage for the facts about the chosen chunks' keys.
func (p *publisher) keyFacts(ctx context.Context, unit publication) (keyFacts, error) {
	text, err := render(sqlKeys, unit.keyData())
	if err != nil {
		return keyFacts{}, err
	}
	q := p.client.Query(text)
	q.Location = p.options.Table.Location
	q.Parameters = []bigquery.QueryParameter{chunksParam(unit.chosen)}
	it, err := q.Read(ctx)
	if err != nil {
		return keyFacts{}, fmt.Errorf("count the staged keys of %s: %w", p.options.Table.Name, err)
	}
	var cells []bigquery.Value
	if err := it.Next(&cells); err != nil {
		if errors.Is(err, iterator.Done) {
			err = errors.New("no row came back")
		}
		return keyFacts{}, fmt.Errorf("count the staged keys of %s: %w", p.options.Table.Name, err)
	}
	facts := keyFacts{}
	var ok bool
	if facts.kept, ok = cells[0].(int64); !ok {
		return keyFacts{}, fmt.Errorf("count the staged keys of %s: the count is %T", p.options.Table.Name, cells[0])
	}
	if len(cells) == 3 && cells[1] != nil && cells[2] != nil {
		facts.low, facts.high = cells[1], cells[2]
	}
	return facts, nil
}
