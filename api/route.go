package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/cloudact/convergence/launcher"
)

const prefix = "/api/v1"

// unmatched is the route of requests that no route took, in metrics.
const unmatched = "unmatched"

// route is what there is to know of an endpoint beside its handler: who may call it, what
// it costs a bucket, and what the audit log calls it. Routes are declared in the files of
// their resources and nowhere else.
type route struct {
	method, path string
	id           string // operation id
	summary      string
	about        string // a paragraph, where the summary does not say it all
	tag          string
	status       int // of success; 0 = 200
	key          keyKind
	scope        string   // that an org key needs; "" = none
	run          bool     // takes from the bucket of run endpoints, too
	resource     string   // resource type of the audit log
	action       string   // action of the audit log
	also         []int    // statuses that only this route answers with
	params       []string // of the path, in order
	needsValue   []string // parameters of the query that an empty text is no value of
	deprecated   bool
}

// Path parameters and what they look like. A parameter that is not in the table cannot be
// declared.
var pathPatterns = map[string]*regexp.Regexp{
	"org":         regexp.MustCompile(`^[a-z0-9_]{3,50}$`),
	"provider":    regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`),
	"domain":      regexp.MustCompile(`^(-|[a-z0-9][a-z0-9_-]{0,63})$`),
	"pipeline":    regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`),
	"pipeline_id": regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,249}$`),
	"id":          regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`),
	"config_id":   regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`),
	"model_id":    regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}$`),
	"plan_name":   regexp.MustCompile(`^[A-Za-z0-9_]{1,50}$`),
}

// patternTexts says the same to people.
var patternTexts = map[string]string{
	"org":         "organisation slugs are 3 to 50 lower-case letters, digits and underscores",
	"provider":    "providers are lower-case letters, digits, dashes and underscores, at most 64",
	"domain":      "domains are lower-case letters, digits, dashes and underscores, at most 64; a pipeline without one has - in its place",
	"pipeline":    "pipelines are lower-case letters, digits, dashes and underscores, at most 64",
	"pipeline_id": "pipeline ids are lower-case letters, digits, dashes and underscores, at most 250",
	"id":          "run ids are letters, digits, dots, dashes and underscores, at most 64",
	"config_id":   "config ids are letters, digits, dots, dashes and underscores, at most 64",
	"model_id":    "model ids are letters, digits and . _ : @ -, at most 100, and start with a letter or digit",
	"plan_name":   "plan names are letters, digits and underscores, at most 50",
}

var pathParam = regexp.MustCompile(`\{([a-z_]+)\}`)

// add registers a route with its handler. Everything that is not the handler's own
// business (keys, scopes, limits, paths, audit) happens before it, in the guard.
func add[I, O any](s *service, r route, handle func(context.Context, *I) (*O, error)) {
	for _, m := range pathParam.FindAllStringSubmatch(r.path, -1) {
		if pathPatterns[m[1]] == nil {
			panic("api: path parameter " + m[1] + " has no pattern")
		}
		r.params = append(r.params, m[1])
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Description: r.about, Tags: []string{r.tag},
		DefaultStatus: r.status, Security: r.security(), Errors: r.errors(), Deprecated: r.deprecated, MaxBodyBytes: maxBody,
		Middlewares: huma.Middlewares{s.guard(&r)}, RejectUnknownQueryParameters: true,
	}
	if r.scope != "" {
		op.Extensions = map[string]any{"x-scope": r.scope}
	}
	huma.Register(s.huma, op, handle)
	describe(s.huma.OpenAPI(), &r)
}

func (r *route) security() []map[string][]string {
	org, root := map[string][]string{"orgKey": {}}, map[string][]string{"rootKey": {}}
	switch r.key {
	case keyOrg:
		return []map[string][]string{org}
	case keyRoot:
		return []map[string][]string{root}
	case keyEither:
		return []map[string][]string{org, root}
	default:
		return nil
	}
}

