package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an answer of the service other than 200, as its problem document tells it. An
// answer that is no such document, as a proxy gives, has only Status and Title.
type Error struct {
	Status    int          `json:"status"`
	Title     string       `json:"title"`
	Detail    string       `json:"detail"`
	Instance  string       `json:"instance"`
	Code      string       `json:"code"` // tells kinds of errors apart
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors"`
	// RetryAfter is how long the service asks to wait; 0 if it does not.
	RetryAfter time.Duration `json:"-"`

	call string // method and path
	body []byte
}

// FieldError is one thing wrong with a request or a document.
type FieldError struct {
	Loc string `json:"loc"`
	Msg string `json:"msg"`
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.call, e.Status, e.Title)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	for _, field := range e.Errors {
		text += fmt.Sprintf("; %s: %s", field.Loc, field.Msg)
	}
	return text
}

func refusal(call string, response *http.Response, body []byte) *Error {
	e := &Error{call: call, body: body}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(body, e); err != nil {
			*e = Error{call: call, body: body}
		}
	}
	e.Status = response.StatusCode
	if e.Title == "" {
		e.Title = http.StatusText(response.StatusCode)
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
