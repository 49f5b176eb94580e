package source

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/cloudact/convergence/transforms/registry"
)

// APIConfig is the config of generic.api_extractor.
type APIConfig struct {
	URL         string            `json:"url" jsonschema:"required,description=Address of the endpoint; https"`
	Method      string            `json:"method,omitempty" jsonschema:"enum=GET,enum=POST,description=HTTP method; default GET. A POST must only read because it is repeated after failures"`
	Params      map[string]Values `json:"params,omitempty" jsonschema:"description=Query parameters; a list repeats the parameter"`
	Headers     map[string]string `json:"headers,omitempty" jsonschema:"description=Request headers; credentials belong in auth"`
	Body        json.RawMessage   `json:"body,omitempty" jsonschema:"description=JSON body of a POST"`
	DataPath    string            `json:"data_path" jsonschema:"description=Dotted path of the records; default data; empty for a root list. Lists on the way are walked"`
	MissingData string            `json:"missing_data,omitempty" jsonschema:"enum=error,enum=empty,description=Whether an answer without data_path is an error or has no records; default error"`
	Timeout     int               `json:"timeout,omitempty" jsonschema:"minimum=1,description=Seconds that one request may take; default 60"`
	Auth        *Auth             `json:"auth,omitempty" jsonschema:"description=Credential; absent for none"`
	Pagination  Pagination        `json:"pagination,omitempty" jsonschema:"description=How to get the following pages; absent for one request"`
	RateLimit   RateLimit         `json:"rate_limit,omitempty" jsonschema:"description=Pace and retries"`
	Transform   Transform         `json:"transform,omitempty" jsonschema:"description=Form of the rows"`
}

// Pagination says how an API pages.
type Pagination struct {
	Type         string `json:"type,omitempty" jsonschema:"enum=none,enum=cursor,enum=offset,enum=page,enum=link,description=cursor follows a position in the answer; offset and page count; link follows an address; default none"`
	Param        string `json:"param,omitempty" jsonschema:"description=Parameter that carries the cursor; default cursor"`
	In           string `json:"in,omitempty" jsonschema:"enum=query,enum=body,description=Where cursor and limit are sent; default query"`
	ResponsePath string `json:"response_path,omitempty" jsonschema:"description=Dotted path of the next cursor; default meta.next_cursor. A number is an element of a list and -1 its last"`
	HasMore      string `json:"has_more,omitempty" jsonschema:"description=Dotted path of the boolean that says whether pages follow; default has_more"`
	Limit        int    `json:"limit,omitempty" jsonschema:"minimum=1,description=Records per page; default 100"`
	LimitParam   string `json:"limit_param,omitempty" jsonschema:"description=Parameter that carries the limit; default limit"`
}

// Transform says what a record becomes.
type Transform struct {
	Flatten   bool              `json:"flatten,omitempty" jsonschema:"description=Typed columns from the members of a record instead of its exact text"`
	AddFields map[string]Scalar `json:"add_fields,omitempty" jsonschema:"description=Columns with a constant value"`
}

var apiDefaults = APIConfig{
	Method: http.MethodGet, DataPath: "data", Timeout: 60, RateLimit: defaultRate,
}

const (
	pageNone   = "none"
	pageCursor = "cursor"
	pageOffset = "offset"
	pageNumber = "page"
	pageLink   = "link"
)

// NotBuilt names what the config says and this version cannot do: documents that say it
// are checked, and a run of them is refused.
func (c APIConfig) NotBuilt() error {
	var out []error
	switch c.Pagination.Type {
	case pageOffset, pageNumber, pageLink:
		out = append(out, &registry.FieldError{Path: "pagination.type", Message: c.Pagination.Type + " is not part of this version; use cursor or none"})
	}
	if c.Auth != nil && c.Auth.Type == authOAuth2 {
		out = append(out, &registry.FieldError{Path: "auth.type", Message: authOAuth2 + " is not part of this version; use bearer, header, query or basic"})
	}
	return errors.Join(out...)
}

// JSONSchemaExtend says that defaults fill every key but the address.
func (APIConfig) JSONSchemaExtend(s *jsonschema.Schema) { s.Required = []string{"url"} }

// Validate implements registry.Validator.
func (c APIConfig) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return &registry.FieldError{Path: "url", Message: "is needed"}
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return &registry.FieldError{Path: "url", Message: "must be an absolute https address"}
	case u.User != nil:
		return &registry.FieldError{Path: "url", Message: "must not carry user information: use auth"}
	case len(c.Body) > 0 && c.Method != http.MethodPost:
		return &registry.FieldError{Path: "body", Message: "needs method POST"}
	}
	for _, name := range sortedKeys(c.Headers) {
		switch strings.ToLower(name) {
		case "authorization", "proxy-authorization", "cookie":
			return &registry.FieldError{Path: "headers." + name, Message: "credentials do not belong in a document: use auth"}
		}
	}
	if _, found := c.Transform.AddFields[columnRaw]; found && !c.Transform.Flatten {
		return &registry.FieldError{Path: "transform.add_fields." + columnRaw, Message: "would replace the provider's text; choose another name"}
	}
	if err := c.Auth.validate(); err != nil {
		return err
	}
	return c.Pagination.validate()
}

func (p Pagination) validate() error {
	switch p.Type {
	case "", pageNone, pageCursor, pageOffset, pageNumber, pageLink:
		return nil
	default:
		return &registry.FieldError{Path: "pagination.type", Message: `"` + p.Type + `" is not supported: use cursor or none`}
	}
}

func (p Pagination) paging(dataPath string) paging {
	if p.Type != pageCursor {
		return paging{More: p.HasMore, Items: dataPath}
	}
	out := paging{
		Cursor: true, Param: orElse(p.Param, "cursor"), InBody: p.In == "body", Position: orElse(p.ResponsePath, "meta.next_cursor"),
		More: orElse(p.HasMore, "has_more"), Items: dataPath, Limit: p.Limit, LimitParam: orElse(p.LimitParam, "limit"),
	}
	if out.Limit <= 0 {
		out.Limit = 100
	}
	return out
}

// Columns of the raw envelope, which a step has that declares no schema.
const (
	columnOrg     = "org_slug"
	columnDay     = "usage_date"
	columnRaw     = "raw_data"
	columnFetched = "extracted_at"
)
