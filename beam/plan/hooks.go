package plan

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// Hook is a notification: whoever ends the run sends it. Braces in its free texts that
// are no variables of a plan are left for whoever knows how the run ended.
type Hook struct {
	ID     string
	Type   string // name of the processor
	Config any    // pointer as the processor makes it
}

// recipients are the lists of a notification of which the rest is still told when one has
// no value.
var recipients = []string{"to_emails", "cc_emails", "bcc_emails", "mention_users", "mention_channels"}

// hook plans a notification, which is no step: nothing waits for it, and a recipient
// without a value is no reason not to run.
func (s *stepBuilder) hook() {
	s.hooks = append(s.hooks, s.unknown())
	enabled := s.enabled()
	for _, key := range []string{"destination", "inputs"} {
		if n := configs.Member(s.node, key); n != nil {
			s.problem(n, s.path+"."+key, "is not used by %s, which has no rows", s.processor.Name())
		}
	}
	before, path := s.errors(), s.path+".config"
	config := configs.Member(s.node, "config")
	if config == nil {
		config = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: s.node.Line, Column: s.node.Column}
	}
	// Names and shape are checked with sample values, so that a missing value hides no mistake.
	sample := configs.NewScope(s.canonical, configs.SampleEnvironment()).Step(s.step.StepID, configs.Member(s.node, "variables"), s.path)
	resolved, problems := configs.Resolve(config, path, sample, nil)
	s.add(problems)
	typed, problems := s.validator.Config(s.canonical, resolved, s.processor)
	s.add(problems)
	if !enabled || s.errors() > before {
		return
	}
	if s.deps.Unreachable != nil {
		if why := s.deps.Unreachable(s.request.Org, s.processor.Name()); why != "" {
			s.remark(configs.SeverityNote, s.at("ps_type"), s.path+".ps_type", "nobody would be told: %s", why)
		}
	}
	if !s.sample {
		if typed = s.hookConfig(config, path); typed == nil {
			return
		}
	}
	s.plan.Hooks = append(s.plan.Hooks, Hook{ID: s.step.StepID, Type: s.processor.Name(), Config: typed})
}

// hookConfig resolves the keys of a notification one by one; nil when nobody is left who
// could be told.
func (s *stepBuilder) hookConfig(config *yaml.Node, path string) any {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: config.Line, Column: config.Column}
	for i := 0; i+1 < len(config.Content); i += 2 {
		key, value := config.Content[i], config.Content[i+1]
		if !slices.Contains(recipients, key.Value) || value.Kind != yaml.SequenceNode {
			if value = s.hookValue(key, value, path+"."+key.Value); value != nil {
				out.Content = append(out.Content, key, value)
			}
			continue
		}
		list := *value
		list.Content = nil
		for j, item := range value.Content {
			if item = s.hookValue(key, item, at(path+"."+key.Value, j)); item != nil {
				list.Content = append(list.Content, item)
			}
		}
		if key.Value == "to_emails" && len(list.Content) == 0 {
			s.remark(configs.SeverityWarning, value, path+".to_emails", "none of the recipients has a value: nobody is told")
			return nil
		}
		out.Content = append(out.Content, key, &list)
	}
	resolved, _ := configs.Resolve(out, path, s.scope, func(string) bool { return true }) // nothing is left to resolve
	typed, problems := s.validator.Config(s.canonical, resolved, s.processor)
	s.add(problems)
	return typed
}

// hookValue resolves one value. Free text without a value stays as it is written; anything
// else without one is left out.
func (s *stepBuilder) hookValue(key, value *yaml.Node, path string) *yaml.Node {
	single := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{key, value}}
	resolved, problems := configs.Resolve(single, "", s.scope, nil)
	switch {
	case len(problems) == 0:
		return resolved.Root.Content[1]
	case configs.IsFreeText(key.Value):
		return value
	case s.request.AdminEmail == "" && strings.Contains(value.Value, "admin_email"):
		return value // whoever sends it knows the address
	}
	s.remark(configs.SeverityWarning, value, path, "is left out: %s", problems[0].Message)
	return nil
}
