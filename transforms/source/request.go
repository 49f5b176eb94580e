package source

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// request describes the requests of one partition, without credential and cursor. It
// travels in the graph as JSON text.
type request struct {
	Provider string            `json:"provider,omitempty"` // owner of the origin when Target is a path
	Target   string            `json:"target"`             // URL, or path below the provider's origin
	Method   string            `json:"method"`
	Params   map[string]Values `json:"params,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Body     json.RawMessage   `json:"body,omitempty"`
}

// paging says where an answer tells how to go on. The zero value is: one request.
type paging struct {
	Cursor     bool   `json:"cursor,omitempty"`
	Param      string `json:"param,omitempty"`   // carries the cursor
	InBody     bool   `json:"in_body,omitempty"` // Param and LimitParam are members of the body
	Position   string `json:"position,omitempty"`
	More       string `json:"more,omitempty"`
	Items      string `json:"items,omitempty"` // the list that the limit counts
	Limit      int    `json:"limit,omitempty"`
	LimitParam string `json:"limit_param,omitempty"`
}

// partition is one independently paged sequence of a unit: the work of one goroutine.
type partition struct {
	Unit    string  `json:"unit"`
	Name    string  `json:"name"`
	Request request `json:"request"`
	Paging  paging  `json:"paging"`
}

// build makes the HTTP request of one page; cursor is "" for the first.
func (p partition) build(ctx context.Context, w wiring, cursor string) (*http.Request, error) {
	address, err := w.address(p.Request.Provider, p.Request.Target)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, failf(codeConfig, "the URL of partition %s cannot be parsed", p.Name)
	}
	if err := w.guard.checkURL(u); err != nil {
		return nil, err
	}
	query := u.Query()
	for _, name := range sortedKeys(p.Request.Params) {
		query[name] = slices.Clone(p.Request.Params[name])
	}
	position := p.Paging.members(cursor)
	if !p.Paging.InBody {
		for name, value := range position {
			query.Set(name, memberText(value))
		}
	}
	u.RawQuery, u.Fragment = query.Encode(), ""
	body, err := p.body(position)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, p.Request.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, failf(codeConfig, "the request of partition %s cannot be made: method %q", p.Name, p.Request.Method)
	}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Body, req.GetBody = nil, nil
	}
	for name, value := range p.Request.Headers {
		req.Header.Set(name, value)
	}
	return req, nil
}

// members are the position parameters of a page as JSON values.
func (p paging) members(cursor string) map[string]jsontext.Value {
	out := map[string]jsontext.Value{}
	if p.Limit > 0 && p.LimitParam != "" {
		out[p.LimitParam], _ = json.Marshal(p.Limit)
	}
	if cursor != "" {
		out[p.Param], _ = json.Marshal(cursor)
	}
	return out
}

func memberText(value jsontext.Value) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

func (p partition) body(position map[string]jsontext.Value) ([]byte, error) {
	if !p.Paging.InBody || len(position) == 0 {
		return p.Request.Body, nil
	}
	members := map[string]jsontext.Value{}
	if len(p.Request.Body) > 0 {
		if err := json.Unmarshal(p.Request.Body, &members); err != nil {
			return nil, failf(codeConfig, "body must be an object to carry the cursor of partition %s", p.Name)
		}
	}
	for name, value := range position {
		members[name] = value
	}
	return json.Marshal(members)
}

// label names a request in messages: method and URL without query.
func label(req *http.Request) string {
	return req.Method + " " + req.URL.Scheme + "://" + req.URL.Host + req.URL.EscapedPath()
}
