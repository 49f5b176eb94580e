package model
import ("testing";"flag";"strings")
var seedFlag = flag.Uint64("s", 0, "")
var flawFlag = flag.Uint("f", 0, "")
func TestTrace(t *testing.T) {
	w := play(*seedFlag, options{flaws: Flaw(*flawFlag), tracing: true})
	n := len(w.trace)
	t.Logf("%+v", w.plan)
	t.Log("\n"+strings.Join(w.trace[max(0,n-400):], "\n"))
}
