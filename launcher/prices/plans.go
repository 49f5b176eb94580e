package prices

import "context"

// ListPlans returns plans by name, and of a plan the newest terms first, and the cursor of
// the next page. Without a table there are none.
func (s *Store) ListPlans(ctx context.Context, org, provider string, page Page) ([]Plan, string, error) {
	p, err := s.provider(provider)
	if err != nil {
		return nil, "", err
	}
	rows, next, err := s.list(ctx, org, p.plans, page)
	if err != nil {
		return nil, "", err
	}
	all, err := decodeAll[Plan](rows)
	return all, next, err
}

// Plan returns the newest terms of a plan, or CodeNotFound.
func (s *Store) Plan(ctx context.Context, org, provider, plan string) (Plan, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Plan{}, err
	}
	return newest[Plan](ctx, s, org, p.plans, plan)
}

// CreatePlan adds a plan whose subscription id no other has; else it is CodeConflict.
func (s *Store) CreatePlan(ctx context.Context, org, provider string, plan Plan) (Plan, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Plan{}, err
	}
	f, err := fieldsOf(plan)
	if err != nil {
		return Plan{}, err
	}
	if err := s.create(ctx, org, provider, p.plans, f); err != nil {
		return Plan{}, err
	}
	return s.Plan(ctx, org, provider, plan.PlanName)
}

// UpdatePlan changes the newest terms of a plan. A later effective date than theirs states
// new terms from that day on and keeps the old ones for the days before.
func (s *Store) UpdatePlan(ctx context.Context, org, provider string, change PlanChange) (Plan, error) {
	p, err := s.provider(provider)
	if err != nil {
		return Plan{}, err
	}
	f, err := fieldsOf(change)
	if err != nil {
		return Plan{}, err
	}
	_, failures, err := s.upsert(ctx, org, p.plans, []fields{f}, false)
	if err == nil {
		err = failures[0]
	}
	if err != nil {
		return Plan{}, err
	}
	return s.Plan(ctx, org, provider, change.PlanName)
}

// DeletePlan deletes all terms of a plan; what is not there is no error. A plan that comes
// with the product is back after the next set-up or reset.
func (s *Store) DeletePlan(ctx context.Context, org, provider, plan string) error {
	p, err := s.provider(provider)
	if err != nil {
		return err
	}
	return s.remove(ctx, org, p.plans, plan)
}

// ResetPlans makes the product's plans as they come and keeps the organisation's.
func (s *Store) ResetPlans(ctx context.Context, org, provider string) (ResetResult, error) {
	p, err := s.provider(provider)
	if err != nil {
		return ResetResult{}, err
	}
	return s.reset(ctx, org, provider, p.plans)
}
