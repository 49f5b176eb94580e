package plan

import (
	"context"

	"github.com/cloudact/convergence/configs"
)

func (p *Planner) plan(_ context.Context, _ Request, _ bool) (*Plan, configs.Problems) {
	return nil, configs.Problems{{Message: "planning is being built"}}
}
