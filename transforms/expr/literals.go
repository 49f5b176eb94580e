package expr

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cloud.google.com/go/civil"
)

// literals refuses constants that can never be read: numeric('x').
type literals struct {
	function string
	check    func(text string) error
}

// Name implements cel.ASTValidator.
func (l literals) Name() string { return "expr.literals." + l.function }

// Validate implements cel.ASTValidator.
func (l literals) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher(l.function)) {
		args := call.AsCall().Args()
		if len(args) != 1 || args[0].Kind() != ast.LiteralKind {
			continue
		}
		if text, ok := literalText(args[0].AsLiteral()); ok {
			if err := l.check(text); err != nil {
				issues.ReportErrorAtID(args[0].ID(), "%s", err)
			}
		}
	}
}

func literalText(v ref.Val) (string, bool) {
	s, ok := v.(types.String)
	return string(s), ok
}

func validators() cel.EnvOption {
	return cel.ASTValidators(
		cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
		literals{"numeric", func(text string) error { _, err := parseNumeric(text); return err }},
		literals{"date", func(text string) error { _, err := parseDate(text); return err }},
	)
}

func parseDate(text string) (civil.Date, error) {
	d, err := civil.ParseDate(text)
	if err != nil {
		return d, fmt.Errorf("date(%q): write it as YYYY-MM-DD", text)
	}
	return d, nil
}
