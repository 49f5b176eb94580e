package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// promised is what a destination must hold after a publish: the table of promises, one
// mode at a time, told without any of the machinery that keeps them.
func promised(m Mode, u unit, p publication) []row {
	switch m {
	case Append: // the unit's rows are added, once
		return append(slices.Clone(p.before), p.staged...)
	case ReplacePartition: // within the slice and the scope, exactly this generation's rows
		rest := slices.DeleteFunc(slices.Clone(p.before), func(r row) bool {
			return slices.Contains(u.slices, r.slice) && slices.ContainsFunc(u.parts, func(s source) bool { return s.part == r.part })
		})
		return append(rest, p.staged...)
	case Overwrite: // exactly this generation's rows, also none
		return p.staged
	}
	out := slices.Clone(p.before)
	for _, r := range lastPerKey(p.staged) {
		i := slices.IndexFunc(out, func(t row) bool {
			return t.key == r.key && (m != AppendKeyed || t.unit == r.unit)
		})
		switch {
		case i < 0: // a key that is not there is added, once
			out = append(out, r)
		case m == Merge: // upsert
			out[i] = r
		}
	}
	return out
}

func sameRows(a, b []row) bool {
	if len(a) != len(b) {
		return false
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, compareRows)
	slices.SortFunc(b, compareRows)
	return slices.Equal(a, b)
}

func compareRows(a, b row) int {
	return cmp.Or(compareRecords(a.record, b.record), cmp.Compare(a.g, b.g), cmp.Compare(a.unit, b.unit), cmp.Compare(a.config, b.config))
}

func compareRecords(a, b record) int {
	return cmp.Or(cmp.Compare(a.slice, b.slice), cmp.Compare(a.part, b.part), cmp.Compare(a.key, b.key), cmp.Compare(a.edition, b.edition))
}

func sameSet(a, b []record) bool {
	if len(a) != len(b) {
		return false
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, compareRecords)
	slices.SortFunc(b, compareRecords)
	return slices.Equal(a, b)
}

func brief(rows []row) string {
	text := ""
	for _, r := range rows {
		text += fmt.Sprintf("%d/%d:%d@%d ", r.slice, r.part, r.key, r.edition)
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
