package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/transforms/expr"
	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
)

// TestAVariableOfARowExpressionIsAValueWhateverItHolds plans a condition with a hostile run
// parameter and evaluates it: what the parameter holds is compared, never compiled.
func TestAVariableOfARowExpressionIsAValueWhateverItHolds(t *testing.T) {
	const document = head + `variables: {wanted: gpt-5, limit: 5}
steps:
  - {step_id: usage, ps_type: openai.usage}
  - step_id: some
    ps_type: transform.filter
    enabled: false
    config: {where: "model.orValue('') == {wanted} && {limit} > 3 && '{org_slug}' == org_slug"}
`
	for _, hostile := range []string{"gpt-5", "x' || true || '", `" || true || "`, "gpt-5' //", "{limit}", "\\"} {
		got := planText(t, document, func(r *plan.Request) { r.Params = map[string]string{"wanted": hostile} })
		step := got.Steps[1]
		bound := step.Config.(interface{ Bound() registry.Variables }).Bound()
		shaper := step.Config.(registry.RowShaper)
		columns := row.Schema{{Name: "org_slug", Type: row.TypeString, Required: true}, {Name: "model", Type: row.TypeString}}
		if _, err := shaper.Rows(columns, nil); err != nil {
			t.Fatalf("%q: %v", hostile, err)
		}
		names, err := expr.Over(slices.Concat(columns, bound.Names))
		if err != nil {
			t.Fatal(err)
		}
		text := whereOf(t, step)
		if strings.Contains(text, hostile) && hostile != "gpt-5" || strings.Contains(text, "{") {
			t.Errorf("%q became text: %s", hostile, text)
		}
		condition, err := names.Condition(text)
		if err != nil {
			t.Fatalf("%q: %s: %v", hostile, text, err)
		}
		for model, want := range map[string]bool{hostile: true, hostile + " ": false, "other": false} {
			holds, err := condition.Holds(append([]row.Cell{row.String("acme"), row.String(model)}, bound.Values...))
			if err != nil || holds != want {
				t.Errorf("%q of model %q is %v, %v, want %v", hostile, model, holds, err, want)
			}
		}
	}
}

// whereOf returns the text of a condition as the config keeps it.
func whereOf(t *testing.T, s *plan.Step) string {
	t.Helper()
	keeper, ok := s.Config.(interface{ Expression(key string) string })
	if !ok {
		t.Fatalf("the config is %T", s.Config)
	}
	return keeper.Expression("where")
}

func TestTheValueOfARowExpressionIsThatOfItsSlice(t *testing.T) {
	got := planText(t, head+`steps:
  - {step_id: usage, ps_type: openai.usage}
  - step_id: some
    ps_type: transform.derive
    enabled: false
    config: {columns: {day: "date('{date}')", "slug": "'{org_slug}'"}}
`, threeDays)
	var days []string
	for _, u := range got.Steps[1].Units {
		bound := u.Config.(interface{ Bound() registry.Variables }).Bound()
		text, _ := bound.Values[bound.Names.Index("v.date")].AsText()
		days = append(days, text)
	}
	if want := []string{"2026-01-30", "2026-01-31", "2026-02-01"}; !slices.Equal(days, want) {
		t.Errorf("values of date are %v, want %v", days, want)
	}
}
