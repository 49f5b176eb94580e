package plan

import (
	"maps"
	"slices"

	"github.com/cloudact/convergence/configs"
)

// separate notes the parameters of which the step's units are a function. What every step
// notes parts the runs of a pipeline: two that differ in it have no unit in common.
func (s *stepBuilder) separate() {
	values := map[string]string{}
	if mode := s.out.Destination.WriteMode; mode != modeOverwrite && mode != modeReplace {
		// A step's own variable need not follow the run's parameter of that name.
		own := configs.Member(s.node, "variables")
		values = configs.ParameterValues(s.builder.scope, s.used)
		maps.DeleteFunc(values, func(name, _ string) bool { return configs.Member(own, name) != nil })
	}
	if s.separating == nil {
		s.separating = values
		return
	}
	maps.DeleteFunc(s.separating, func(name, value string) bool {
		other, ok := values[name]
		return !ok || other != value
	})
}

// scopeLabel names the values that part runs; "" when there are none.
func (b *builder) scopeLabel() string {
	if len(b.separating) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(b.separating)) {
		parts = append(parts, name, b.separating[name])
	}
	return digest(parts...)
}
