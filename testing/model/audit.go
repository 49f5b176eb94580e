package model

import (
	"slices"
	"strconv"
	"strings"
)

// audit watches from outside. It shares no state with the owners and judges what the
// warehouse did by the promises of the write modes alone.
type audit struct {
	w       *world
	passes  int
	reached map[string]int // by generation and partition: pages that were asked for
	landed  map[string][]landing
	stopped map[string]bool // by process and generation
	ended   map[string]bool // generations that were reported as cancelled
	newest  map[string]int  // by unit or table: when the newest published generation opened
}

// landing is a generation that was published.
type landing struct {
	g, hash int
	staged  []row
	chosen  []chunkRef
}

// publication is what a publish took from the stage, and the destination around it.
type publication struct{ staged, before, after []row }

func newAudit(w *world) *audit {
	return &audit{w: w, reached: map[string]int{}, landed: map[string][]landing{}, newest: map[string]int{}, stopped: map[string]bool{}, ended: map[string]bool{}}
}

func laneName(u unit, g int, s source) string {
	return stageName(u, g) + "/" + strconv.Itoa(s.slice*10+s.part)
}

// forget drops what was counted for a staging table that is gone.
func (a *audit) forget(stage string) {
	for name := range a.reached {
		if strings.HasPrefix(name, stage+"/") {
			delete(a.reached, name)
		}
	}
}

func (a *audit) fetched(u unit, g int, s source, index int) {
	name := laneName(u, g, s)
	a.reached[name] = max(a.reached[name], index+1)
}

// resumed checks what a resume costs: at most the pages of 4 chunks of each partition.
func (a *audit) resumed(e *extraction, l *lane) {
	again := a.reached[laneName(e.u, e.g, l.part)] - l.index
	if !a.w.plan.resumable || l.ended || again <= 0 {
		return
	}
	a.w.stats.Again += again
	if most := mostChunks * a.w.plan.chunkPages; again > most {
		a.w.breaks("%s asks for %d pages of %s again, at most %d may be", e.run.id, again, laneName(e.u, e.g, l.part), most)
	}
}

// published judges a publish at the moment it commits.
func (a *audit) published(j *job, p publication) {
	a.order(j)
	if a.ended[j.stage] {
		a.w.breaks("%s takes effect after it was reported as cancelled", j.id)
	}
	for _, part := range j.unit.parts {
		a.whole(j, part, p.staged)
	}
	if want := promised(a.w.plan.mode, j.unit, p); !sameRows(want, p.after) {
		a.w.breaks("%s under %s: the table holds %v, promised is %v", j.id, a.w.plan.mode, brief(p.after), brief(want))
	}
	a.landed[j.unit.id] = append(a.landed[j.unit.id], landing{j.g, j.unit.hash, p.staged, j.chosen})
}

// order checks that generations take effect in the order they were opened in, and under
// plain append that one does at all.
func (a *audit) order(j *job) {
	if a.w.plan.mode == Append && len(a.landed[j.unit.id]) > 0 {
		a.w.breaks("%s appends rows of unit %s that generation %d has appended", j.id, j.unit.id, a.landed[j.unit.id][0].g)
	}
	target := j.unit.id
	switch a.w.plan.mode {
	case Overwrite:
		target = "table"
	case ReplacePartition:
		target = "slice " + strconv.Itoa(j.unit.slices[0])
	}
	opened := a.w.register.names[genName(j.unit)+strconv.Itoa(j.g)].opened
	if opened < a.newest[target] {
		a.w.breaks("%s of an older generation takes effect after a newer one", j.id)
	}
	a.newest[target] = max(a.newest[target], opened)
}

// whole checks that the rows of a partition are all rows, and no others, of one edition:
// nothing lost, nothing doubled, no passes mixed, one configuration.
func (a *audit) whole(j *job, part source, staged []row) {
	var got []record
	for _, r := range staged {
		if r.slice == part.slice && r.part == part.part {
			got = append(got, r.record)
			if r.config != j.unit.hash || r.g != j.g {
				a.w.breaks("%s publishes rows of configuration %d, generation %d", j.id, r.config, r.g)
			}
		}
	}
	for edition := a.w.provider.edition[part.slice]; edition > 0; edition-- {
		if sameSet(got, a.stated(part, edition, false)) {
			return
		}
	}
	a.w.breaks("%s publishes of partition %d/%d neither more nor less than this, which the provider never said: %v", j.id, part.slice, part.part, got)
}

// stated returns the good or the bad records of an edition.
func (a *audit) stated(part source, edition int, bad bool) []record {
	var out []record
	for _, p := range a.w.provider.pages(part, edition) {
		for _, r := range p {
			if r.bad == bad {
				out = append(out, r)
			}
		}
	}
	return out
}

// completed checks that a run that says so has had each of its units stated, under its
// own configuration.
func (a *audit) completed(r *runner, units []unit) {
	for _, u := range units {
		ok := slices.ContainsFunc(a.landed[u.id], func(l landing) bool {
			return l.hash == u.hash || a.w.plan.mode == Append
		})
		if !ok {
			a.w.breaks("%s is to end COMPLETED, but unit %s never took effect under its configuration", r.run.id, u.id)
		}
	}
}

// delivered checks that a run that stated a unit itself has taken the numbers of its time.
func (a *audit) delivered(r *runner, u unit) {
	landed := a.landed[u.id]
	for _, row := range landed[len(landed)-1].staged {
		if since := r.q.started - a.w.plan.horizon; row.edition < a.w.provider.at(row.slice, since) {
			a.w.breaks("%s delivers numbers of slice %d that were restated before step %d", r.run.id, row.slice, since)
		}
	}
}

// superseded checks that a process that was stopped by a fence does not run into the same
// one again: it would do so for ever.
func (a *audit) superseded(r *runner, u unit, g int) {
	at := r.p.name + " " + stageName(u, g)
	if a.stopped[at] {
		a.w.breaks("%s runs into the fence of generation %d of unit %s again", r.run.id, g, u.id)
	}
	a.stopped[at] = true
}

// quiet checks what must hold when nothing moves any more.
func (a *audit) quiet() {
	for _, unit := range sortedKeys(a.landed) {
		for _, l := range a.landed[unit] {
			a.letters(unit, l)
		}
	}
}

// letters checks that rows and dead letters of a generation are those of one reading of
// the provider: every record is in one of the two places, and only there.
func (a *audit) letters(unit string, l landing) {
	var parts []source
	for _, c := range l.chosen {
		if !slices.Contains(parts, c.part) {
			parts = append(parts, c.part)
		}
	}
	for _, part := range parts {
		var rows, letters []record
		for _, r := range l.staged {
			if r.slice == part.slice && r.part == part.part {
				rows = append(rows, r.record)
			}
		}
		for _, r := range a.w.warehouse.letters {
			if r.unit == unit && r.g == l.g && r.slice == part.slice && r.part == part.part {
				letters = append(letters, r.record)
			}
		}
		good := false
		for edition := a.w.provider.edition[part.slice]; edition > 0 && !good; edition-- {
			good = sameSet(rows, a.stated(part, edition, false)) && sameSet(letters, a.stated(part, edition, true))
		}
		if !good {
			a.w.breaks("unit %s generation %d partition %d/%d: rows and dead letters are of different readings: %v", unit, l.g, part.slice, part.part, letters)
		}
	}
}
