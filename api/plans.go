package api

import (
	"context"
	"net/http"
)

type plansBody struct {
	Org      string `json:"org_slug"`
	Provider string `json:"provider"`
	Plans    []Plan `json:"subscriptions" doc:"by name, and of a plan the newest terms first"`
	Count    int    `json:"count"`
}

type plansOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body plansBody
}

type planKey struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Plan     string `path:"plan_name"`
}

type planOutput struct{ Body Plan }

type newPlanInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Body     NewPlan
}

type planChangeInput struct {
	Org      string `path:"org"`
	Provider string `path:"provider"`
	Plan     string `path:"plan_name"`
	Body     PlanChange
}

type plansResetOutput struct {
	Body struct {
		ResetBody
		Plans []Plan `json:"subscriptions"`
		Count int    `json:"count"`
	}
}

func (s *service) plans() {
	read, write := scopeIntegrationRead, scopeIntegrationWrite
	add(s, tableRoute(http.MethodGet, "/subscriptions", "list-plans", "Subscriptions to the provider", read, actionRead), s.listPlans)
	add(s, tableRoute(http.MethodGet, "/subscriptions/{plan_name}", "get-plan", "Terms of a plan", read, actionRead), s.getPlan)
	create := tableRoute(http.MethodPost, "/subscriptions", "create-plan", "Add a plan", write, actionCreate, http.StatusConflict)
	create.status = http.StatusCreated
	add(s, create, s.createPlan)
	add(s, tableRoute(http.MethodPut, "/subscriptions/{plan_name}", "update-plan", "Change the terms of a plan", write, actionUpdate), s.updatePlan)
	remove := tableRoute(http.MethodDelete, "/subscriptions/{plan_name}", "delete-plan", "Delete a plan", write, actionDelete)
	remove.status = http.StatusNoContent
	add(s, remove, s.deletePlan)
	add(s, tableRoute(http.MethodPost, "/subscriptions/reset", "reset-plans", "Make the product's plans as they come, and keep the organisation's own", write, actionUpdate), s.resetPlans)
}

func (s *service) listPlans(ctx context.Context, in *rowsInput) (*plansOutput, error) {
	page := PageInput{Limit: in.Limit, Cursor: in.Cursor}
	cursor, problem := page.last()
	if problem != nil {
		return nil, problem
	}
	rows, next, err := s.cfg.Plans.List(ctx, in.Org, tableOf(in.Provider), in.Limit, cursor)
	if err != nil {
		return nil, s.problem(ctx, "list plans", err)
	}
	out := &plansOutput{Body: plansBody{Org: in.Org, Provider: tableOf(in.Provider), Plans: append([]Plan{}, rows...), Count: len(rows)}}
	if next != "" {
		out.Link = nextLink(ctx, next)
	}
	return out, nil
}

func (s *service) getPlan(ctx context.Context, in *planKey) (*planOutput, error) {
	row, err := s.cfg.Plans.Get(ctx, in.Org, tableOf(in.Provider), in.Plan)
	if err != nil {
		return nil, s.problem(ctx, "get plan", err)
	}
	return &planOutput{row}, nil
}

func (s *service) createPlan(ctx context.Context, in *newPlanInput) (*planOutput, error) {
	row, err := s.cfg.PlanEditor.Create(ctx, in.Org, tableOf(in.Provider), in.Body)
	if err != nil {
		return nil, s.problem(ctx, "add plan", err)
	}
	return &planOutput{row}, nil
}

func (s *service) updatePlan(ctx context.Context, in *planChangeInput) (*planOutput, error) {
	row, err := s.cfg.PlanEditor.Update(ctx, in.Org, tableOf(in.Provider), in.Plan, in.Body)
	if err != nil {
		return nil, s.problem(ctx, "change plan", err)
	}
	return &planOutput{row}, nil
}

func (s *service) deletePlan(ctx context.Context, in *planKey) (*struct{}, error) {
	if err := s.cfg.PlanEditor.Delete(ctx, in.Org, tableOf(in.Provider), in.Plan); err != nil {
		return nil, s.problem(ctx, "delete plan", err)
	}
	return nil, nil //nolint:nilnil // huma's answer without a body
}

func (s *service) resetPlans(ctx context.Context, in *tableInput) (*plansResetOutput, error) {
	counts, err := s.cfg.Plans.Reset(ctx, in.Org, tableOf(in.Provider))
	if err != nil {
		return nil, s.problem(ctx, "reset plans", err)
	}
	rows, _, err := s.cfg.Plans.List(ctx, in.Org, tableOf(in.Provider), maxRows, "")
	if err != nil {
		return nil, s.problem(ctx, "list plans", err)
	}
	var out plansResetOutput
	out.Body.ResetBody = ResetBody{Org: in.Org, Provider: tableOf(in.Provider), Reset: counts.Reset, Preserved: counts.Preserved}
	out.Body.Plans, out.Body.Count = append([]Plan{}, rows...), len(rows)
	return &out, nil
}