// errors are the statuses that the route may answer with beside success.
func (r *route) errors() []int {
	out := slices.Concat([]int{http.StatusBadRequest, http.StatusTooManyRequests, http.StatusInternalServerError}, r.also)
	if r.key != keyNone {
		out = append(out, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable)
	}
	if r.method != http.MethodGet {
		out = append(out, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusRequestTimeout)
	} else {
		out = append(out, http.StatusUnprocessableEntity)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// describe adds to the document what the code knows and types do not say.
func describe(doc *huma.OpenAPI, r *route) {
	item := doc.Paths[r.path]
	op := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[r.method]
	for _, p := range op.Parameters {
		if p.In == "path" && p.Schema != nil {
			p.Schema.Pattern, p.Description = pathPatterns[p.Name].String(), patternTexts[p.Name]
		}
		if p.In == "query" && p.Schema != nil && !takesEmpty(p.Schema) {
			r.needsValue = append(r.needsValue, p.Name)
		}
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			nullable(doc.Components.Schemas, media.Schema, map[*huma.Schema]bool{})
		}
	}
	integer := &huma.Schema{Type: huma.TypeInteger}
	for status, response := range op.Responses {
		if response.Headers == nil {
			response.Headers = map[string]*huma.Param{}
		}
		response.Headers[headerRequestID] = &huma.Header{Schema: &huma.Schema{Type: huma.TypeString}, Description: "names the request in the log of the service"}
		if status == "429" {
			response.Headers["Retry-After"] = &huma.Header{Schema: integer, Description: "seconds to wait"}
		}
		if status == "401" {
			response.Headers["WWW-Authenticate"] = &huma.Header{Schema: &huma.Schema{Type: huma.TypeString}, Description: "how to authenticate"}
		}
	}
}

// takesEmpty reports whether an empty text is a value of a parameter.
func takesEmpty(s *huma.Schema) bool {
	return s.Type == huma.TypeString && s.Format == "" && s.Pattern == "" && len(s.Enum) == 0 && s.MinLength == nil
}

// nullable says of a body what its validation does: null stands for an optional member
// that is absent.
func nullable(schemas huma.Registry, s *huma.Schema, seen map[*huma.Schema]bool) {
	if s != nil && s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	for name, member := range s.Properties {
		if member.Ref == "" && member.Type != "" && !slices.Contains(s.Required, name) {
			if len(member.Enum) > 0 && !slices.Contains(member.Enum, nil) {
				member.Enum = append(member.Enum, nil) // a type does not widen what is enumerated
			}
			member.Nullable = true
		}
		nullable(schemas, member, seen)
	}
	nullable(schemas, s.Items, seen)
}

// guard decides whether a request may reach its handler.
func (s *service) guard(r *route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		request, w := humachi.Unwrap(ctx)
		x := exchangeOf(request.Context())
		x.route, x.resource, x.url = r, resourceID(request, r), request.URL
		if problem := s.mayPass(x, request, r); problem != nil {
			writeProblem(w, request, problem)
			return
		}
		next(ctx)
	}
}

func (s *service) mayPass(x *exchange, request *http.Request, r *route) *Problem {
	if r.key == keyNone {
		return nil
	}
	if problem := s.authenticate(x, request, r.key); problem != nil {
		return problem
	}
	if problem := s.takeCalls(x, r); problem != nil {
		return problem
	}
	if problem := checkParams(request, r); problem != nil {
		return problem
	}
	if problem := checkValues(request, r); problem != nil {
		return problem
	}
	if x.root {
		return nil
	}
	if org := request.PathValue("org"); org != "" && org != x.principal.Org {
		return coded(codeOrgMismatch, "the API key belongs to organisation "+x.principal.Org+", not to "+org)
	}
	if r.scope != "" && !x.principal.Allows(r.scope) {
		return coded(launcher.CodeForbidden, "the API key lacks the scope "+r.scope)
	}
	return nil
}

// takeCalls takes a call from the buckets of the organisation.
func (s *service) takeCalls(x *exchange, r *route) *Problem {
	if s.limits == nil || x.root {
		return nil
	}
	a := s.limits.org.Take(x.principal.Org)
	if a.Allowed && r.run {
		a = s.limits.run.Take(x.principal.Org)
	}
	if !a.Allowed {
		return refusedBy(x, a, "organisation "+x.principal.Org)
	}
	rateHeaders(x, a)
	return nil
}

// checkParams matches the parts of the path. The providers of integrations may come in any
// case: that is how the tables spell them. Those of pipelines name folders.
func checkParams(request *http.Request, r *route) *Problem {
	for _, name := range r.params {
		value := request.PathValue(name)
		if name == "provider" && strings.HasPrefix(r.path, prefix+"/integrations/") {
			if lower := strings.ToLower(value); lower != value {
				value = lower
				request.SetPathValue(name, value)
			}
		}
		if !pathPatterns[name].MatchString(value) {
			return coded(codeInvalidPath, patternTexts[name])
		}
	}
	return nil
}

// checkValues refuses parameters of the query that are there without a value, which the
// validation takes for absent: a caller who meant a value would be answered as if there
// were none.
func checkValues(request *http.Request, r *route) *Problem {
	if len(r.needsValue) == 0 || request.URL.RawQuery == "" {
		return nil
	}
	query := request.URL.Query()
	for _, name := range r.needsValue {
		if slices.Contains(query[name], "") {
			return refuse(launcher.CodeInvalidParameter, name+" has no value", "query."+name, "give it a value or leave it out")
		}
	}
	return nil
}

// refuse is coded with one place.
func refuse(code launcher.Code, detail, loc, msg string) *Problem {
	p := coded(code, detail)
	p.Errors = []FieldError{{Loc: loc, Msg: msg}}
	return p
}
