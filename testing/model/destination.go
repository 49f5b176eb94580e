package model

import "slices"

// publish is the effect of a publish job on the destination, with the isolation that the
// warehouse gives it: it sees what was there when it started. A statement that changes or
// deletes rows aborts if another one touched the same table partition since; one that
// only adds rows conflicts with nothing, a MERGE that happens to find no match included.
func (h *warehouse) publish(j *job) outcome {
	mode := h.w.plan.mode
	staged := picked(j.read, rowLine, j.chosen, h.w.flaws.has(ReadWholeStage))
	before := h.table
	switch mode {
	case Append:
		h.table = append(slices.Clip(h.table), staged...)
	case ReplacePartition:
		if h.conflicts(j) {
			return aborted
		}
		h.table = append(h.without(j.unit), staged...)
		h.touch(j.unit.slices)
	case Overwrite:
		h.table = slices.Clone(staged)
	default:
		if o := h.mergeInto(j, lastPerKey(staged)); o != ok {
			return o
		}
	}
	h.w.stats.Published++
	h.w.audit.published(j, publication{staged: staged, before: before, after: h.table})
	return ok
}

// guarded reports whether a publish must exclude publishes of other units: its keys are
// keys of the whole table. A MERGE that only inserts does not exclude another one, so
// the job first updates the table's guard row in the same transaction, which does.
//
// Shipped: transforms/sink/sql/merge.sql, on the row of _guard_{table} (merge.go).
func (h *warehouse) guarded() bool {
	m := h.w.plan.mode
	return (m == InsertNew || m == Merge) && !h.w.flaws.has(UnguardedMerge)
}

func (h *warehouse) mergeInto(j *job, source []row) outcome {
	if h.guarded() {
		if h.guard != j.guard {
			return aborted
		}
		h.guard++
	}
	at := map[any]int{}
	for i, r := range j.table {
		at[h.identity(r)] = i
	}
	changed := map[row]row{}
	var added []row
	for _, r := range source {
		i, matched := at[h.identity(r)]
		switch {
		case !matched:
			added = append(added, r)
		case h.w.plan.mode == Merge:
			changed[j.table[i]] = r
		}
	}
	if len(changed) > 0 && h.conflicts(j) {
		return aborted
	}
	after := make([]row, 0, len(h.table)+len(added))
	for _, r := range h.table {
		if n, ok := changed[r]; ok {
			r = n
		}
		after = append(after, r)
	}
	h.table = append(after, added...)
	if len(changed) > 0 {
		h.touch(allSlices(h.w.plan.slices))
	}
	return ok
}

// identity is what a MERGE matches by: the key, within one unit under append.
func (h *warehouse) identity(r row) any {
	if h.w.plan.mode == AppendKeyed {
		return struct {
			unit string
			key  int
		}{r.unit, r.key}
	}
	return r.key
}

func (h *warehouse) conflicts(j *job) bool {
	slicesOf := j.unit.slices
	if h.w.plan.mode == Merge {
		slicesOf = allSlices(h.w.plan.slices)
	}
	for _, s := range slicesOf {
		if h.touched[s] != j.touched[s] {
			return true
		}
	}
	return false
}

func (h *warehouse) touch(slicesOf []int) {
	for _, s := range slicesOf {
		h.touched[s]++
	}
}

func allSlices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// without is the DELETE of a replacing publish: the slice, and of it only what the unit
// states. A narrowed run that deleted the whole slice would wipe the rest of it.
//
// Shipped: transforms/sink/sql/replace_range.sql by replace_scope; beam/plan/units.go
// refuses a narrowed run without one.
func (h *warehouse) without(u unit) []row {
	out := make([]row, 0, len(h.table))
	for _, r := range h.table {
		unscoped := h.w.flaws.has(Unscoped) && slices.Contains(u.slices, r.slice)
		if !unscoped && !slices.Contains(u.parts, source{r.slice, r.part}) {
			out = append(out, r)
		}
	}
	return out
}

// lastPerKey keeps one row of each key: the source of a MERGE must not match twice.
func lastPerKey(rows []row) []row {
	at := map[int]int{}
	var out []row
	for _, r := range rows {
		if i, ok := at[r.key]; ok {
			out[i] = r
			continue
		}
		at[r.key] = len(out)
		out = append(out, r)
	}
	return out
}
