package model

// kind of a staged line.
type kind int

const (
	rowLine kind = iota
	rejectLine
	bookLine
)

// line is one line of a staging table.
type line struct {
	kind  kind
	chunk uint64
	row   row
	book  chunkRef // of a bookLine
}

// stage is one life of a staging table: made again, it is another one of the same name.
type stage struct {
	name  string
	made  int
	lines []line
}

// chunkRef says where in its partition a chunk stands and what it holds.
type chunkRef struct {
	id            uint64
	part          source
	pass          int
	index, pages  int
	first, next   cursor
	last          bool
	rows, rejects int
}

// row is a row of the destination with what the audit needs to judge it.
type row struct {
	record
	unit   string
	g      int
	config int
}

// bookkeeping returns the chunks that a staging table holds.
func bookkeeping(lines []line) []chunkRef {
	var out []chunkRef
	for _, l := range lines {
		if l.kind == bookLine {
			out = append(out, l.book)
		}
	}
	return out
}

// stands reports whether a staging table holds exactly what the chosen chunks say: one
// position for each, and as many rows and rejects as it names.
func stands(lines []line, chosen []chunkRef) bool {
	want := map[uint64]chunkRef{}
	for _, c := range chosen {
		want[c.id] = c
	}
	type count struct{ books, rows, rejects int }
	have := map[uint64]count{}
	for _, l := range lines {
		n := have[l.chunk]
		switch l.kind {
		case bookLine:
			n.books++
		case rowLine:
			n.rows++
		case rejectLine:
			n.rejects++
		}
		have[l.chunk] = n
	}
	for id, c := range want {
		if have[id] != (count{1, c.rows, c.rejects}) {
			return false
		}
	}
	return true
}

// picked returns the lines of one kind that belong to the chosen chunks; nil chooses all.
func picked(lines []line, k kind, chosen []chunkRef, all bool) []row {
	ids := map[uint64]bool{}
	for _, c := range chosen {
		ids[c.id] = true
	}
	var out []row
	for _, l := range lines {
		if l.kind == k && (all || ids[l.chunk]) {
			out = append(out, l.row)
		}
	}
	return out
}
