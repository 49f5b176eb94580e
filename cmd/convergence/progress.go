package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// progress prints a line per step whenever its totals moved.
type progress struct {
	out io.Writer

	mu   sync.Mutex
	last map[string]runfolder.Event
}

func newProgress(out io.Writer) *progress {
	return &progress{out: out, last: map[string]runfolder.Event{}}
}

func (p *progress) event(e runfolder.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case runfolder.KindProgress:
		before := p.last[e.Step]
		p.last[e.Step] = e
		if e.StepCounts == before.StepCounts {
			return
		}
		rate := 0.0
		if seconds := e.Time.Sub(before.Time).Seconds(); !before.Time.IsZero() && seconds > 0 {
			rate = float64(e.Rows-before.Rows) / seconds
		}
		fmt.Fprintf(p.out, "  %-24s %9d rows  %7.0f rows/s  %6d pages  %4d retries\n", e.Step, e.Rows, rate, e.Pages, e.Retries)
	case runfolder.KindStep:
		if r := e.Result; r != nil {
			fmt.Fprintf(p.out, "  %-24s %s: %d rows published\n", r.Step, r.State, r.Published)
		}
	}
}

// printSteps is the closing summary of a run.
func printSteps(out io.Writer, r launcher.Run) {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"step", "state", "table", "rows", "published", "rejected", "unpriced", "pages", "retries", "seconds"})
	for _, s := range r.Steps {
		t.AppendRow(table.Row{
			s.Step, string(s.State), s.Table, s.Counts.Rows, s.Published, s.Counts.Rejected, s.Unpriced, s.Counts.Pages, s.Counts.Retries,
			fmt.Sprintf("%.1f", s.End.Sub(s.Start).Seconds()),
		})
	}
	t.Render()
	for _, s := range r.Steps {
		if s.Error != "" {
			fmt.Fprintf(out, "%s: %s: %s\n", s.Step, s.Code, s.Error)
		}
		for _, warning := range s.Warnings {
			fmt.Fprintf(out, "%s: warning: %s\n", s.Step, warning)
		}
	}
	fmt.Fprintf(out, "run %s %s in %s\n", r.ID, strings.ToLower(string(r.State)), r.End.Sub(r.Start).Round(time.Millisecond))
}
