package plan

import (
	"fmt"
	"slices"

	"github.com/cloudact/convergence/configs"
)

// edges finds the step whose rows each process step takes in.
func (b *builder) edges() {
	nodes := configs.StepNodes(b.canonical)
	for _, s := range b.plan.Steps {
		if s.Kind != configs.KindProcess || len(s.Inputs) > 0 || len(s.Units) == 0 {
			continue
		}
		writer, reason := b.writerFor(s, configs.SourceTable(nodes[s.Index]))
		if writer == nil {
			b.problem(nodes[s.Index], stepPath(s), "takes rows of another step, but %s", reason)
			continue
		}
		s.Inputs = []string{writer.ID}
		if !slices.Contains(s.DependsOn, writer.ID) {
			s.DependsOn = append(slices.Clone(s.DependsOn), writer.ID)
		}
		s.Reads = []string{writer.Destination.Table}
	}
}

// writerFor returns the step whose rows a process step may take as they are made, or why
// there is none.
func (b *builder) writerFor(s *Step, sourceTable string) (*Step, string) {
	var writer *Step
	for _, other := range b.plan.Steps {
		depended := slices.Contains(s.DependsOn, other.ID)
		switch {
		case other == s || other.Destination.Table == "":
		case sourceTable != "" && other.Destination.Table == sourceTable:
			writer = other
		case sourceTable == "" && depended:
			writer = other
		}
	}
	switch {
	case writer == nil && sourceTable != "":
		return nil, fmt.Sprintf("no step of this pipeline writes %q; reading a table that another run wrote is not part of this version", sourceTable)
	case writer == nil:
		return nil, "none of the steps that it depends on writes a table"
	case !slices.Contains(builtModes, writer.Destination.WriteMode):
		return nil, fmt.Sprintf("step %q writes with %s; only rows of replace_partition and overwrite can be taken over", writer.ID, writer.Destination.WriteMode)
	case !sameSlices(s, writer):
		return nil, fmt.Sprintf("step %q does not run over the same slices", writer.ID)
	case writer.Kind == configs.KindQuery:
		return nil, fmt.Sprintf("step %q is computed by the warehouse and emits no rows", writer.ID)
	case writer.Skip && !s.Skip:
		return nil, fmt.Sprintf("step %q is not enabled", writer.ID)
	}
	return writer, ""
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
