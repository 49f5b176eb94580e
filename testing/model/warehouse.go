package model

import (
	"slices"
	"sort"
)

type jobKind int

const (
	loadJob jobKind = iota
	fenceJob
	decideJob
	publishJob
)

type outcome int

const (
	undone outcome = iota
	ok
	failed    // counts as a failed ordinal
	aborted   // lost a serialisation conflict: does not count
	cancelled // counts
	missing   // the staging table was not there
	mismatch  // the stage does not hold what the job was told it holds
)

var outcomeNames = []string{"undone", "committed", "failed", "aborted", "cancelled", "no stage", "stage does not match"}

// job is a job of the warehouse. Its effect is atomic, under an id that is used once.
type job struct {
	id      string
	kind    jobKind
	by      string
	created int
	ended   int
	running bool
	cancel  bool
	done    outcome

	unit   unit
	g      int
	stage  string
	lines  []line     // of a load
	chosen []chunkRef // of a query

	read    []line // what a query sees of the stage, the table and the guard
	table   []row
	guard   int
	touched map[int]int
}

// warehouse keeps ids, staging tables and the one destination.
type warehouse struct {
	w       *world
	jobs    map[string]*job
	undone  []*job
	stages  map[string]*stage
	table   []row // never changed in place, so that a snapshot is a copy of the slice
	touched map[int]int
	guard   int
	letters []row // dead letters
}

func newWarehouse(w *world) *warehouse {
	return &warehouse{w: w, jobs: map[string]*job{}, stages: map[string]*stage{}, touched: map[int]int{}}
}

// insert creates a job, or answers with the one that has the id: the 409 of jobs.insert.
func (h *warehouse) insert(j job) (there *job, attached bool) {
	if known, taken := h.jobs[j.id]; taken {
		return known, true
	}
	j.created = h.w.now
	h.jobs[j.id] = &j
	if j.kind == fenceJob {
		j.done = ok
	} else {
		h.undone = append(h.undone, &j)
	}
	return &j, false
}

// makeStage is tables.insert: it leaves a table that is there alone.
func (h *warehouse) makeStage(name string) {
	if h.stages[name] == nil {
		h.stages[name] = &stage{name: name, made: h.w.now}
		h.w.log("stage", "%s is made", name)
	}
}

func (h *warehouse) expireOne() {
	names := make([]string, 0, len(h.stages))
	for name := range h.stages {
		names = append(names, name)
	}
	if len(names) == 0 {
		return
	}
	sort.Strings(names)
	h.dropStage(names[h.w.rng.IntN(len(names))], "expires")
}

// dropStage ends a life of a staging table. What it held must be asked for again.
func (h *warehouse) dropStage(name, why string) {
	if h.stages[name] != nil {
		h.w.log("stage", "%s %s", name, why)
		h.w.audit.forget(name)
		delete(h.stages, name)
	}
}

// advance starts a job, or ends one that runs. What a query reads it reads at its start.
func (h *warehouse) advance(j *job) {
	if j.cancel && h.w.rng.IntN(2) == 0 {
		h.end(j, cancelled)
		return
	}
	switch {
	case !j.running:
		h.start(j)
	case j.kind == publishJob && h.w.rng.IntN(3) > 0: // takes longer than a load
	default:
		h.end(j, h.commit(j))
	}
}

func (h *warehouse) end(j *job, o outcome) {
	j.done, j.ended = o, h.w.now
	i := slices.Index(h.undone, j)
	h.undone = append(h.undone[:i:i], h.undone[i+1:]...)
	if o == aborted {
		h.w.stats.Aborted++
	}
	h.w.log("job", "%s of %s: %s", j.id, j.by, outcomeNames[o])
}

func (h *warehouse) start(j *job) {
	j.running = true
	if j.kind == loadJob {
		return
	}
	s := h.stages[j.stage]
	if s == nil {
		h.end(j, missing)
		return
	}
	j.read, j.table, j.guard = s.lines, h.table, h.guard
	j.touched = map[int]int{}
	for slice, n := range h.touched {
		j.touched[slice] = n
	}
	// The check is part of the job: whatever happened to the stage since somebody looked,
	// a publish takes effect on exactly the rows it was told of, or not at all.
	// Shipped: "whole" in transforms/sink/sql/columns.sql, part of every publish.
	if !h.w.flaws.has(NoAssertion) && !stands(j.read, j.chosen) {
		h.end(j, mismatch)
	}
}

func (h *warehouse) commit(j *job) outcome {
	if h.w.luck.strikes(fail) {
		return failed
	}
	switch j.kind {
	case loadJob:
		s := h.stages[j.stage]
		if s == nil { // CREATE_NEVER
			return missing
		}
		s.lines = append(slices.Clip(s.lines), j.lines...)
		return ok
	case decideJob:
		h.letters = append(h.letters, picked(j.read, rejectLine, j.chosen, false)...)
		return ok
	}
	if h.w.luck.strikes(abort) {
		return aborted
	}
	return h.publish(j)
}
