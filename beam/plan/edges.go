package plan

import (
	"fmt"
	"slices"

	"github.com/cloudact/convergence/configs"
)

// edges finds the steps whose rows each process step takes in.
func (b *builder) edges() {
	if slices.ContainsFunc(b.plan.Steps, func(s *Step) bool { return s.Kind == "" }) {
		return // what an unknown step would write cannot be told
	}
	nodes := configs.StepNodes(b.canonical)
	for _, s := range b.plan.Steps {
		if s.Kind != configs.KindProcess || len(s.Units) == 0 || b.takesRows(s) {
			continue
		}
		writers, reason := b.writersFor(s, configs.SourceTable(nodes[s.Index]))
		for _, w := range writers {
			if reason == "" {
				reason = refusal(s, w)
			}
		}
		if reason != "" {
			b.problem(nodes[s.Index], stepPath(s), "takes rows of another step, but %s", reason)
			continue
		}
		s.Inputs, s.Reads = nil, nil
		for _, w := range writers {
			s.Inputs, s.Reads = append(s.Inputs, w.ID), append(s.Reads, w.Destination.Table)
			if !slices.Contains(s.DependsOn, w.ID) {
				s.DependsOn = append(slices.Clone(s.DependsOn), w.ID)
			}
		}
	}
}

// takesRows reports whether a row step stands between a step and the writer of its rows.
func (b *builder) takesRows(s *Step) bool {
	return slices.ContainsFunc(b.plan.Steps, func(other *Step) bool {
		return other.Kind == configs.KindRows && (slices.Contains(s.Inputs, other.ID) || slices.Contains(s.DependsOn, other.ID))
	})
}

// writersFor returns the steps that a process step means, or why there are none: those
// of its inputs, else the one that writes its source table, else the one it depends on.
func (b *builder) writersFor(s *Step, sourceTable string) ([]*Step, string) {
	var named, depended []*Step
	for _, other := range b.plan.Steps {
		switch {
		case other == s || other.Destination.Table == "":
		case len(s.Inputs) > 0:
			if slices.Contains(s.Inputs, other.ID) {
				named = append(named, other)
			}
		case sourceTable != "" && other.Destination.Table == sourceTable:
			named = append(named, other)
		case slices.Contains(s.DependsOn, other.ID):
			depended = append(depended, other)
		}
	}
	switch {
	case len(named) > 0:
		return named, ""
	case sourceTable != "" && len(s.Inputs) == 0:
		return nil, fmt.Sprintf("no step of this pipeline writes %q; reading a table that another run wrote is not part of this version", sourceTable)
	case len(depended) > 0:
		return depended[len(depended)-1:], ""
	default:
		return nil, "none of the steps that it depends on writes a table"
	}
}

// refusal says why a step cannot take the rows of another as they are made, "" when it can.
func refusal(s, writer *Step) string {
	switch {
	case writer.Destination.WriteMode != modeReplace && writer.Destination.WriteMode != modeOverwrite:
		return fmt.Sprintf("step %q writes with %s; only rows of replace_partition and overwrite can be taken over", writer.ID, writer.Destination.WriteMode)
	case writer.Kind == configs.KindQuery:
		return fmt.Sprintf("step %q is computed by the warehouse and emits no rows", writer.ID)
	case writer.Skip && !s.Skip:
		return fmt.Sprintf("step %q is not enabled", writer.ID)
	case len(writer.Units) > 0 && !sameSlices(s, writer):
		return fmt.Sprintf("step %q does not run over the same slices", writer.ID)
	}
	return ""
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
