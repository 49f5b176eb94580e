package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cloudact/convergence/launcher"
)

// Board is what the tables of the queue show. It is never read to decide anything.
type Board interface {
	// ShowQueue replaces the rows of runs, and removes those of runs that have ended.
	ShowQueue(ctx context.Context, rows ...Row) error
	// Clear removes the rows of runs that are not in the list and were added before.
	Clear(ctx context.Context, active []string, before time.Time) error
	// Counts counts what schedules and runs did; of all organisations if org is "".
	Counts(ctx context.Context, org string, now time.Time) (Counts, error)
	// ShowUsage shows what organisations have used today.
	ShowUsage(ctx context.Context, now time.Time, usages ...Usage) error
	// DropUsage removes what was used before a day, and returns how many rows.
	DropUsage(ctx context.Context, before time.Time) (int64, error)
}

// States of rows. A run that has ended has none; its row is gone.
const (
	Queued     = "QUEUED"
	Waiting    = "WAITING"    // for another run's slice
	RetryWait  = "RETRY_WAIT" // for its next attempt
	Processing = "PROCESSING"
)

// Row is a run that has not ended, as the queue shows it.
type Row struct {
	Run      launcher.Run
	State    string // "" when the run has ended
	Priority int
	Updated  time.Time
}

// row is how the queue shows a run.
func row(run launcher.Run, now time.Time) Row {
	r := Row{Run: run, Priority: priority(run), Updated: now}
	switch {
	case run.State.Terminal():
	case run.State != launcher.Pending:
		r.State = Processing
	case run.RetryAt.After(now):
		r.State = RetryWait
	case run.WaitingFor != "":
		r.State = Waiting
	default:
		r.State = Queued
	}
	return r
}

// same reports whether two rows show the same.
func (r Row) same(o Row) bool {
	return r.State == o.State && r.Run.Attempt == o.Run.Attempt && r.Priority == o.Priority
}

// Filter narrows a list of the queue.
type Filter struct {
	State string // as of a row
	Limit int    // 0 = 100
}

const (
	defaultRows = 100
	keepUsage   = 90 // days
)

