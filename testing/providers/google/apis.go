package google

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/testing/providers/trace"
)

const (
	scopePrefix   = "https://www.googleapis.com/auth/"
	scopePlatform = scopePrefix + "cloud-platform"
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/token", s.giveToken)
	mux.HandleFunc("GET /v1/billingAccounts", s.open(s.billingAccounts, "cloud-billing", "cloud-billing.readonly"))
	mux.HandleFunc("GET /v1/services", s.open(s.services, "cloud-billing", "cloud-billing.readonly"))
	mux.HandleFunc("GET /compute/v1/projects/{project}/aggregated/instances", s.open(s.instances, "compute", "compute.readonly"))
	mux.HandleFunc("GET /bigquery/v2/projects/{project}/datasets", s.open(s.datasets, "bigquery", "bigquery.readonly"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeStatus(w, http.StatusNotFound, "NOT_FOUND", "The requested URL "+r.URL.Path+" was not found on this server.")
	})
	return mux
}

// open serves an API to the bearer of a token with one of its scopes.
func (s *Server) open(serve func(http.ResponseWriter, *http.Request, *holder), scopes ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		s.mu.Lock()
		g, ok := s.tokens[token]
		s.mu.Unlock()
		if !ok || !strings.EqualFold(scheme, "Bearer") || !s.config.Clock().Before(g.expires) {
			writeStatus(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
			return
		}
		allowed := slices.Contains(g.scopes, scopePlatform)
		for _, scope := range scopes {
			allowed = allowed || slices.Contains(g.scopes, scopePrefix+scope)
		}
		if !allowed {
			writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
			return
		}
		if project := r.PathValue("project"); project != "" && project != g.account.Project {
			writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED", "Permission denied on resource project "+project+".")
			return
		}
		serve(w, r, g.account)
	}
}

type billingAccount struct {
	Name                 string `json:"name"`
	Open                 bool   `json:"open"`
	DisplayName          string `json:"displayName"`
	MasterBillingAccount string `json:"masterBillingAccount"`
	CurrencyCode         string `json:"currencyCode"`
}

func (s *Server) billingAccounts(w http.ResponseWriter, r *http.Request, h *holder) {
	all := make([]billingAccount, len(h.Billing))
	for i, name := range h.Billing {
		id := strings.ToUpper(trace.ID(h.Project, name, 18))
		all[i] = billingAccount{Name: fmt.Sprintf("billingAccounts/%s-%s-%s", id[:6], id[6:12], id[12:]), Open: true, DisplayName: name, CurrencyCode: "USD"}
	}
	list(w, r, "billingAccounts", all, pages{size: "pageSize", standard: 100, most: 100})
}

type service struct {
	Name               string `json:"name"`
	ServiceID          string `json:"serviceId"`
	DisplayName        string `json:"displayName"`
	BusinessEntityName string `json:"businessEntityName"`
}

func (s *Server) services(w http.ResponseWriter, r *http.Request, _ *holder) {
	var all []service
	for _, known := range [][2]string{{"6F81-5844-456A", "Compute Engine"}, {"24E6-581D-38E5", "BigQuery"}, {"95FF-2EF5-5EA1", "Cloud Storage"}} {
		all = append(all, service{"services/" + known[0], known[0], known[1], "businessEntities/GCP"})
	}
	list(w, r, "services", all, pages{size: "pageSize", standard: 5000, most: 5000})
}

type dataset struct {
	Kind      string            `json:"kind"`
	ID        string            `json:"id"`
	Reference map[string]string `json:"datasetReference"`
	Location  string            `json:"location"`
}

func (s *Server) datasets(w http.ResponseWriter, r *http.Request, h *holder) {
	if h.NoBigQuery {
		writeStatus(w, http.StatusForbidden, "PERMISSION_DENIED", "Access Denied: Project "+h.Project+": User does not have bigquery.datasets.get permission in project "+h.Project+".")
		return
	}
	var all []dataset
	for _, name := range []string{"billing_export", "pricing_export"} {
		all = append(all, dataset{"bigquery#dataset", h.Project + ":" + name, map[string]string{"projectId": h.Project, "datasetId": name}, "US"})
	}
	list(w, r, "datasets", all, pages{size: "maxResults", standard: 50, most: 1000})
}

