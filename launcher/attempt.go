package launcher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// openGenerations opens one generation for every unit that the run states: the newest
// open one if it can be resumed, else the next.
func (f *follower) openGenerations(ctx context.Context, leave map[string]int) (map[string]int, error) {
	known, err := f.l.cfg.Store.Generations(ctx, f.base.Org, unitIDs(f.plan.Units))
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	all, err := opener{
		register: f.l.cfg.Register, owner: f.l.keeper.Owner(), origin: f.base.Request.Origin,
		since: f.base.Start.Add(-f.l.cfg.ResumeWithin), epochs: epochsOf(f.base, f.plan, f.claims), leave: leave,
	}.all(ctx, f.plan.Units, known)
	if err != nil {
		return nil, err
	}
	generations := make(map[string]int, len(all))
	var events []Event
	for _, u := range f.plan.Units {
		o := all[u.ID]
		generations[u.ID] = o.generation
		e, err := f.event(kindGeneration, u.ID, Pending, int64(o.generation), struct{}{})
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	f.mu.Lock()
	f.opened = all
	f.mu.Unlock()
	if err := f.recordSurely(ctx, pendingPatience, events...); err != nil {
		return nil, fmt.Errorf("record generations: %w", err)
	}
	return generations, nil
}

// allLanded reports whether every unit of the run is one whose rows are added once and
// have been, and by which runs.
func (f *follower) allLanded() (map[string]string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	by := map[string]string{}
	for _, u := range f.plan.Units {
		o := f.opened[u.ID]
		if !u.Once || !o.published {
			return nil, false
		}
		by[u.Step] = o.by
	}
	return by, len(by) > 0
}

// alreadyLanded is the result of a run that has nothing to add: no job is started.
func (f *follower) alreadyLanded(by map[string]string) runfolder.Result {
	now := f.l.cfg.Now()
	r := runfolder.Result{RunID: f.base.ID, State: runfolder.Completed, Code: string(CodeAlreadyLanded), Start: now, End: now}
	for i, s := range f.plan.Steps {
		run, ok := by[s.ID]
		if !ok {
			continue
		}
		r.Steps = append(r.Steps, runfolder.StepResult{
			Step: s.ID, Type: s.Type, Table: s.Table, Index: i, State: runfolder.StepCompleted, Code: string(CodeAlreadyLanded), Start: now, End: now,
			Warnings: []string{"already landed by run " + run + ": append without key_fields adds a slice once"},
		})
		if run != f.base.ID {
			f.landed = run
		}
	}
	return r
}

// hopeless returns the generations that can no longer be completed: their stage is gone,
// or their publish has used up its ordinals.
func (f *follower) hopeless(ctx context.Context, result runfolder.Result) map[string]int {
	if result.State != runfolder.Failed {
		return nil
	}
	missing, failed := map[string]bool{}, map[string]bool{}
	for _, s := range result.Steps {
		failed[s.Step] = s.State == runfolder.StepFailed
		missing[s.Step] = failed[s.Step] && s.Code == string(CodeStageMissing)
	}
	leave := map[string]int{}
	for _, u := range f.plan.Units {
		if !failed[u.Step] {
			continue
		}
		g := f.opened[u.ID].generation
		s, err := f.l.cfg.Register.Standing(ctx, u.ID, g)
		if err != nil {
			f.l.cfg.Log.Warn("read the standing of a generation", "run", f.base.ID, "unit", u.ID, "error", err)
			continue
		}
		if s.State == Exhausted || s.State == Unsettled && missing[u.Step] {
			leave[u.ID] = g
		}
	}
	return leave
}

// close ends the generations that the run has open, so that none of their publishes can
// commit any more, and returns the steps of which all units had been published before.
func (f *follower) close(ctx context.Context) ([]runfolder.StepResult, error) {
	generations := maps.Clone(f.base.Generations)
	if generations == nil {
		generations = map[string]int{}
	}
	f.mu.Lock()
	for unit, o := range f.opened {
		generations[unit] = o.generation
	}
	f.mu.Unlock()
	if len(generations) == 0 || f.plan == nil {
		return nil, nil
	}
	committed := map[string]bool{}
	for unit, g := range generations {
		settle := f.l.cfg.Register.Standing
		if f.discards() {
			settle = f.l.cfg.Register.Fence
		}
		s, err := settle(ctx, unit, g)
		if err != nil {
			return nil, fmt.Errorf("close generation %d of unit %s: %w", g, unit, err)
		}
		committed[unit] = s.State == Published
	}
	if f.discards() && f.l.cfg.Stages != nil {
		if err := f.l.cfg.Stages.Drop(ctx, Dataset(f.base.Org, f.l.cfg.Env), generations); err != nil {
			f.l.cfg.Log.Warn("drop staging tables of a cancelled run", "run", f.base.ID, "error", err)
		}
	}
	return f.committedSteps(committed), nil
}

// committedSteps are the steps of which every unit was published.
func (f *follower) committedSteps(committed map[string]bool) []runfolder.StepResult {
	whole := map[string]bool{}
	for _, u := range f.plan.Units {
		before, seen := whole[u.Step]
		whole[u.Step] = (before || !seen) && committed[u.ID]
	}
	var out []runfolder.StepResult
	for i, s := range f.plan.Steps {
		if whole[s.ID] {
			out = append(out, runfolder.StepResult{
				Step: s.ID, Type: s.Type, Table: s.Table, Index: i, State: runfolder.StepCompleted, End: f.l.cfg.Now(),
				Warnings: []string{"its publish had committed before the run was stopped; its counts are in its publish job"},
			})
		}
	}
	return out
}

func (f *follower) discards() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.base.Discard
}

// withCommitted completes what the job said about its steps: a step whose publish had
// committed is COMPLETED, whatever became of the job.
func withCommitted(result runfolder.Result, committed []runfolder.StepResult, steps int) runfolder.Result {
	for _, c := range committed {
		i := slices.IndexFunc(result.Steps, func(s runfolder.StepResult) bool { return s.Step == c.Step })
		switch {
		case i < 0:
			result.Steps = append(result.Steps, c)
		case result.Steps[i].State != runfolder.StepCompleted:
			result.Steps[i] = c
		}
	}
	completed := 0
	for _, s := range result.Steps {
		if s.State == runfolder.StepCompleted {
			completed++
		}
	}
	if steps > 0 && completed == steps {
		result.State, result.Code, result.Error = runfolder.Completed, "", ""
	}
	return result
}

// worthRetry reports whether another attempt may end better than this one did. A job that
// failed because of its steps is as hopeless as they are.
func worthRetry(result runfolder.Result) bool {
	if result.State != runfolder.Failed || permanent[Code(result.Code)] {
		return false
	}
	for _, s := range result.Steps {
		if s.State == runfolder.StepFailed && permanentStep(s) {
			return false
		}
	}
	return true
}

func permanentStep(s runfolder.StepResult) bool {
	if permanent[Code(s.Code)] && s.Code != string(CodeTimeout) {
		return true
	}
	// A provider that answers 4xx would do so again.
	return s.Code == "HTTP_STATUS" && slices.ContainsFunc([]string{" 400", " 401", " 403", " 404", " 410", " 422"}, func(status string) bool {
		return strings.Contains(s.Error, status)
	})
}
