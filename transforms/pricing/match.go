package pricing

import (
	"fmt"
	"regexp"
	"strings"
)

// MatchKind says how a model name was found in the table.
type MatchKind string

// The kinds, from the safest to the least safe.
const (
	Exact   MatchKind = "exact"   // the name is the model's id
	Alias   MatchKind = "alias"   // the name is listed for the model
	Pattern MatchKind = "pattern" // the name fits a prefix, a part or a regular expression
)

// clauseJSON is one clause of a model's match; exactly one of its keys is set.
type clauseJSON struct {
	Equals     *string      `json:"equals"`
	StartsWith *string      `json:"starts_with"`
	EndsWith   *string      `json:"ends_with"`
	Contains   *string      `json:"contains"`
	Regex      *string      `json:"regex"`
	Or         []clauseJSON `json:"or"`
	And        []clauseJSON `json:"and"`
}

// clause reports whether a name fits, and whether by equality alone.
type clause func(name string) (fits, equal bool)

// compile makes the clause's function; regular expressions are RE2, so that no model
// name can make one slow.
func (c clauseJSON) compile() (clause, error) {
	var made []clause
	for _, text := range []struct {
		want *string
		test func(name, want string) bool
	}{{c.StartsWith, strings.HasPrefix}, {c.EndsWith, strings.HasSuffix}, {c.Contains, strings.Contains}} {
		if text.want != nil {
			made = append(made, func(name string) (bool, bool) { return text.test(name, *text.want), false })
		}
	}
	if c.Equals != nil {
		made = append(made, func(name string) (bool, bool) { return name == *c.Equals, true })
	}
	if c.Regex != nil {
		re, err := regexp.Compile(*c.Regex)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		made = append(made, func(name string) (bool, bool) { return re.MatchString(name), false })
	}
	for _, group := range []struct {
		parts []clauseJSON
		join  func([]clause) clause
	}{{c.Or, anyOf}, {c.And, allOf}} {
		if group.parts == nil {
			continue
		}
		parts, err := compileAll(group.parts)
		if err != nil {
			return nil, err
		}
		made = append(made, group.join(parts))
	}
	if len(made) != 1 {
		return nil, fmt.Errorf("match: a clause has %d tests, want one", len(made))
	}
	return made[0], nil
}

func compileAll(list []clauseJSON) ([]clause, error) {
	out := make([]clause, len(list))
	for i, c := range list {
		var err error
		if out[i], err = c.compile(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// anyOf prefers a part that fits by equality, so that a listed name is an alias even
// where a pattern before it fits too.
func anyOf(parts []clause) clause {
	return func(name string) (bool, bool) {
		fits := false
		for _, part := range parts {
			ok, equal := part(name)
			if ok && equal {
				return true, true
			}
			fits = fits || ok
		}
		return fits, false
	}
}

func allOf(parts []clause) clause {
	return func(name string) (bool, bool) {
		equal := false
		for _, part := range parts {
			ok, eq := part(name)
			if !ok {
				return false, false
			}
			equal = equal || eq
		}
		return len(parts) > 0, equal
	}
}

// Match is a model of the table and how it was found.
type Match struct {
	Model string // id in the table
	Kind  MatchKind
	model *model
}

// Match finds the first model of the provider that accepts the name. Provider ids are
// compared without case, model names with case.
func (t *Table) Match(provider, name string) (Match, bool) {
	for _, m := range t.providers[strings.ToLower(provider)] {
		fits, equal := m.match(name)
		switch {
		case !fits:
			continue
		case name == m.id:
			return Match{m.id, Exact, m}, true
		case equal:
			return Match{m.id, Alias, m}, true
		default:
			return Match{m.id, Pattern, m}, true
		}
	}
	return Match{}, false
}
