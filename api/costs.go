package api

import (
	"context"
	"net/http"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/launcher"
)

// Costs reads what the usage of an organisation cost, by day.
type Costs interface {
	Costs(ctx context.Context, org string, q CostQuery) ([]CostRow, error)
}

// CostQuery narrows costs. Both days are inclusive.
type CostQuery struct {
	From, To civil.Date
	GroupBy  string // model, project, key, user; "" = by day and provider only
}

// CostRow is the cost of a day, provider and group.
type CostRow struct {
	Date     string `json:"date"`
	Provider string `json:"provider"`
	Group    string `json:"group" doc:"model, project, key or user; empty without group_by and where usage names none"`
	Requests int64  `json:"requests"`
	Tokens   int64  `json:"total_tokens"`
	CostUSD  string `json:"total_cost_usd" doc:"exact"`
	Unpriced int64  `json:"unpriced_rows" doc:"rows whose cost is unknown, which are not in the cost"`
}

const (
	defaultCostDays = 30
	maxCostDays     = 366
)

type costsInput struct {
	Org     string `path:"org"`
	From    string `query:"from" format:"date" doc:"first day; 30 days before the last when absent"`
	To      string `query:"to" format:"date" doc:"last day, inclusive; today when absent"`
	GroupBy string `query:"group_by" enum:"day,model,project,key,user" default:"day"`
	Limit   int    `query:"limit" default:"1000" minimum:"1" maximum:"10000"`
	Cursor  string `query:"cursor" maxLength:"1000" doc:"from the Link header of the page before"`
}

type costsOutput struct {
	Link string `header:"Link" doc:"the next page, if there is one"`
	Body struct {
		Org     string    `json:"org_slug"`
		From    string    `json:"from"`
		To      string    `json:"to"`
		GroupBy string    `json:"group_by"`
		Rows    []CostRow `json:"rows" doc:"by date, provider and group"`
		Count   int       `json:"count"`
	}
}

func (s *service) costs() {
	add(s, route{
		method: http.MethodGet, path: prefix + "/orgs/{org}/costs", id: "list-costs", summary: "What usage cost, by day", tag: "Costs",
		key: keyOrg, scope: scopeRead, action: actionRead, resource: resourceOrg,
	}, s.listCosts)
}

func (s *service) listCosts(ctx context.Context, in *costsInput) (*costsOutput, error) {
	q, problem := s.costQuery(in)
	if problem != nil {
		return nil, problem
	}
	rows, err := s.cfg.Costs.Costs(ctx, in.Org, q)
	if err != nil {
		return nil, s.problem(ctx, "list costs", err)
	}
	key := func(r CostRow) string { return r.Date + " " + r.Provider + " " + r.Group }
	page, link, problem := pageOf(ctx, PageInput{Limit: in.Limit, Cursor: in.Cursor}, rows, key)
	if problem != nil {
		return nil, problem
	}
	out := &costsOutput{Link: link}
	out.Body.Org, out.Body.From, out.Body.To, out.Body.GroupBy = in.Org, q.From.String(), q.To.String(), in.GroupBy
	out.Body.Rows, out.Body.Count = page, len(page)
	return out, nil
}

func (s *service) costQuery(in *costsInput) (CostQuery, *Problem) {
	q := CostQuery{To: civil.DateOf(s.cfg.Now().In(time.UTC)), GroupBy: in.GroupBy}
	for _, d := range []struct {
		name, text string
		into       *civil.Date
	}{{"to", in.To, &q.To}, {"from", in.From, &q.From}} {
		if d.text == "" {
			continue
		}
		day, err := civil.ParseDate(d.text)
		if err != nil {
			return q, refuse(launcher.CodeInvalidParameter, d.name+" is not a day", "query."+d.name, "write it as YYYY-MM-DD")
		}
		*d.into = day
	}
	if q.From == (civil.Date{}) {
		q.From = q.To.AddDays(1 - defaultCostDays)
	}
	switch days := q.To.DaysSince(q.From) + 1; {
	case days < 1:
		return q, refuse(launcher.CodeInvalidParameter, "the last day is before the first", "query.to", "must not be before from")
	case days > maxCostDays:
		return q, refuse(launcher.CodeInvalidParameter, "that is more than a year", "query.from", "ask for at most 366 days")
	}
	return q, nil
}
