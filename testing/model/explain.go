package model

import (
	"fmt"
	"strings"
)

// Explain plays a seed that breaks a promise again with as little happening as still
// breaks one, and returns what went wrong, the trace, and the command that plays the
// seed. It returns "" if nothing breaks.
func Explain(seed uint64, flaws Flaw) string {
	o := options{flaws: flaws}
	w := play(seed, o)
	if w.broken == nil {
		return ""
	}
	first := w.broken
	o = shrink(seed, o, w.promise)
	o.tracing = true
	w = play(seed, o)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, flaws %s: %v\n", seed, w.plan.mode, flaws, first)
	fmt.Fprintf(&b, "play it again: go test ./testing/model -run '^TestSeed$' -v -model.seed %d -model.flaws %#x\n", seed, uint32(flaws))
	fmt.Fprintf(&b, "least that breaks it (%s):\n", w.plan)
	for _, line := range w.trace {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// shrink takes back requests and misfortunes one by one as long as the same
// promise still breaks.
func shrink(seed uint64, o options, promise string) options {
	try := func(changed options) {
		if play(seed, changed).promise == promise {
			o = changed
		}
	}
	calm := o
	calm.patient = true
	try(calm)
	for range 2 {
		for q := 1; q < 10; q++ {
			less := o
			less.without |= 1 << q
			try(less)
		}
		for f := range faults {
			for n := 12; n > 0; n /= 2 {
				less := o
				less.cuts[f] += n
				try(less)
			}
		}
	}
	return o
}

// String describes the scenario in a line.
func (s scenario) String() string {
	source := "a source that cannot resume"
	if s.resumable {
		source = "a source that resumes"
	}
	if s.refuses {
		source += ", refusing old cursors"
	}
	return fmt.Sprintf("%d slices of %d partitions, chunks of %d pages, %s", s.slices, s.parts, s.chunkPages, source)
}
