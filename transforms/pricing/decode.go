package pricing

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/civil"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The formats of the shipped files; the header of each names its own.
const (
	formatModels = "genai-prices/1"
	formatTiers  = "price-tiers/1"
)

// header is what both formats begin with.
type header struct {
	Format  string     `json:"format"`
	Name    string     `json:"name"`
	Source  string     `json:"source"`
	Version string     `json:"version"`
	Date    civil.Date `json:"date"`
}

func (h header) label() string { return fmt.Sprintf("%s %s of %s", h.Name, h.Version, h.Date) }

type modelsFile struct {
	header    `json:",inline"`
	Providers []providerJSON `json:"providers"`
}

type providerJSON struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	PricingURLs []string    `json:"pricing_urls"`
	Models      []modelJSON `json:"models"`
}

type modelJSON struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Description   string         `json:"description"`
	Match         clauseJSON     `json:"match"`
	Prices        jsontext.Value `json:"prices"`
	ContextWindow int64          `json:"context_window"`
	PriceComments string         `json:"price_comments"`
	Deprecated    bool           `json:"deprecated"`
}

type datedJSON struct {
	Constraint *constraintJSON           `json:"constraint"`
	Prices     map[string]jsontext.Value `json:"prices"`
}

type constraintJSON struct {
	Type      string     `json:"type"`
	StartDate civil.Date `json:"start_date"`
}

type tieredJSON struct {
	Base  jsontext.Value `json:"base"`
	Tiers []struct {
		Start int64          `json:"start"`
		Price jsontext.Value `json:"price"`
	} `json:"tiers"`
}

type tiersFile struct {
	header   `json:",inline"`
	Provider string      `json:"provider"`
	Entries  []entryJSON `json:"entries"`
}

type entryJSON struct {
	Model  string            `json:"model"`
	Tier   Tier              `json:"tier"`
	From   civil.Date        `json:"from"`
	To     *civil.Date       `json:"to"`
	Page   string            `json:"page"`
	Note   string            `json:"note"`
	Prices map[string]string `json:"prices"`
}

func strict(data []byte, v any) error {
	return json.Unmarshal(data, v, json.RejectUnknownMembers(true))
}

func decodeModels(data []byte) (modelsFile, error) {
	var f modelsFile
	if err := strict(data, &f); err != nil {
		return f, err
	}
	if len(f.Providers) == 0 || !f.Date.IsValid() || f.Name == "" {
		return f, fmt.Errorf("name, date or providers are missing")
	}
	return f, nil
}

func decodeTiers(data []byte) (tiersFile, error) {
	var f tiersFile
	if err := strict(data, &f); err != nil {
		return f, err
	}
	if f.Provider == "" || len(f.Entries) == 0 || !f.Date.IsValid() || f.Name == "" {
		return f, fmt.Errorf("name, date, provider or entries are missing")
	}
	return f, nil
}

// decodeHistory reads the prices of a model: one set, or a list of sets with the date
// on which each begins.
func decodeHistory(raw jsontext.Value, label string) ([]dated, error) {
	if raw.Kind() != '[' {
		raw = slices.Concat([]byte(`[{"prices":`), raw, []byte(`}]`))
	}
	var list []datedJSON
	if err := strict(raw, &list); err != nil {
		return nil, err
	}
	var history []dated
	for _, e := range list {
		d := dated{label: label}
		if c := e.Constraint; c != nil {
			if c.Type != "start_date" || !c.StartDate.IsValid() {
				return nil, fmt.Errorf("price constraint %q is not supported: only start_date is", c.Type)
			}
			d.from = c.StartDate
		}
		if err := d.read(e.Prices); err != nil {
			return nil, err
		}
		history = append(history, d)
	}
	return history, nil
}

func (d *dated) read(prices map[string]jsontext.Value) error {
	for key, raw := range prices {
		p, err := decodePrice(raw)
		if err != nil {
			return fmt.Errorf("price %s: %w", key, err)
		}
		if err := d.set(key, p); err != nil {
			return err
		}
	}
	return nil
}

// set stores the price of a key; keys that no leaf uses are checked and dropped.
func (d *dated) set(key string, p price) error {
	leaf, ok := leafOf(key)
	if !ok {
		if !slices.Contains(otherKeys, key) {
			return fmt.Errorf("unknown price key %q", key)
		}
		return nil
	}
	d.prices[leaf], d.has[leaf] = p, true
	return nil
}

func decodePrice(raw jsontext.Value) (price, error) {
	if raw.Kind() == '0' {
		amount, err := ParsePrice(string(raw))
		return price{base: amount}, err
	}
	var t tieredJSON
	if err := strict(raw, &t); err != nil {
		return price{}, err
	}
	base, err := ParsePrice(string(t.Base))
	if err != nil {
		return price{}, err
	}
	p := price{base: base}
	for i, tier := range t.Tiers {
		amount, err := ParsePrice(string(tier.Price))
		if err != nil {
			return price{}, err
		}
		if i > 0 && tier.Start <= t.Tiers[i-1].Start || tier.Start <= 0 {
			return price{}, fmt.Errorf("tier starts must rise, got %d", tier.Start)
		}
		p.cliffs = append(p.cliffs, cliff{start: tier.Start, amount: amount})
	}
	return p, nil
}

// formatOf reads only the header's format, so that an unknown file is named as such.
func formatOf(data []byte) (string, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return "", fmt.Errorf("not a JSON object")
	}
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return "", err
		}
		name := key.String()
		value, err := d.ReadValue()
		if err != nil {
			return "", err
		}
		if name == "format" {
			return strings.Trim(string(value), `"`), nil
		}
	}
	return "", fmt.Errorf("no key %q", "format")
}
