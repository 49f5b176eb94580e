package bigquery

import (
	"net/http"
	"regexp"
	"strings"
)

func (s *Server) routeDiscovery(mux *http.ServeMux) {
	for _, path := range []string{"/$discovery/rest", "/discovery/v1/apis/bigquery/v2/rest"} {
		s.handle(mux, "discovery", "GET "+path, s.discovery)
	}
}

// discoveryRow describes a method: what it is called with beside its path.
type discoveryRow struct {
	resource, name, verb, path string
	request, response          string
	query                      []string
}

const (
	datasetPath = "projects/{projectId}/datasets/{datasetId}"
	tablePath   = datasetPath + "/tables/{tableId}"
)

// discoveryRows are the methods that this server has.
var discoveryRows = []discoveryRow{
	{"datasets", "delete", "DELETE", datasetPath, "", "", []string{"deleteContents:boolean"}},
	{"datasets", "get", "GET", datasetPath, "", "Dataset", []string{"accessPolicyVersion:integer", "datasetView"}},
	{"datasets", "insert", "POST", "projects/{projectId}/datasets", "Dataset", "Dataset", []string{"accessPolicyVersion:integer"}},
	{"datasets", "list", "GET", "projects/{projectId}/datasets", "", "DatasetList", []string{"all:boolean", "filter", "maxResults:integer", "pageToken"}},
	{"datasets", "patch", "PATCH", datasetPath, "Dataset", "Dataset", []string{"accessPolicyVersion:integer", "updateMode"}},
	{"datasets", "update", "PUT", datasetPath, "Dataset", "Dataset", []string{"accessPolicyVersion:integer", "updateMode"}},
	{"tables", "delete", "DELETE", tablePath, "", "", nil},
	{"tables", "get", "GET", tablePath, "", "Table", []string{"selectedFields", "view"}},
	{"tables", "insert", "POST", datasetPath + "/tables", "Table", "Table", nil},
	{"tables", "list", "GET", datasetPath + "/tables", "", "TableList", []string{"maxResults:integer", "pageToken"}},
	{"tables", "patch", "PATCH", tablePath, "Table", "Table", []string{"autodetect_schema:boolean"}},
	{"tables", "update", "PUT", tablePath, "Table", "Table", []string{"autodetect_schema:boolean"}},
	{"tabledata", "insertAll", "POST", tablePath + "/insertAll", "TableDataInsertAllRequest", "TableDataInsertAllResponse", nil},
	{"tabledata", "list", "GET", tablePath + "/data", "", "TableDataList", []string{
		"maxResults:integer", "pageToken", "selectedFields", "startIndex", "formatOptions.useInt64Timestamp:boolean",
	}},
	{"jobs", "cancel", "POST", "projects/{projectId}/jobs/{jobId}/cancel", "", "JobCancelResponse", []string{"location"}},
	{"jobs", "get", "GET", "projects/{projectId}/jobs/{jobId}", "", "Job", []string{"location"}},
	{"jobs", "getQueryResults", "GET", "projects/{projectId}/queries/{jobId}", "", "GetQueryResultsResponse", []string{
		"location", "maxResults:integer", "pageToken", "startIndex", "timeoutMs:integer", "formatOptions.useInt64Timestamp:boolean",
	}},
	{"jobs", "insert", "POST", "projects/{projectId}/jobs", "Job", "Job", nil},
	{"jobs", "list", "GET", "projects/{projectId}/jobs", "", "JobList", []string{
		"allUsers:boolean", "maxCreationTime", "maxResults:integer", "minCreationTime", "pageToken", "parentJobId", "projection", "stateFilter:repeated",
	}},
	{"jobs", "query", "POST", "projects/{projectId}/queries", "QueryRequest", "QueryResponse", nil},
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// object is a part of the discovery document.
type object map[string]any

// discovery answers with the document that clients such as bq read to learn
// the API: the methods of this server, and no description of their bodies.
func (s *Server) discovery(r *http.Request) (any, error) {
	resources, schemas := map[string]object{}, object{}
	for _, row := range discoveryRows {
		resource := resources[row.resource]
		if resource == nil {
			resource = object{"methods": object{}}
			resources[row.resource] = resource
		}
		resource["methods"].(object)[row.name] = row.document()
		for _, name := range []string{row.request, row.response} {
			if name != "" {
				schemas[name] = object{"id": name, "type": "object", "properties": object{}, "additionalProperties": object{"type": "any"}}
			}
		}
	}
	root := "http://" + r.Host + "/"
	return object{
		"kind": "discovery#restDescription", "discoveryVersion": "v1", "id": "bigquery:v2", "name": "bigquery", "version": "v2",
		"title": "BigQuery API", "canonicalName": "Bigquery", "description": "The part of the BigQuery API that the local server has.",
		"protocol": "rest", "rootUrl": root, "mtlsRootUrl": root, "servicePath": "bigquery/v2/", "basePath": "/bigquery/v2/",
		"baseUrl": root + "bigquery/v2/", "batchPath": "batch/bigquery/v2",
		"parameters": object{
			"alt": queryParameter("string"), "fields": queryParameter("string"), "prettyPrint": queryParameter("boolean"),
			"key": queryParameter("string"), "quotaUser": queryParameter("string"), "access_token": queryParameter("string"),
			"uploadType": queryParameter("string"),
		},
		"auth":      object{"oauth2": object{"scopes": object{"https://www.googleapis.com/auth/bigquery": object{"description": "Anything"}}}},
		"resources": resources, "schemas": schemas,
	}, nil
}

func queryParameter(kind string) object { return object{"type": kind, "location": "query"} }

// document is a method as the discovery document spells it.
func (row discoveryRow) document() object {
	parameters, order := object{}, []string{}
	for _, m := range pathParameter.FindAllStringSubmatch(row.path, -1) {
		parameters[m[1]] = object{"type": "string", "location": "path", "required": true, "pattern": "^[^/]+$"}
		order = append(order, m[1])
	}
	for _, q := range row.query {
		name, kind, _ := strings.Cut(q, ":")
		switch kind {
		case "":
			parameters[name] = queryParameter("string")
		case "repeated":
			parameters[name] = object{"type": "string", "location": "query", "repeated": true}
		default:
			parameters[name] = queryParameter(kind)
		}
	}
	path := pathParameter.ReplaceAllString(row.path, "{+$1}")
	out := object{
		"id": "bigquery." + row.resource + "." + row.name, "httpMethod": row.verb, "path": path, "flatPath": row.path,
		"parameters": parameters, "parameterOrder": order, "scopes": []string{"https://www.googleapis.com/auth/bigquery"},
	}
	for key, name := range map[string]string{"request": row.request, "response": row.response} {
		if name != "" {
			out[key] = object{"$ref": name}
		}
	}
	if row.resource == "jobs" && row.name == "insert" {
		out["supportsMediaUpload"] = true
		out["mediaUpload"] = object{"accept": []string{"*/*"}, "protocols": object{
			"simple":    object{"multipart": true, "path": "/upload/bigquery/v2/" + path},
			"resumable": object{"multipart": true, "path": "/resumable/upload/bigquery/v2/" + path},
		}}
	}
	return out
}
