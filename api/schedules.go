package api

import (
	"context"
	"net/http"
)

type schedulesInput struct {
	PageInput
	Org    string `path:"org"`
	Active string `query:"is_active" enum:"true,false" doc:"only those that are active, or are not"`
}

type schedulesOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body []Schedule
}

type scheduleInput struct {
	Org  string `path:"org"`
	Body struct {
		Provider   string         `json:"provider" minLength:"1" maxLength:"50"`
		Domain     string         `json:"domain,omitempty" maxLength:"50" doc:"empty for a pipeline without one"`
		Pipeline   string         `json:"pipeline_template" minLength:"1" maxLength:"100"`
		Cron       string         `json:"schedule_cron" minLength:"1" maxLength:"100" doc:"five fields, or @daily and the like"`
		Timezone   string         `json:"timezone,omitempty" default:"UTC" maxLength:"64" doc:"IANA name"`
		Active     bool           `json:"is_active,omitempty" default:"true"`
		Parameters map[string]any `json:"parameters,omitempty" doc:"of the pipeline"`
		Priority   int            `json:"priority,omitempty" minimum:"1" maximum:"10" doc:"1 is the highest"`
	}
}

type scheduleOutput struct{ Body Schedule }

type unscheduleInput struct {
	Org string `path:"org"`
	ID  string `path:"config_id"`
}

type unscheduleOutput struct {
	Body struct {
		ID      string `json:"config_id"`
		Org     string `json:"org_slug"`
		Message string `json:"message"`
	}
}

func (s *service) schedules() {
	at := func(method, path, id, summary, scope, action string, also ...int) route {
		return route{
			method: method, path: prefix + "/scheduler/org/{org}/pipelines" + path, id: id, summary: summary, tag: tagScheduler,
			key: keyOrg, scope: scope, action: action, resource: resourcePipeline, also: also,
		}
	}
	add(s, at(http.MethodGet, "", "list-schedules", "What the organisation has scheduled, newest first", scopeRead, actionRead), s.listSchedules)
	add(s, at(http.MethodPost, "", "put-schedule", "Schedule a pipeline, or change its schedule", scopeWrite, actionUpdate, http.StatusNotFound), s.putSchedule)
	add(s, at(http.MethodDelete, "/{config_id}", "delete-schedule", "Take a pipeline off the schedule; it stays in the list", scopeWrite, actionDelete, http.StatusNotFound), s.deleteSchedule)
}

func (s *service) listSchedules(ctx context.Context, in *schedulesInput) (*schedulesOutput, error) {
	var active *bool
	if in.Active != "" {
		yes := in.Active == "true"
		active = &yes
	}
	all, err := s.cfg.Schedules.Schedules(ctx, in.Org, active)
	if err != nil {
		return nil, s.problem(ctx, "list schedules", err)
	}
	last, problem := in.last()
	if problem != nil {
		return nil, problem
	}
	for i, one := range all { // newest first: go on behind the last one
		if last != "" && one.ID == last {
			all = all[i+1:]
			break
		}
	}
	out := &schedulesOutput{}
	if len(all) > in.Limit {
		all = all[:in.Limit]
		out.Link = nextLink(ctx, all[in.Limit-1].ID)
	}
	out.Body = append([]Schedule{}, all...)
	return out, nil
}

func (s *service) putSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	b := in.Body
	id, problem := s.find(ctx, b.Provider, b.Domain, b.Pipeline)
	if problem != nil {
		return nil, problem
	}
	n := NewSchedule{Org: in.Org, Cron: b.Cron, Timezone: b.Timezone, Active: b.Active, Parameters: b.Parameters, Priority: b.Priority}
	n.Provider, n.Domain, n.Pipeline = partsOf(id)
	out, err := s.cfg.Schedules.Schedule(ctx, n)
	if err != nil {
		return nil, s.problem(ctx, "schedule pipeline", err)
	}
	return &scheduleOutput{out}, nil
}

func (s *service) deleteSchedule(ctx context.Context, in *unscheduleInput) (*unscheduleOutput, error) {
	if err := s.cfg.Schedules.Unschedule(ctx, in.Org, in.ID); err != nil {
		return nil, s.problem(ctx, "unschedule pipeline", err)
	}
	var out unscheduleOutput
	out.Body.ID, out.Body.Org, out.Body.Message = in.ID, in.Org, "The pipeline is not scheduled any more"
	return &out, nil
}
