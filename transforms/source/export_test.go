package source

import (
	"context"
	"net/netip"
	"time"

	"github.com/cloudact/convergence/transforms/row"
)

// QuickRetries shortens the waits between attempts; limits themselves stay.
func QuickRetries() { defaultLimits.firstWait = time.Millisecond }

// Bound lowers the limits on bodies and pages until the returned function is called.
func Bound(bodyBytes, pages int64) (restore func()) {
	before := defaultLimits
	defaultLimits.bodyBytes, defaultLimits.pages = bodyBytes, pages
	return func() { defaultLimits = before }
}

// RetryAfter is the reader of Retry-After headers.
var RetryAfter = retryAfter

// IsPublic says whether the strict guard lets an address be dialled.
func IsPublic(address string) bool { return isPublic(netip.MustParseAddr(address).Unmap()) }

// FromShard runs the partitions of a shard as the graph does: from their starts.
func (f *Fetch) FromShard(ctx context.Context, shard string, starts func(*row.Position) bool, emit func(row.Page)) error {
	var jobs string
	if err := (&resume{StepID: f.StepID}).ProcessElement(shard, starts, func(text string, _ int) { jobs = text }); err != nil {
		return err
	}
	return f.ProcessElement(ctx, jobs, func(*int) bool { return false }, emit)
}
