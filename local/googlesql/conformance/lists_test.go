package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	rightFile       = "testdata/right.txt"
	differencesFile = "testdata/differences.txt"
	tableFile       = "../../../docs/conformance.md"
)

// difference is a line of differences.txt.
type difference struct{ class, reason string }

// readDifferences reads "id<TAB>wrong or missed<TAB>reason".
func readDifferences(t *testing.T) map[string]difference {
	known := map[string]difference{}
	for _, line := range readLines(t, differencesFile) {
		parts := strings.Split(line, "\t")
		if len(parts) != 3 || parts[2] == "" {
			t.Fatalf("%s: the line %q is not: id, class, reason", differencesFile, line)
		}
		known[parts[0]] = difference{parts[1], parts[2]}
	}
	return known
}

// checkRatchet fails for every case that was answered rightly and is not.
func checkRatchet(t *testing.T, outcomes []outcome) {
	byID := map[string]outcome{}
	for _, o := range outcomes {
		byID[o.id] = o
	}
	listed := map[string]bool{}
	for _, id := range readLines(t, rightFile) {
		listed[id] = true
		if o := byID[id]; o.class != right {
			t.Errorf("%s was right and is now %s: %s", id, o.class, o.detail)
		}
	}
	for _, o := range outcomes {
		if o.class == right && !listed[o.id] {
			t.Errorf("%s is right now: list it with -update", o.id)
		}
	}
}

// checkDifferences fails for every wrong answer that is not listed, and for
// every line that is true no longer.
func checkDifferences(t *testing.T, outcomes []outcome, known map[string]difference) {
	seen := map[string]bool{}
	for _, o := range outcomes {
		if o.class != wrong && o.class != missed {
			continue
		}
		seen[o.id] = true
		if known[o.id].class != string(o.class) {
			t.Errorf("%s is %s and not listed as such in %s: %s", o.id, o.class, differencesFile, o.detail)
		}
	}
	for id := range known {
		if !seen[id] {
			t.Errorf("%s is listed in %s but not wrong", id, differencesFile)
		}
	}
}

func rightText(outcomes []outcome) string {
	var b strings.Builder
	b.WriteString("# Cases that are answered rightly. Written by -update; a case may not leave the list.\n")
	for _, o := range outcomes {
		if o.class == right {
			b.WriteString(o.id + "\n")
		}
	}
	return b.String()
}

var classes = []class{right, unsupported, refused, failed, missed, wrong}

const tableHead = `# Conformance

Answers of the embedded BigQuery compared with answers that others recorded. Written by
` + "`go test ./local/googlesql/conformance -update`" + `; a table that is not what the tests find fails them.

Sources: the compliance tests of [GoogleSQL](https://github.com/google/googlesql) (half of its files; types that
exist inside Google only are renamed) and queries recorded on the real service by the authors of bqemulator.

- right: the same rows, or an error where one is expected
- unsupported: refused, naming what is not supported
- refused: the analysis of the SQL refuses it, as it does syntax that the service does not have
- failed: an error while running where rows are expected
- missed: rows where an error is expected
- wrong: other rows; each is listed below with the reason
`

// tableText is docs/conformance.md.
func tableText(outcomes []outcome, known map[string]difference) string {
	var b strings.Builder
	b.WriteString(tableHead)
	b.WriteString("\n## By source\n\n")
	writeTable(&b, "source", outcomes, func(o outcome) string { return o.source })
	for _, source := range groups(outcomes, func(o outcome) string { return o.source }) {
		b.WriteString("\n## " + source + " by area\n\n")
		mine := slices.DeleteFunc(slices.Clone(outcomes), func(o outcome) bool { return o.source != source })
		writeTable(&b, "area", mine, func(o outcome) string { return o.area })
	}
	b.WriteString("\n## Known differences\n\n")
	reasons := map[string][]string{}
	for id, d := range known {
		key := d.reason + " (" + d.class + ")"
		reasons[key] = append(reasons[key], id)
	}
	for _, reason := range sortedKeys(reasons) {
		ids := reasons[reason]
		slices.Sort(ids)
		fmt.Fprintf(&b, "- %s: %s\n", reason, strings.Join(ids, ", "))
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func groups(outcomes []outcome, key func(outcome) string) []string {
	set := map[string]bool{}
	for _, o := range outcomes {
		set[key(o)] = true
	}
	return sortedKeys(set)
}

func writeTable(b *strings.Builder, title string, outcomes []outcome, key func(outcome) string) {
	fmt.Fprintf(b, "| %s | cases |", title)
	for _, c := range classes {
		fmt.Fprintf(b, " %s |", c)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(classes)) + "\n")
	for _, g := range groups(outcomes, key) {
		counts, total := map[class]int{}, 0
		for _, o := range outcomes {
			if key(o) == g {
				counts[o.class]++
				total++
			}
		}
		fmt.Fprintf(b, "| %s | %d |", g, total)
		for _, c := range classes {
			fmt.Fprintf(b, " %d |", counts[c])
		}
		b.WriteString("\n")
	}
}
