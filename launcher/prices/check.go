package prices

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"cloud.google.com/go/civil"
)

// fields are the columns of a row, or of a change of it, as JSON scalars. A missing or
// null one is NULL, or left as it is.
type fields map[string]json.RawMessage

func fieldsOf(v any) (fields, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	for name, value := range f {
		if string(value) == "null" {
			delete(f, name)
		}
	}
	return f, nil
}

func (f fields) text(name string) string {
	var s string
	_ = json.Unmarshal(f[name], &s) // what is no text counts as none
	return s
}

func (f fields) date(name string) civil.Date {
	d, err := civil.ParseDate(f.text(name))
	if err != nil {
		return civil.Date{}
	}
	return d
}

func (f fields) set(name string, value any) {
	raw, err := json.Marshal(value)
	if err == nil { // texts, dates and booleans always encode
		f[name] = raw
	}
}

// rules of columns. Numbers may not be negative; see percent.
var (
	longest = map[string]int{
		"model_id": 100, "model_name": 200, "notes": 1000, "subscription_id": 100, "plan_name": 50, "context_window": 50,
	}
	enums = map[string][]string{
		"pricing_type":              {"standard", "free_tier", "volume_discount", "committed_use", "promotional", "negotiated"},
		"free_tier_reset_frequency": {"daily", "monthly", "never"},
		"discount_reason":           {"volume", "commitment", "promotion", "negotiated", "trial"},
		"tier_type":                 {"free", "trial", "paid", "enterprise", "committed_use"},
		"auth_type":                 {"api_key", "service_account", "oauth"},
	}
	percent    = "discount_percentage"
	oneHundred = big.NewRat(100, 1)
	largest    = big.NewRat(1_000_000_000, 1) // of an amount in USD
	// dearest is the largest price per 1,000 tokens that costs can be computed with.
	dearest     = big.NewRat(1000, 1)
	neverShared = []string{"is_custom", "is_edited", "created_at", "updated_at"}
)

// check returns what is wrong with the values, the column first.
func (t *table) check(f fields) []Problem {
	var problems []Problem
	add := func(column, format string, args ...any) {
		problems = append(problems, Problem{Column: column, Message: fmt.Sprintf(format, args...)})
	}
	for _, c := range t.columns {
		raw, ok := f[c.Name]
		if !ok {
			continue
		}
		switch c.Type {
		case "STRING":
			t.checkText(c.Name, f.text(c.Name), add)
		case "DATE":
			if !f.date(c.Name).IsValid() {
				add(c.Name, "is not a date of the form YYYY-MM-DD")
			}
		case "NUMERIC", "INT64":
			d, err := ParseDecimal(strings.Trim(string(raw), `"`))
			switch {
			case err != nil:
				add(c.Name, "%v", err)
			case d.Rat().Sign() < 0:
				add(c.Name, "is negative")
			case c.Name == percent && d.Rat().Cmp(oneHundred) > 0:
				add(c.Name, "is more than 100")
			case c.Type == "NUMERIC" && d.Rat().Cmp(most(c.Name)) > 0:
				add(c.Name, "is more than %s", most(c.Name).FloatString(0))
			case c.Type == "INT64" && !d.Rat().IsInt():
				add(c.Name, "is not a whole number")
			}
		}
	}
	if from, to := f.date("effective_date"), f.date("end_date"); from.IsValid() && to.IsValid() && to.Before(from) {
		add("end_date", "is before effective_date")
	}
	return problems
}

// most is the largest number of a column.
func most(name string) *big.Rat {
	if strings.HasSuffix(name, "_price_per_1k") || strings.HasPrefix(name, "x_openai_batch_") {
		return dearest
	}
	return largest
}

func (t *table) checkText(name, text string, add func(string, string, ...any)) {
	if most := longest[name]; most > 0 && len([]rune(text)) > most {
		add(name, "has more than %d characters", most)
	}
	if slices.Contains(t.required, name) && strings.TrimSpace(text) == "" {
		add(name, "is empty")
	}
	if allowed := enums[name]; allowed != nil && !slices.Contains(allowed, text) {
		add(name, "must be one of %s", strings.Join(allowed, ", "))
	}
}

// missing returns the required columns that a new row lacks.
func (t *table) missing(f fields) []Problem {
	var problems []Problem
	for _, name := range t.required {
		if _, ok := f[name]; !ok {
			problems = append(problems, Problem{Column: name, Message: "is needed"})
		}
	}
	return problems
}

// Problem is what is wrong with one column of a row.
type Problem struct {
	Column  string
	Message string
}

// String returns the column and the message.
func (p Problem) String() string { return p.Column + " " + p.Message }

func join(problems []Problem) string {
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.String()
	}
	return strings.Join(texts, "; ")
}