type instance struct {
	ID                string `json:"id"`
	Name              string `json:"name"`
	MachineType       string `json:"machineType"`
	Status            string `json:"status"`
	Zone              string `json:"zone"`
	CreationTimestamp string `json:"creationTimestamp"`
}

var zones = []string{"us-central1-a", "us-central1-b", "europe-west4-a"}

// instances answers an aggregated list: a map by zone. A page ends within a zone, and a
// zone without machines has a warning in their place.
func (s *Server) instances(w http.ResponseWriter, r *http.Request, h *holder) {
	var all []instance
	for i := range s.config.Instances {
		name := fmt.Sprintf("worker-%02d", i)
		zone := zones[i%2] // the third has none
		all = append(all, instance{
			ID: strconv.Itoa(1_000_000_000_000_000_007 + i), Name: name, Status: "RUNNING", CreationTimestamp: "2026-08-01T00:00:00.000-07:00",
			Zone:        "https://www.googleapis.com/compute/v1/projects/" + h.Project + "/zones/" + zone,
			MachineType: "https://www.googleapis.com/compute/v1/projects/" + h.Project + "/zones/" + zone + "/machineTypes/e2-standard-4",
		})
	}
	from, to, next, ok := pages{size: "maxResults", standard: 500, most: 500}.of(w, r, len(all))
	if !ok {
		return
	}
	items := map[string]any{}
	for _, zone := range zones {
		var here []instance
		for _, i := range all[from:to] {
			if strings.HasSuffix(i.Zone, "/"+zone) {
				here = append(here, i)
			}
		}
		if here == nil {
			items["zones/"+zone] = map[string]any{"warning": map[string]string{"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope 'zones/" + zone + "' on this page."}}
			continue
		}
		items["zones/"+zone] = map[string]any{"instances": here}
	}
	body := map[string]any{"kind": "compute#instanceAggregatedList", "items": items}
	if next != "" {
		body["nextPageToken"] = next
	}
	writeJSON(w, http.StatusOK, body)
}

// pages is how a list is cut.
type pages struct {
	size           string // name of the parameter
	standard, most int
}

const tokenMark = "from:"

// of returns the part of n items that a request asks for, and has answered when it is
// wrong.
func (p pages) of(w http.ResponseWriter, r *http.Request, n int) (from, to int, next string, ok bool) {
	size := p.standard
	if text := r.URL.Query().Get(p.size); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil || size < 0 {
			writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid value at '"+p.size+"'.")
			return 0, 0, "", false
		}
		if size == 0 {
			size = p.standard
		}
		size = min(size, p.most)
	}
	if token := r.URL.Query().Get("pageToken"); token != "" {
		raw, err := base64.URLEncoding.DecodeString(token)
		text, marked := strings.CutPrefix(string(raw), tokenMark)
		at, numErr := strconv.Atoi(text)
		from = at
		if err != nil || numErr != nil || !marked || from < 0 || from > n {
			writeStatus(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid page token.")
			return 0, 0, "", false
		}
	}
	to = min(from+size, n)
	if to < n {
		next = base64.URLEncoding.EncodeToString([]byte(tokenMark + strconv.Itoa(to)))
	}
	return from, to, next, true
}

func list[T any](w http.ResponseWriter, r *http.Request, name string, all []T, p pages) {
	from, to, next, ok := p.of(w, r, len(all))
	if !ok {
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{name: append([]T{}, all[from:to]...), "nextPageToken": next})
}

// writeStatus answers in the error shape of Google's JSON APIs.
func writeStatus(w http.ResponseWriter, code int, status, message string) {
	writeJSON(w, code, map[string]any{"error": map[string]any{"code": code, "message": message, "status": status}})
}

func writeFault(w http.ResponseWriter, code int) {
	status := "INTERNAL"
	switch code {
	case http.StatusTooManyRequests:
		status = "RESOURCE_EXHAUSTED"
	case http.StatusServiceUnavailable:
		status = "UNAVAILABLE"
	case http.StatusUnauthorized:
		status = "UNAUTHENTICATED"
	case http.StatusForbidden:
		status = "PERMISSION_DENIED"
	}
	writeStatus(w, code, status, "The simulated cloud was told to answer so.")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":500,"message":"The simulator could not encode its answer.","status":"INTERNAL"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}
