package source

import "time"

// QuickRetries shortens the waits between attempts; limits themselves stay.
func QuickRetries() { defaultLimits.firstWait = time.Millisecond }

// RetryAfter is the reader of Retry-After headers.
var RetryAfter = retryAfter
