package sink

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudact/convergence/transforms/row"
)

// validate reports everything in the options that cannot be carried out, before any job
// is made from them.
func (o Options) validate() error {
	errs := []error{o.validateNames(), o.validateTable(o.Table), o.validateTable(o.deadLetters()), o.validateUnits()}
	if o.MaxRejected < 0 || o.MaxRejected > 1 {
		errs = append(errs, fmt.Errorf("max_rejected is %v: it is a share from 0 to 1", o.MaxRejected))
	}
	if o.MaxRejectedRows < 0 || o.JobTimeout < 0 {
		errs = append(errs, fmt.Errorf("max_rejected and the timeout of a job are %d and %s: neither can be negative", o.MaxRejectedRows, o.JobTimeout))
	}
	errs = append(errs, o.checkSmart())
	if o.Recreate && o.WriteMode != ModeOverwrite {
		errs = append(errs, fmt.Errorf("recreate makes the table anew: that is write_mode %s, not %s", ModeOverwrite, o.WriteMode))
	}
	if _, err := o.keyFields(); err != nil {
		errs = append(errs, err)
	}
	m, ok := o.mode()
	if !ok {
		errs = append(errs, fmt.Errorf("write_mode %q is not supported: use one of %s", o.WriteMode, strings.Join(sortedKeys(modes), ", ")))
	} else {
		errs = append(errs, m.check(o))
	}
	if len(o.ReplaceScope) > 0 && o.WriteMode != ModeReplacePartition {
		errs = append(errs, fmt.Errorf("replace_scope narrows what %s deletes; %s deletes nothing by it", ModeReplacePartition, o.WriteMode))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("step %s: %w", o.Step, err)
	}
	return nil
}

func (o Options) validateNames() error {
	var errs []error
	if o.Step == "" || o.Org == "" || o.RunID == "" {
		errs = append(errs, errors.New("step, org and run id must be set"))
	}
	if !projectPattern.MatchString(o.Table.Project) {
		errs = append(errs, fmt.Errorf("project %q is not a project id", o.Table.Project))
	}
	return errors.Join(errs...)
}

func (o Options) validateTable(t Table) error {
	var errs []error
	if !datasetPattern.MatchString(t.Dataset) || !tablePattern.MatchString(t.Name) {
		errs = append(errs, fmt.Errorf("%q.%q is not a dataset and table name", t.Dataset, t.Name))
	}
	if len(t.Schema) == 0 {
		errs = append(errs, fmt.Errorf("table %s has no columns", t.Name))
	}
	errs = append(errs, validateColumns(t))
	if p := t.TimePartitioning; p != nil {
		i := t.Schema.Index(p.Field)
		if i < 0 || !isTime(t.Schema[i].Type) {
			errs = append(errs, fmt.Errorf("table %s is partitioned by %q, which is no DATE or TIMESTAMP column of it", t.Name, p.Field))
		}
		if _, ok := partitionTypes[p.Type]; !ok {
			errs = append(errs, fmt.Errorf("table %s: partitioning type %q is not one of DAY, HOUR, MONTH, YEAR", t.Name, p.Type))
		}
	}
	for _, c := range t.Clustering {
		if t.Schema.Index(c) < 0 {
			errs = append(errs, fmt.Errorf("table %s is clustered by %q, which is no column of it", t.Name, c))
		}
	}
	return errors.Join(errs...)
}

func validateColumns(t Table) error {
	taken := map[string]bool{}
	for _, s := range []row.Schema{bookkeeping, added} {
		for _, f := range s {
			taken[f.Name] = true
		}
	}
	var errs []error
	for _, f := range t.Schema {
		lower := strings.ToLower(f.Name)
		switch {
		case !columnPattern.MatchString(f.Name):
			errs = append(errs, fmt.Errorf("table %s: %q is not a column name", t.Name, f.Name))
		case taken[lower]:
			errs = append(errs, fmt.Errorf("table %s: column name %q is taken twice or reserved", t.Name, f.Name))
		case fieldTypes[f.Type] == "":
			errs = append(errs, fmt.Errorf("table %s: column %q has type %s, which no table can hold", t.Name, f.Name, f.Type))
		}
		taken[lower] = true
	}
	return errors.Join(errs...)
}

func (o Options) validateUnits() error {
	if len(o.Units) == 0 {
		return errors.New("there is no unit to write")
	}
	var errs []error
	seen := map[string]bool{}
	for i, u := range o.Units {
		if !unitPattern.MatchString(u.ID) || seen[u.ID] {
			errs = append(errs, fmt.Errorf("unit id %q is malformed or there twice", u.ID))
		}
		seen[u.ID] = true
		if i > 0 && u.Start.Before(o.Units[i-1].Start) {
			errs = append(errs, fmt.Errorf("unit %s of %s comes after one of %s: units ascend by slice", u.ID, u.Start, o.Units[i-1].Start))
		}
	}
	return errors.Join(errs...)
}

func isTime(t row.Type) bool { return t == row.TypeDate || t == row.TypeTimestamp }

func (o Options) jobTimeout() time.Duration { return cmp.Or(o.JobTimeout, time.Hour) }

// unit returns the unit with the given id.
func (o Options) unit(id string) (row.Unit, bool) {
	for _, u := range o.Units {
		if u.ID == id {
			return u, true
		}
	}
	return row.Unit{}, false
}

// deadLetters is the dead-letter table at the place of the destination.
func (o Options) deadLetters() Table {
	t := o.DeadLetters
	t.Project, t.Location = o.Table.Project, o.Table.Location
	if t.Dataset == "" {
		t.Dataset = o.Table.Dataset
	}
	return t
}

// replaceField is the column whose range replace_partition replaces.
func (o Options) replaceField() string {
	if o.ReplaceField == "" && o.Table.TimePartitioning != nil {
		return o.Table.TimePartitioning.Field
	}
	return o.ReplaceField
}
