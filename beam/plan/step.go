package plan

import (
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
)

// stepBuilder makes one step.
type stepBuilder struct {
	*builder
	node      *yaml.Node // as written, in canonical spelling
	step      configs.Step
	path      string
	index     int
	processor configs.Processor
	scope     *configs.Scope // hides that of the document: it knows the step's variables
	out       *Step
	used      []string // variables of config and destination
}

// build returns nil when the step cannot be made at all.
func (s *stepBuilder) build() *Step {
	processor, problem := configs.FindProcessor(s.deps.Processors, s.step.Type)
	if problem != nil {
		if s.step.Type != "" {
			problem.File, problem.Path = s.canonical.File.Name, s.path+".ps_type"
			n := s.at("ps_type")
			problem.Line, problem.Col = n.Line, n.Column
			s.problems = append(s.problems, *problem)
		}
		return s.unknown()
	}
	s.processor = processor
	s.scope = s.builder.scope.Step(s.step.StepID, configs.Member(s.node, "variables"), s.path)
	if processor.Kind() == configs.KindHook {
		s.hook()
		return nil
	}
	s.out = &Step{
		ID: s.step.StepID, Type: processor.Name(), Kind: processor.Kind(), Index: s.index,
		DependsOn: orNil(s.step.DependsOn), Inputs: orNil(s.step.Inputs), OnFailure: s.step.OnFailure,
		Skip:    !s.enabled(),
		Timeout: timeout(s.step.TimeoutMinutes, s.step.TimeoutSeconds, defaultStepTimeout),
		Retries: s.request.DefaultRetries, Backoff: defaultBackoff, MoneyTable: processor.Output().MoneyTable,
	}
	if s.out.OnFailure == "" {
		s.out.OnFailure = "stop"
	}
	if s.step.RetryAttempts != nil {
		s.out.Retries = *s.step.RetryAttempts
	}
	if s.step.RetryBackoff != nil {
		s.out.Backoff = time.Duration(*s.step.RetryBackoff * float64(time.Second))
	}
	s.planned()
	s.unusedKeys()
	s.raw()
	s.destination()
	s.units()
	s.separate()
	s.credential()
	return s.out
}

// raw keeps the records of the step that is looked at as they were sent.
func (s *stepBuilder) raw() {
	if s.request.RawStep == "" || s.request.RawStep != s.step.StepID {
		return
	}
	configs.Drop(configs.Member(configs.Member(s.node, "config"), "transform"), "flatten")
	if s.step.Destination != nil {
		d := *s.step.Destination
		d.SchemaRef, d.SchemaFile, d.SchemaTemplate = "", "", ""
		s.step.Destination = &d
	}
}

// planned refuses a run that needs a processor which is not built, by name.
func (s *stepBuilder) planned() {
	if !s.processor.Planned() {
		return
	}
	path := s.path + ".ps_type"
	if s.sample {
		s.remark(configs.SeverityNote, s.at("ps_type"), path, "%s is not part of this version: the step was checked, but a run of it is refused", s.processor.Name())
	} else if !s.out.Skip {
		s.problem(s.at("ps_type"), path, "%s is not part of this version; available: %s", s.processor.Name(), strings.Join(s.deps.Processors.Names(), ", "))
	}
}

// incomplete is implemented by configs that may say what this version cannot do.
type incomplete interface{ NotBuilt() error }

// notBuilt refuses a run whose config says what this version cannot do.
func (s *stepBuilder) notBuilt(config *yaml.Node, path string, typed any) {
	c, ok := typed.(incomplete)
	if !ok || s.out.Skip {
		return
	}
	err := c.NotBuilt()
	if err == nil {
		return
	}
	for _, p := range s.canonical.RuleProblems(config, path, err) {
		if s.sample {
			p.Severity = configs.SeverityNote
			p.Message += "; the step was checked, but a run of it is refused"
		}
		s.problems = append(s.problems, p)
	}
}

// unknown stands in for a step that cannot be made, so that references to it are still
// checked.
func (s *stepBuilder) unknown() *Step {
	return &Step{ID: s.step.StepID, Index: s.index, DependsOn: s.step.DependsOn, Inputs: s.step.Inputs}
}

// orNil makes no names look the same however they were written.
func orNil(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return names
}

// at returns the node of a key of the step, or of the step.
func (s *stepBuilder) at(key string) *yaml.Node {
	if n := configs.Member(s.node, key); n != nil {
		return n
	}
	return s.node
}

// foreignKeys belong to other kinds of step; a step of this kind would ignore them
// silently. idleKeys never did anything, and older documents hold them.
var (
	foreignKeys = []string{"source", "trigger", "to_emails", "subject", "message"}
	idleKeys    = []string{"dq_config", "rules_config", "source_config", "target_table", "sql_file"}
)

func (s *stepBuilder) unusedKeys() {
	for _, key := range idleKeys {
		if n := configs.Member(s.node, key); n != nil {
			s.remark(configs.SeverityWarning, n, s.path+"."+key, "is not used by %s", s.processor.Name())
		}
	}
	for _, key := range foreignKeys {
		if n := configs.Member(s.node, key); n != nil {
			s.problem(n, s.path+"."+key, "is not used by %s", s.processor.Name())
		}
	}
}

// credential finds the provider whose credential the step uses.
func (s *stepBuilder) credential() {
	if name := s.processor.Provider(); name != "" {
		s.out.Provider = name
		return
	}
	config := configs.Member(s.node, "config")
	if n := configs.Member(config, "provider"); n != nil && s.processor.Kind() == configs.KindAction {
		s.namedProvider(n, s.path+".config.provider")
		return
	}
	auth := configs.Member(config, "auth")
	if auth == nil {
		return
	}
	path := s.path + ".config.auth"
	providers := s.deps.Catalog.Providers()
	if n := configs.Member(auth, "provider"); n != nil {
		s.namedProvider(n, path+".provider")
		return
	}
	if n := configs.Member(auth, "secret_key"); n != nil {
		p, ok := providers.ByContextKey(n.Value)
		if !ok {
			s.suggest(n, path+".secret_key", n.Value, "is no provider's context key", providers.ContextKeys())
			return
		}
		s.out.Provider = p.Name
		return
	}
	if p, ok := providers.Lookup(s.plan.Provider); ok {
		s.out.Provider = p.Name
	}
}

func (s *stepBuilder) namedProvider(n *yaml.Node, path string) {
	providers := s.deps.Catalog.Providers()
	p, ok := providers.Lookup(n.Value)
	if !ok {
		s.suggest(n, path, n.Value, "is no provider", providers.Names())
		return
	}
	s.out.Provider = p.Name
}

// mostListed is the longest list of names that helps in an error.
const mostListed = 12

func (s *stepBuilder) suggest(n *yaml.Node, path, got, what string, known []string) {
	if strings.Contains(got, "{") {
		return // a variable: known at run time only
	}
	if len(known) <= mostListed {
		what += "; known: " + strings.Join(known, ", ")
	}
	s.problem(n, path, "%q %s", got, what)
	s.problems[len(s.problems)-1].Suggestion = configs.Nearest(got, known)
}

// writesRows reports whether the step has a table or file of its own.
func (s *Step) writesRows() bool { return s.Destination.Table != "" || s.Destination.Path != "" }

func (s *stepBuilder) uses(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(s.used, n) })
}
