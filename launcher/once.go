package launcher

import (
	"context"
	"maps"
)

// forceRefresh is the parameter that states again what has landed.
const forceRefresh = "force_refresh"

// oncePage is how many completed runs are looked at in one go.
const oncePage = 500

// ranOnce returns the completed run that answers for a run of a pipeline whose slices run
// once: the newest of the same days and parameters, the forcing one aside.
func (l *Launcher) ranOnce(ctx context.Context, run Run, plan *Plan) (Run, bool, error) {
	if !plan.RunOnce || run.Params[forceRefresh] == "true" || plan.ForceParam != "" && run.Params[plan.ForceParam] == "true" {
		return Run{}, false, nil
	}
	wanted := unforcedKey(run, plan.ForceParam)
	filter := Filter{Pipeline: run.PipelineID, State: Completed, Limit: oncePage}
	for {
		page, err := l.cfg.Store.List(ctx, run.Org, filter)
		if err != nil {
			return Run{}, false, &Error{Code: CodeUnavailable, Message: "the runs that have completed could not be read, so nothing was started; try again", Err: err}
		}
		for _, other := range page {
			if other.State == Completed && unforcedKey(other, plan.ForceParam) == wanted {
				return other, true, nil
			}
		}
		if len(page) < oncePage {
			return Run{}, false, nil
		}
		filter.After = page[len(page)-1].ID
	}
}

// unforcedKey is equalKey without the parameters that only ask for another run.
func unforcedKey(r Run, force string) string {
	r.Params = maps.Clone(r.Params)
	delete(r.Params, forceRefresh)
	delete(r.Params, force)
	return equalKey(r)
}
