package pricing

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/civil"
	"github.com/quagmt/udecimal"
)

// File is one price file by name; the name is for errors only.
type File struct {
	Name string
	Data []byte
}

// Table is a set of dated prices. It is immutable and safe for concurrent use.
type Table struct {
	providers map[string][]*model // by provider id, in the order of the file
}

type model struct {
	id    string
	match clause
	tiers map[Tier][]dated // ascending by the day they begin
}

// dated is a set of prices and the usage dates that pay them: from (zero: always) to
// to, exclusive (zero: until the next set).
type dated struct {
	from, to civil.Date
	label    string
	adds     bool // adds leaves to the set before it rather than replacing it
	prices   [LeafCount]price
	has      [LeafCount]bool
}

// price is per million tokens. A cliff applies to all tokens of a request whose total
// input is larger than its start.
type price struct {
	base   udecimal.Decimal
	cliffs []cliff
}

type cliff struct {
	start  int64
	amount udecimal.Decimal
}

// priceScale is the number of decimal places that a price may have: with the six of
// "per million" a cost keeps within the 19 places that udecimal holds exactly.
const priceScale = 13

var maxPrice = udecimal.MustFromInt64(1_000_000, 0)

// ParsePrice reads a price per million tokens from decimal text. Negative prices, more
// than 13 decimal places, prices above a million and exponents are errors, because
// they could not be carried exactly or are mistakes.
func ParsePrice(text string) (udecimal.Decimal, error) {
	d, err := udecimal.Parse(text)
	if err != nil {
		return udecimal.Decimal{}, fmt.Errorf("price %q: %w", text, err)
	}
	if d.IsNeg() || d.Prec() > priceScale || d.GreaterThan(maxPrice) {
		return udecimal.Decimal{}, fmt.Errorf("price %q is not between 0 and %s with at most %d decimal places", text, maxPrice, priceScale)
	}
	return d, nil
}

// Parse reads price files, those of standard prices first whatever their order. An
// unknown format, an unknown or repeated key, a price that is not an exact decimal, and
// a tier of a model that no file declares are errors; all are reported at once.
func Parse(files ...File) (*Table, error) {
	t := &Table{providers: map[string][]*model{}}
	var errs []error
	for _, want := range []string{formatModels, formatTiers} {
		for _, f := range files {
			format, err := formatOf(f.Data)
			if err == nil && format == want {
				err = t.add(format, f.Data)
			} else if err == nil && format != formatModels && format != formatTiers {
				err = fmt.Errorf("unknown format %q: use %s or %s", format, formatModels, formatTiers)
			}
			if err != nil && (want == formatModels || format == want) {
				errs = append(errs, fmt.Errorf("price file %s: %w", f.Name, err))
			}
		}
	}
	if len(files) == 0 {
		errs = append(errs, errors.New("price table: no files"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Table) add(format string, data []byte) error {
	if format == formatTiers {
		return t.addTiers(data)
	}
	return t.addModels(data)
}

func (t *Table) addModels(data []byte) error {
	f, err := decodeModels(data)
	if err != nil {
		return err
	}
	for _, p := range f.Providers {
		for _, j := range p.Models {
			m := &model{id: j.ID, tiers: map[Tier][]dated{}}
			if m.match, err = j.Match.compile(); err != nil {
				return fmt.Errorf("%s model %q: %w", p.ID, j.ID, err)
			}
			if m.tiers[Standard], err = decodeHistory(j.Prices, f.label()); err != nil {
				return fmt.Errorf("%s model %q: %w", p.ID, j.ID, err)
			}
			t.providers[p.ID] = append(t.providers[p.ID], m)
		}
	}
	return nil
}

func (t *Table) addTiers(data []byte) error {
	f, err := decodeTiers(data)
	if err != nil {
		return err
	}
	for i, e := range f.Entries {
		if err := t.addEntry(f, e); err != nil {
			return fmt.Errorf("entries[%d] (%s, %s): %w", i, e.Model, e.Tier, err)
		}
	}
	return nil
}

func (t *Table) addEntry(f tiersFile, e entryJSON) error {
	models := t.providers[strings.ToLower(f.Provider)]
	i := slices.IndexFunc(models, func(m *model) bool { return m.id == e.Model })
	if i < 0 {
		return fmt.Errorf("no model file declares this model of %s", f.Provider)
	}
	if !slices.Contains([]Tier{Standard, Batch, Flex, Priority}, e.Tier) {
		return fmt.Errorf("unknown tier %q", e.Tier)
	}
	if !e.From.IsValid() || e.Page == "" || len(e.Prices) == 0 {
		return errors.New("from, page or prices are missing")
	}
	d := dated{from: e.From, label: f.label(), adds: e.Tier == Standard}
	if e.To != nil {
		d.to = *e.To
	}
	if d.to.IsValid() && !d.from.Before(d.to) {
		return fmt.Errorf("to %s is not after from %s", d.to, d.from)
	}
	before := models[i].tiers[e.Tier]
	if n := len(before); n > 0 && !d.adds && !before[n-1].from.Before(d.from) {
		return fmt.Errorf("from %s does not follow %s: entries of a model and tier must be in order of time", d.from, before[n-1].from)
	}
	for key, text := range e.Prices {
		amount, err := ParsePrice(text)
		if err != nil {
			return err
		}
		if err := d.set(key, price{base: amount}); err != nil {
			return err
		}
	}
	models[i].tiers[e.Tier] = append(before, d)
	return nil
}
