package source

import (
	"net/netip"
	"time"
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
