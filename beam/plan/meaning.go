package plan

import (
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// meaning writes what the config of the step says, apart from days, times and runs: values
// in the types of the processor with its defaults, so that two spellings of one value are
// one text.
func (s *stepBuilder) meaning() ([]byte, error) {
	config, path := configs.Member(s.node, "config"), s.path+".config"
	said := s.problems
	defer func() { s.problems = said }() // whatever is wrong has been said of the first slice
	scope := s.scope.Timeless()
	resolved := s.resolve(config, path, scope)
	s.template(configs.Member(resolved.Root, "sql"), path+".sql", scope)
	s.template(configs.Member(configs.Member(resolved.Root, "source"), "query"), path+".source.query", scope)
	s.expressions(resolved.Root, path, scope)
	typed, _ := s.validator.Config(s.canonical, resolved, s.processor)
	if typed == nil {
		return configs.JSON(config)
	}
	text, err := json.Marshal(typed)
	if err != nil {
		return nil, fmt.Errorf("write the config: %w", err)
	}
	return text, nil
}

// template puts the statement that a SQL template stands for in its place.
func (s *stepBuilder) template(sql *yaml.Node, path string, scope *configs.Scope) {
	if sql == nil || sql.Kind != yaml.ScalarNode {
		return
	}
	statement, _, _ := scope.SQL(sql, path)
	text := statement.SQL
	for _, p := range statement.Params {
		text += fmt.Sprintf("\n-- %s %s %q", p.Name, p.Type, p.Value)
	}
	sql.Value = text
}
