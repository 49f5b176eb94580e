package main

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/providers/openai"
)

var day = civil.Date{Year: 2026, Month: time.August, Day: 19}

func TestTheBillIsComparedToTheLastPlace(t *testing.T) {
	bill := openai.ModelDay{Day: day, Model: "gpt-5", Requests: 4, Cost: "1.000000002", UserLeaves: 4}
	unpriced := openai.ModelDay{Day: day, Model: openai.UnpricedModel, Requests: 4, Cost: "0.5"}
	for name, c := range map[string]struct {
		record []string // day, model, requests, cost, unpriced rows
		bill   openai.ModelDay
		want   string // "" if they agree
	}{
		"equal":                       {[]string{"2026-08-19", "gpt-5", "4", "1.000000002", "0"}, bill, ""},
		"within the rounding":         {[]string{"2026-08-19", "gpt-5", "4", "1", "0"}, bill, ""},
		"beyond the rounding":         {[]string{"2026-08-19", "gpt-5", "4", "0.999999999", "0"}, bill, "differ by 0.000000003000, more than 4 leaves x 0.5e-9"},
		"other requests":              {[]string{"2026-08-19", "gpt-5", "3", "1.000000002", "0"}, bill, "3 requests, the provider counts 4"},
		"not there":                   {[]string{"2026-08-20", "gpt-5", "4", "1.000000002", "0"}, bill, "the cost table lacks it"},
		"no number":                   {[]string{"2026-08-19", "gpt-5", "4", "", "0"}, bill, `cost "" is no number`},
		"a price gone missing":        {[]string{"2026-08-19", "gpt-5", "4", "", "1"}, bill, "unpriced"},
		"a model without a price":     {[]string{"2026-08-19", openai.UnpricedModel, "4", "", "1"}, unpriced, ""},
		"a price for what has no one": {[]string{"2026-08-19", openai.UnpricedModel, "4", "0", "1"}, unpriced, `unpriced, cost "0"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := newCheck([][]string{c.record}).day(c.bill)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheLargestDifferenceIsReadable(t *testing.T) {
	bill := openai.ModelDay{Day: day, Model: "gpt-5", Requests: 1, Cost: "1.000000002", UserLeaves: 4}
	for cost, want := range map[string]string{"1.000000002": "every one exact", "1": "largest difference 2.0e-09 USD"} {
		c := newCheck([][]string{{"2026-08-19", "gpt-5", "1", cost, "0"}})
		if err := c.day(bill); err != nil || c.difference() != want {
			t.Errorf("%s against %s: %s, %v", cost, bill.Cost, c.difference(), err)
		}
	}
}

func TestASecondRunMustWriteEqualRowsAnew(t *testing.T) {
	table := func(run, cost string) tables {
		return tables{"costs": contentsOf([][]string{{"_run_id", "_row_id", "cost"}, {run, "x" + run, cost}, {run, "y" + run, "2"}})}
	}
	before := table("run1", "1")
	if err := table("run2", "1").sameRowsAs(before); err != nil {
		t.Error(err)
	}
	for name, after := range map[string]tables{
		"another cent":  table("run2", "1.01"),
		"the same rows": table("run1", "1"),
		"no rows":       {"costs": contentsOf([][]string{{"_run_id", "_row_id", "cost"}})},
	} {
		if err := after.sameRowsAs(before); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}
