package expr

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cloud.google.com/go/civil"
)

// date is a civil date.
type date struct {
	opaque
	d civil.Date
}

// Equal implements ref.Val.
func (d date) Equal(other ref.Val) ref.Val {
	o, ok := other.(date)
	return types.Bool(ok && d.d == o.d)
}

// Type implements ref.Val.
func (date) Type() ref.Type { return dateType }

// Value implements ref.Val.
func (d date) Value() any { return d.d }

func compareDates(l, r ref.Val) (int, bool) {
	a, okA := l.(date)
	b, okB := r.(date)
	if !okA || !okB {
		return 0, false
	}
	return a.d.Compare(b.d), true
}

// document is JSON text. Nothing is known of it but its text: two texts that mean the
// same are not equal, so that it cannot be compared at all.
type document struct {
	opaque
	text string
}

// Equal implements ref.Val.
func (document) Equal(ref.Val) ref.Val { return types.NewErr("JSON cannot be compared") }

// Type implements ref.Val.
func (document) Type() ref.Type { return jsonType }

// Value implements ref.Val.
func (j document) Value() any { return j.text }
