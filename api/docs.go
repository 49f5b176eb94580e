package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

const docsPath = "/docs"

//go:embed docs.html
var docsText string

//go:embed docs.css
var docsStyle string

// docPage is the document as the page shows it.
type docPage struct {
	Title, Version, About string
	Style                 template.CSS
	Groups                []docGroup
}

type docGroup struct {
	Name       string
	Operations []docOperation
}

type docOperation struct {
	Method, Path, ID, Summary, About, Keys, Scope string
	Deprecated                                    bool
	Params                                        []docParam
	Body                                          []docParam
	Responses                                     []docResponse
}

type docParam struct {
	Name, In, Type, About string
	Required              bool
}

type docResponse struct{ Status, About, Type string }

// docs serves the OpenAPI document as a page. It is made once, of this service's own
// routes, and needs no script and no other host.
func (s *service) docs(router chi.Router) {
	if s.cfg.NoDocs {
		return
	}
	var page bytes.Buffer
	if err := template.Must(template.New("docs").Parse(docsText)).Execute(&page, s.docPage()); err != nil {
		panic("api: docs page: " + err.Error()) // the template and the document are ours
	}
	sum := sha256.Sum256([]byte(docsStyle))
	policy := "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	router.Get(docsPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(page.Bytes())
	})
}

func (s *service) docPage() docPage {
	doc := s.huma.OpenAPI()
	page := docPage{Title: doc.Info.Title, Version: doc.Info.Version, About: doc.Info.Description, Style: template.CSS(docsStyle)} //nolint:gosec // an embedded file
	groups := map[string]int{}
	var paths []string
	for path := range doc.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			i, ok := groups[op.Tags[0]]
			if !ok {
				i = len(page.Groups)
				groups[op.Tags[0]] = i
				page.Groups = append(page.Groups, docGroup{Name: op.Tags[0]})
			}
			page.Groups[i].Operations = append(page.Groups[i].Operations, docOperationOf(doc, op))
		}
	}
	return page
}

func docOperationOf(doc *huma.OpenAPI, op *huma.Operation) docOperation {
	out := docOperation{
		Method: op.Method, Path: op.Path, ID: op.OperationID, Summary: op.Summary, About: op.Description, Deprecated: op.Deprecated,
	}
	var keys []string
	for _, security := range op.Security {
		for name := range security {
			keys = append(keys, doc.Components.SecuritySchemes[name].Name)
		}
	}
	out.Keys = strings.Join(keys, " or ")
	out.Scope, _ = op.Extensions["x-scope"].(string)
	for _, p := range op.Parameters {
		out.Params = append(out.Params, docParam{Name: p.Name, In: p.In, Type: typeOf(p.Schema), About: p.Description + p.Schema.Description, Required: p.Required})
	}
	if op.RequestBody != nil {
		if media := op.RequestBody.Content["application/json"]; media != nil {
			out.Body = docFields(doc, media.Schema)
		}
	}
	var statuses []string
	for status := range op.Responses {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		r := op.Responses[status]
		response := docResponse{Status: status, About: r.Description}
		for kind, media := range r.Content {
			if response.Type = kind; media.Schema != nil {
				response.Type += " " + typeOf(media.Schema)
			}
		}
		out.Responses = append(out.Responses, response)
	}
	return out
}

// docFields are the members of a body.
func docFields(doc *huma.OpenAPI, schema *huma.Schema) []docParam {
	if schema == nil {
		return nil
	}
	if schema.Ref != "" {
		schema = doc.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	var names []string
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []docParam
	for _, name := range names {
		p := schema.Properties[name]
		out = append(out, docParam{Name: name, Type: typeOf(p), About: p.Description, Required: slices.Contains(schema.Required, name)})
	}
	return out
}

func typeOf(schema *huma.Schema) string {
	switch {
	case schema == nil:
		return ""
	case schema.Ref != "":
		return schema.Ref[strings.LastIndexByte(schema.Ref, '/')+1:]
	case schema.Type == huma.TypeArray:
		return "array of " + typeOf(schema.Items)
	case schema.Format != "":
		return schema.Type + " (" + schema.Format + ")"
	default:
		return schema.Type
	}
}
