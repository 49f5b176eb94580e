package client

import "context"

// CostFilter narrows costs. Days are YYYY-MM-DD, both inclusive; empty ones are the
// service's defaults, the last 30 days.
type CostFilter struct {
	From, To string
	GroupBy  string // day, model, project, key, user; "" is day
	Limit    int
	Cursor   string
}

// Cost is the cost of a day, provider and group.
type Cost struct {
	Date     string `json:"date"`
	Provider string `json:"provider"`
	Group    string `json:"group"`
	Requests int64  `json:"requests"`
	Tokens   int64  `json:"total_tokens"`
	CostUSD  string `json:"total_cost_usd"` // exact
	Unpriced int64  `json:"unpriced_rows"`
}

// Costs returns a page of what the usage of an organisation cost.
func (c *Client) Costs(ctx context.Context, org string, f CostFilter) (costs []Cost, next string, err error) {
	var out struct {
		Rows []Cost `json:"rows"`
	}
	query := page(f.Limit, f.Cursor)
	set(query, "from", f.From)
	set(query, "to", f.To)
	set(query, "group_by", f.GroupBy)
	next, err = c.list(ctx, parts(base+"/orgs", org, "costs"), query, &out)
	return out.Rows, next, err
}