// List returns the runs that have not ended as they are now, in the order in which they
// would start; of all organisations if org is "".
func (q *Queue) List(ctx context.Context, org string, filter Filter) ([]Row, error) {
	now := q.cfg.Now().UTC()
	runs, err := q.cfg.Active.Active(ctx, org, now)
	if err != nil {
		return nil, fmt.Errorf("read the runs that are active: %w", err)
	}
	runs = slices.DeleteFunc(slices.Clone(runs), func(r launcher.Run) bool { return r.State.Terminal() })
	order(runs, now)
	limit := filter.Limit
	if limit <= 0 {
		limit = defaultRows
	}
	rows := []Row{}
	for _, run := range runs {
		if r := row(run, now); (filter.State == "" || r.State == filter.State) && len(rows) < limit {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// Counts is what schedules and runs did.
type Counts struct {
	ActivePipelines int     `json:"total_active_pipelines"`
	Due             int     `json:"pipelines_due_now"`
	CompletedToday  int     `json:"pipelines_completed_today"`
	FailedToday     int     `json:"pipelines_failed_today"`
	AverageSeconds  float64 `json:"avg_execution_time_seconds"`
}

// Status is the answer of Queue.Status.
type Status struct {
	Counts
	Queued      int `json:"pipelines_queued"`
	Running     int `json:"pipelines_running"`
	QueueLength int `json:"queue_length"`
}

// Status says how the queue is now; of all organisations if org is "".
func (q *Queue) Status(ctx context.Context, org string) (Status, error) {
	rows, err := q.List(ctx, org, Filter{Limit: 1 << 30})
	if err != nil {
		return Status{}, err
	}
	s := Status{QueueLength: len(rows)}
	for _, r := range rows {
		if r.State == Processing {
			s.Running++
		} else {
			s.Queued++
		}
	}
	if s.Counts, err = q.cfg.Board.Counts(ctx, org, q.cfg.Now().UTC()); err != nil {
		return Status{}, fmt.Errorf("count scheduled runs: %w", err)
	}
	return s, nil
}

// Show brings the tables of the queue up to date.
func (q *Queue) Show(ctx context.Context) error {
	if q.cfg.Board == nil {
		return nil
	}
	if err := q.shows.take(ctx); err != nil {
		return err
	}
	defer q.shows.pass()
	rows, err := q.List(ctx, "", Filter{Limit: 1 << 30})
	if err != nil {
		return err
	}
	now := make(map[string]Row, len(rows))
	var changed []Row
	for _, r := range rows {
		now[r.Run.ID] = r
		if before, shown := q.shown[r.Run.ID]; !shown || !before.same(r) {
			changed = append(changed, r)
		}
	}
	ended, err := q.ended(ctx, now)
	if err != nil {
		return err
	}
	changed = append(changed, ended...)
	if len(changed) == 0 {
		return nil
	}
	if err := q.cfg.Board.ShowQueue(ctx, changed...); err != nil {
		return fmt.Errorf("show %d runs: %w", len(changed), err)
	}
	if len(q.shown) == 0 { // what an earlier process showed and nobody removed
		if err := q.cfg.Board.Clear(ctx, slices.Sorted(maps.Keys(now)), q.cfg.Now().Add(-time.Hour)); err != nil {
			return fmt.Errorf("remove the rows of runs that have ended: %w", err)
		}
	}
	q.shown = now
	return q.showUsage(ctx, changed)
}

// ended returns the rows of runs that were shown and have ended since.
func (q *Queue) ended(ctx context.Context, active map[string]Row) ([]Row, error) {
	byOrg := map[string][]string{}
	for id, r := range q.shown {
		if _, still := active[id]; !still {
			byOrg[r.Run.Org] = append(byOrg[r.Run.Org], id)
		}
	}
	var out []Row
	for _, org := range slices.Sorted(maps.Keys(byOrg)) {
		slices.Sort(byOrg[org])
		runs, err := q.cfg.Runs.Runs(ctx, org, byOrg[org])
		if err != nil {
			return nil, fmt.Errorf("read the runs that have ended: %w", err)
		}
		for _, id := range byOrg[org] {
			if run, known := runs[id]; known && run.State.Terminal() {
				out = append(out, row(run, q.cfg.Now().UTC()))
			}
		}
	}
	return out, nil
}

func (q *Queue) showUsage(ctx context.Context, changed []Row) error {
	orgs := map[string]bool{}
	for _, r := range changed {
		orgs[r.Run.Org] = true
	}
	var usages []Usage
	for _, org := range slices.Sorted(maps.Keys(orgs)) {
		u, err := q.cfg.Admission.Usage(ctx, org)
		if err != nil {
			return err
		}
		usages = append(usages, u)
	}
	if err := q.cfg.Board.ShowUsage(ctx, q.cfg.Now().UTC(), usages...); err != nil {
		return fmt.Errorf("show what %d organisations have used: %w", len(usages), err)
	}
	return nil
}

// Reset is the answer of ResetDailyQuotas.
type Reset struct {
	Status   string    `json:"status"`
	Updated  int       `json:"records_updated"`
	Archived int64     `json:"records_archived"`
	Message  string    `json:"message"`
	At       time.Time `json:"executed_at"`
}

// ResetDailyQuotas opens the day's row of every active organisation in org_usage_quotas
// and drops rows older than 90 days. Quotas themselves roll over without it.
func (q *Queue) ResetDailyQuotas(ctx context.Context) (Reset, error) {
	now := q.cfg.Now().UTC()
	orgs, err := q.cfg.Admission.cfg.Accounts.Orgs(ctx)
	if err != nil {
		return Reset{}, fmt.Errorf("list the active organisations: %w", err)
	}
	var usages []Usage
	for _, org := range orgs {
		u, err := q.cfg.Admission.Usage(ctx, org)
		if err != nil {
			return Reset{}, err
		}
		usages = append(usages, u)
	}
	if err := q.cfg.Board.ShowUsage(ctx, now, usages...); err != nil {
		return Reset{}, fmt.Errorf("open the day of %d organisations: %w", len(usages), err)
	}
	dropped, err := q.cfg.Board.DropUsage(ctx, now.AddDate(0, 0, -keepUsage))
	if err != nil {
		return Reset{}, fmt.Errorf("drop usage older than %d days: %w", keepUsage, err)
	}
	return Reset{
		Status: "success", Updated: len(usages), Archived: dropped, At: now,
		Message: fmt.Sprintf("opened %s for %d organizations, dropped %d rows older than %d days", now.Format(time.DateOnly), len(usages), dropped, keepUsage),
	}, nil
}

// Cleaned is the answer of CleanupOrphaned.
type Cleaned struct {
	Status       string       `json:"status"`
	Cleaned      int          `json:"total_pipelines_cleaned"`
	Orgs         int          `json:"orgs_processed"`
	OrgsWithSome int          `json:"orgs_with_cleanup"`
	Details      []CleanedOrg `json:"details"`
	Message      string       `json:"message"`
	At           time.Time    `json:"executed_at"`
}

// CleanedOrg is how many runs of an organisation were cleaned up.
type CleanedOrg struct {
	Org     string `json:"org_slug"`
	Cleaned int    `json:"pipelines_cleaned"`
}

// CleanupOrphaned looks after runs that nobody works on: the launcher goes on with those
// whose process is gone; one that has been under way for longer than age and still has
// nobody is cancelled. What runs hold that have ended, or were never recorded, is given
// back. Runs that a living process follows, or that wait for a slot, are left alone.
func (q *Queue) CleanupOrphaned(ctx context.Context, age time.Duration) (Cleaned, error) {
	now := q.cfg.Now().UTC()
	out := Cleaned{Status: "success", Details: []CleanedOrg{}, At: now}
	if err := q.cfg.Launcher.Recover(ctx); err != nil {
		return out, fmt.Errorf("go on with the runs whose process is gone: %w", err)
	}
	runs, err := q.cfg.Active.Active(ctx, "", now)
	if err != nil {
		return out, fmt.Errorf("read the runs that are active: %w", err)
	}
	cleaned := map[string]int{}
	for _, run := range runs {
		if run.State != launcher.Running || run.Cancelling || now.Sub(run.Began) < age || !q.abandoned(run.ID) {
			continue
		}
		if _, err := q.cfg.Launcher.Cancel(ctx, run.Org, run.ID, false); err != nil {
			return out, fmt.Errorf("cancel run %s: %w", run.ID, err)
		}
		cleaned[run.Org]++
	}
	given, err := q.cfg.Admission.SweepAll(ctx)
	if err != nil {
		return out, err
	}
	for org, n := range given {
		cleaned[org] += n
	}
	orgs, err := q.cfg.Admission.cfg.Accounts.Orgs(ctx)
	if err != nil {
		return out, fmt.Errorf("list the active organisations: %w", err)
	}
	out.Orgs, out.OrgsWithSome = len(orgs), len(cleaned)
	for _, org := range slices.Sorted(maps.Keys(cleaned)) {
		out.Details = append(out.Details, CleanedOrg{org, cleaned[org]})
		out.Cleaned += cleaned[org]
	}
	out.Message = fmt.Sprintf("%d runs that nobody worked on for %s, or that held what they no longer use, of %d organizations", out.Cleaned, age, len(cleaned))
	return out, nil
}

// abandoned reports whether the launcher said that nobody works on a run, and nobody here
// has begun to.
func (q *Queue) abandoned(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.due[id] && !q.working[id]
}
