package prices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// create adds a row that shares its unique column with no other. The tables are made if
// they are missing.
func (s *Store) create(ctx context.Context, org, providerName string, t *table, f fields) error {
	for _, name := range neverShared {
		delete(f, name)
	}
	if problems := append(t.missing(f), t.check(f)...); problems != nil {
		return wrong(problems)
	}
	dataset, err := s.dataset(org)
	if err != nil {
		return err
	}
	if err := s.Prepare(ctx, org, providerName); err != nil {
		return err
	}
	s.mark(t, f)
	text, err := t.lines([]fields{f})
	if err != nil {
		return err
	}
	n, err := s.run(ctx, "insert.sql", t.data(s.path(dataset, t.name)), map[string]any{"lines": text})
	if err != nil {
		return fmt.Errorf("add %s to %s of %s: %w", f.text(t.key), t.name, org, err)
	}
	if n == 0 {
		return refuse(CodeConflict, "%s has the %s %q already: change it, or delete it first", t.name, t.unique, clip(f.text(t.unique)))
	}
	return nil
}

func wrong(problems []Problem) error {
	e := &launcher.Error{Code: launcher.CodeInvalidParameter, Message: join(problems)}
	for _, p := range problems {
		e.Problems = append(e.Problems, p.String())
	}
	return e
}

// mark says whose row it is. One of a model or plan that comes with the product is an
// edited one, which a reset takes away; others are custom and stay.
func (s *Store) mark(t *table, f fields) {
	now := s.cfg.Clock().UTC()
	if _, ok := f["is_enabled"]; !ok {
		f.set("is_enabled", true)
	}
	comes := t.seeded(f.text(t.key))
	f.set("is_custom", !comes)
	f.set("is_edited", comes)
	f.set("created_at", now)
	f.set("updated_at", now)
}

func (t *table) seeded(key string) bool {
	return slices.ContainsFunc(t.seed, func(f fields) bool { return f.text(t.key) == key })
}

func (t *table) seededKeys() []string {
	keys := []string{}
	for _, f := range t.seed {
		if key := f.text(t.key); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// ItemError is why one change of several was not made.
type ItemError struct {
	Index   int
	Key     string
	Message string
}

// Result is what a bulk change did.
type Result struct {
	Updated int
	Errors  []ItemError
}

// target decides what a change is about. A later date than the newest row's states new
// terms from that day on and keeps the history; another date of the history is that row;
// an earlier date moves the newest row. mayAdd permits keys that have no row.
func (s *Store) target(t *table, change fields, history []fields, mayAdd bool) (fields, error) {
	date := change.date("effective_date")
	row := fields{}
	if len(history) == 0 {
		if !mayAdd {
			return nil, s.notFound(t, change.text(t.key))
		}
		for name, value := range change {
			row[name] = value
		}
		if !date.IsValid() {
			date = civil.DateOf(s.cfg.Clock().UTC())
			row.set("effective_date", date)
		}
		if problems := append(t.missing(row), t.check(row)...); problems != nil {
			return nil, wrong(problems)
		}
		s.mark(t, row)
		row.set("match_date", date)
		return row, nil
	}
	newest := history[0]
	same := slices.IndexFunc(history, func(h fields) bool { return h.date("effective_date") == date })
	switch {
	case date.IsValid() && same < 0 && date.After(newest.date("effective_date")):
		for name, value := range newest {
			if name != "end_date" { // the end of the terms before
				row[name] = value
			}
		}
		s.mark(t, row)
		row.set("match_date", date)
	case same >= 0:
		row.set("match_date", date)
	default:
		row.set("match_date", newest.date("effective_date"))
	}
	for name, value := range change {
		row[name] = value
	}
	row.set("updated_at", s.cfg.Clock().UTC())
	return row, nil
}

// upsert makes changes in one statement; those that are wrong are left out.
func (s *Store) upsert(ctx context.Context, org string, t *table, changes []fields, mayAdd bool) (Result, []error, error) {
	dataset, err := s.dataset(org)
	if err != nil {
		return Result{}, nil, err
	}
	failures := make([]error, len(changes))
	var rows []fields
	seen := map[string]bool{}
	for i, change := range changes {
		key := change.text(t.key)
		row, err := s.resolve(ctx, org, t, change, mayAdd)
		if err == nil && seen[key+" "+row.text("match_date")] {
			err = refuse(launcher.CodeInvalidParameter, "%s %q is changed twice", t.key, clip(key))
		}
		var refused *launcher.Error
		if err != nil && !errors.As(err, &refused) {
			return Result{}, nil, err
		}
		if failures[i] = err; err == nil {
			seen[key+" "+row.text("match_date")] = true
			rows = append(rows, row)
		}
	}
	if len(rows) > 0 {
		text, err := t.lines(rows)
		if err != nil {
			return Result{}, nil, err
		}
		if _, err := s.run(ctx, "upsert.sql", t.data(s.path(dataset, t.name)), map[string]any{"lines": text}); err != nil {
			return Result{}, nil, fmt.Errorf("change %s of %s: %w", t.name, org, err)
		}
	}
	return Result{Updated: len(rows)}, failures, nil
}

func (s *Store) resolve(ctx context.Context, org string, t *table, change fields, mayAdd bool) (fields, error) {
	if len(change) < 2 {
		return nil, refuse(launcher.CodeInvalidParameter, "No fields to update")
	}
	if problems := t.check(change); problems != nil {
		return nil, wrong(problems)
	}
	raw, err := s.history(ctx, org, t, change.text(t.key))
	if err != nil {
		return nil, err
	}
	history := make([]fields, len(raw))
	for i, line := range raw {
		var f fields
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, err
		}
		for name, value := range f {
			if string(value) == "null" {
				delete(f, name)
			}
		}
		history[i] = f
	}
	return s.target(t, change, history, mayAdd)
}

// remove deletes all rows of a key. Removing what is not there is no error.
func (s *Store) remove(ctx context.Context, org string, t *table, key string) error {
	dataset, err := s.dataset(org)
	if err != nil {
		return err
	}
	if _, err := s.run(ctx, "delete.sql", t.data(s.path(dataset, t.name)), map[string]any{"key": key}); err != nil && !isMissing(err) {
		return fmt.Errorf("delete %s from %s of %s: %w", clip(key), t.name, org, err)
	}
	return nil
}

// ResetResult says what a reset did.
type ResetResult struct {
	Reset     int // rows as they come with the product
	Preserved int // rows that the organisation added
}

// reset makes the product's rows as they come, in one transaction, and keeps custom ones.
func (s *Store) reset(ctx context.Context, org, providerName string, t *table) (ResetResult, error) {
	dataset, err := s.dataset(org)
	if err != nil {
		return ResetResult{}, err
	}
	if err := s.Prepare(ctx, org, providerName); err != nil {
		return ResetResult{}, err
	}
	text, err := t.lines(s.stamped(t.seed))
	if err != nil {
		return ResetResult{}, err
	}
	d := t.data(s.path(dataset, t.name))
	d.Unique, d.Dated = d.Key, true
	if _, err := s.run(ctx, "reset.sql", d, map[string]any{"lines": text, "seeded": t.seededKeys()}); err != nil {
		return ResetResult{}, fmt.Errorf("reset %s of %s: %w", t.name, org, err)
	}
	rows, _, err := s.list(ctx, org, t, Page{Limit: mostLimit})
	return ResetResult{Reset: len(t.seed), Preserved: len(rows) - len(t.seed)}, err
}
