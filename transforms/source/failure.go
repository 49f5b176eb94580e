package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/transforms/row"
)

// Codes of row.Failure.
const (
	codeConfig     = "CONFIG"
	codeCredential = "CREDENTIAL"
	codeStatus     = "HTTP_STATUS"
	codeRateLimit  = "RATE_LIMITED"
	codeConnection = "CONNECTION"
	codeTimeout    = "TIMEOUT"
	codeTruncated  = "TRUNCATED_BODY"
	codePayload    = "BAD_PAYLOAD"
	codeTooLarge   = "BODY_TOO_LARGE"
	codeBlocked    = "BLOCKED_ADDRESS"
	codeRedirect   = "BLOCKED_REDIRECT"
	codeLoop       = "CURSOR_LOOP"
	codePages      = "TOO_MANY_PAGES"
	codeExtraction = "TRUNCATED_EXTRACTION"
)

// failure is an error with the code that a page will carry. Its message must be free of
// secrets; the client redacts texts that come from outside.
type failure struct {
	code    string
	message string
	retry   bool
	refused bool // the provider will not answer this request, whoever asks and whenever
	after   *backoff.RetryAfterError
}

func failf(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

func retryable(code, format string, args ...any) *failure {
	f := failf(code, format, args...)
	f.retry = true
	return f
}

// Error implements error.
func (f *failure) Error() string { return f.message }

// Unwrap shows the wait that a server asked for to the retry loop.
func (f *failure) Unwrap() error {
	if f.after == nil {
		return nil
	}
	return f.after
}

// asFailure turns any error of a fetch into what a page carries.
func asFailure(err error) *row.Failure {
	var f *failure
	if errors.As(err, &f) {
		return &row.Failure{Code: f.code, Message: f.message}
	}
	return &row.Failure{Code: codeConnection, Message: clip(err.Error(), excerptBytes)}
}

// isRefusal reports whether the provider refused the request itself.
func isRefusal(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.refused
}

const excerptBytes = 300

// clip bounds a text from outside and keeps it on one line.
func clip(text string, most int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
