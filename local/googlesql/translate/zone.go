package translate

import (
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-googlesql"

	"github.com/cloudact/convergence/local/googlesql/analyze"
)

// timeZone is how a call converts between a TIMESTAMP and the clock of a zone.
// Text is the zone as DuckDB knows it; an offset such as +05:30, which DuckDB
// does not know, is counted in minutes instead.
type timeZone struct {
	text    string
	minutes int
}

// zone is an optional time zone argument, UTC when absent.
func (c *call) zone(i int) timeZone {
	if i >= len(c.args) {
		return timeZone{text: "'UTC'"}
	}
	lit, ok := c.nodes[i].(*googlesql.ResolvedLiteral)
	if !ok || get(get(lit.Value()).IsNull()) {
		return timeZone{text: c.args[i]}
	}
	name := get(get(lit.Value()).StringValue())
	loc, err := location(name)
	if err != nil {
		fail(&analyze.Error{Message: err.Error()})
	}
	if offsetPattern.MatchString(name) {
		_, seconds := time.Unix(0, 0).In(loc).Zone()
		return timeZone{text: "'UTC'", minutes: seconds / 60}
	}
	return timeZone{text: c.args[i]}
}

// local is the clock of the zone at a TIMESTAMP.
func (z timeZone) local(timestamp string) string {
	return z.shift("("+timestamp+" AT TIME ZONE "+z.text+")", z.minutes)
}

// instant is the TIMESTAMP at which the clock of the zone shows a DATETIME.
func (z timeZone) instant(datetime string) string {
	return "(" + z.shift(datetime, -z.minutes) + " AT TIME ZONE " + z.text + ")"
}

func (z timeZone) shift(datetime string, minutes int) string {
	if minutes == 0 {
		return datetime
	}
	return fmt.Sprintf("(%s + to_minutes(%d))", strings.TrimSpace(datetime), minutes)
}
