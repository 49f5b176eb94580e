package bigquery

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

func (s *Server) routeDatasets(mux *http.ServeMux) {
	s.handle(mux, "datasets.insert", "POST "+apiRoot+"/datasets", s.insertDataset)
	s.handle(mux, "datasets.list", "GET "+apiRoot+"/datasets", s.listDatasets)
	s.handle(mux, "datasets.get", "GET "+apiRoot+"/datasets/{dataset}", s.getDataset)
	s.handle(mux, "datasets.patch", "PATCH "+apiRoot+"/datasets/{dataset}", s.patchDataset)
	s.handle(mux, "datasets.update", "PUT "+apiRoot+"/datasets/{dataset}", s.patchDataset)
	s.handle(mux, "datasets.delete", "DELETE "+apiRoot+"/datasets/{dataset}", s.deleteDataset)
}

// maxID is the longest id of a dataset or job.
const maxID = 1024

var datasetID = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// datasetLock serialises changes of one dataset's own record.
func datasetLock(project, dataset string) lock {
	return lock{table: wire.TableReference{ProjectID: project, DatasetID: dataset}, mode: lockSchema}
}

func (s *Server) insertDataset(r *http.Request) (any, error) {
	d := &wire.Dataset{}
	if err := readJSON(r, d); err != nil {
		return nil, err
	}
	project, id := r.PathValue("project"), d.DatasetReference.DatasetID
	if len(id) > maxID || !datasetID.MatchString(id) {
		return nil, wire.Invalid("Invalid dataset ID %q. Dataset IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long.", id)
	}
	now := decimalText(s.cfg.Clock().UnixMilli())
	d.Kind, d.ID, d.Type = "bigquery#dataset", project+":"+id, "DEFAULT"
	d.DatasetReference.ProjectID = project
	d.SelfLink = selfLink(r, apiPath(project)+"/datasets/"+id)
	d.CreationTime, d.LastModifiedTime = now, now
	if d.Location == "" {
		d.Location = s.cfg.Location
	}
	d.Location = catalog.CanonicalLocation(d.Location)
	return d, s.apply(r.Context(), change{locks: []lock{datasetLock(project, id)}, run: func(ctx context.Context, conn *sql.Conn) error {
		if _, err := catalog.Dataset(ctx, conn, project, id); err == nil {
			return wire.DuplicateDataset(project, id)
		} else if !isNotFound(err) {
			return err
		}
		return catalog.PutDataset(ctx, conn, d)
	}})
}

func apiPath(project string) string { return "/bigquery/v2/projects/" + project }

func selfLink(r *http.Request, path string) string { return "http://" + r.Host + path }

func isNotFound(err error) bool {
	e := wireError(err)
	return e != nil && e.Reason == wire.ReasonNotFound
}

func (s *Server) getDataset(r *http.Request) (any, error) {
	return catalog.Dataset(r.Context(), s.db, r.PathValue("project"), r.PathValue("dataset"))
}

// patchInto writes resource into out with the fields of the request's patch
// over it; null clears a field, and a null label removes that label.
func patchInto(r *http.Request, resource, out any) error {
	patch := map[string]json.RawMessage{}
	if err := readJSON(r, &patch); err != nil {
		return err
	}
	for _, name := range frozenFields {
		delete(patch, name)
	}
	text, err := json.Marshal(resource)
	if err != nil {
		return err
	}
	whole := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &whole); err != nil {
		return err
	}
	for name, value := range patch {
		if name == "labels" && string(value) != "null" {
			if value, err = mergeLabels(whole[name], value); err != nil {
				return err
			}
		}
		if whole[name] = value; string(value) == "null" {
			delete(whole, name)
		}
	}
	if text, err = json.Marshal(whole); err != nil {
		return err
	}
	return decodeJSON(text, out)
}

func mergeLabels(old, patch json.RawMessage) (json.RawMessage, error) {
	labels := map[string]string{}
	if len(old) > 0 {
		if err := decodeJSON(old, &labels); err != nil {
			return nil, err
		}
	}
	changes := map[string]*string{}
	if err := decodeJSON(patch, &changes); err != nil {
		return nil, err
	}
	for name, value := range changes {
		if value == nil {
			delete(labels, name)
		} else {
			labels[name] = *value
		}
	}
	return json.Marshal(labels)
}

var frozenFields = []string{"kind", "etag", "id", "selfLink", "creationTime", "lastModifiedTime", "type", "location", "datasetReference", "tableReference", "numRows", "numBytes", "streamingBuffer", "localStreamed", "localDated"}

func (s *Server) patchDataset(r *http.Request) (any, error) {
	project, id := r.PathValue("project"), r.PathValue("dataset")
	out := &wire.Dataset{}
	return out, s.apply(r.Context(), change{locks: []lock{datasetLock(project, id)}, run: func(ctx context.Context, conn *sql.Conn) error {
		d, err := catalog.Dataset(ctx, conn, project, id)
		if err != nil {
			return err
		}
		if err := matchEtag(r, d.Etag); err != nil {
			return err
		}
		patched := &wire.Dataset{}
		if err := patchInto(r, d, patched); err != nil {
			return err
		}
		patched.LastModifiedTime = decimalText(s.cfg.Clock().UnixMilli())
		*out = *patched
		return catalog.PutDataset(ctx, conn, out)
	}})
}

func (s *Server) deleteDataset(r *http.Request) (any, error) {
	project, id := r.PathValue("project"), r.PathValue("dataset")
	tables, err := catalog.Tables(r.Context(), s.db, project, id)
	if err != nil {
		return nil, err
	}
	locks := []lock{datasetLock(project, id)}
	for _, t := range tables {
		locks = append(locks, lock{table: t.TableReference, mode: lockSchema})
	}
	contents := isTrue(r, "deleteContents")
	err = s.apply(r.Context(), change{locks: locks, run: func(ctx context.Context, conn *sql.Conn) error {
		if _, err := catalog.Dataset(ctx, conn, project, id); err != nil {
			return err
		}
		tables, err := catalog.Tables(ctx, conn, project, id)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if !contents && !s.expired(t) {
				return wire.DatasetInUse(project, id)
			}
			if err := catalog.DeleteTable(ctx, conn, t); err != nil {
				return err
			}
			s.inserts.forget(t.TableReference)
		}
		return catalog.DeleteDataset(ctx, conn, project, id)
	}})
	return nil, err
}

type datasetList struct {
	Kind          string        `json:"kind"`
	Datasets      []datasetItem `json:"datasets,omitempty"`
	NextPageToken string        `json:"nextPageToken,omitempty"`
}

type datasetItem struct {
	Kind             string                `json:"kind"`
	ID               string                `json:"id"`
	DatasetReference wire.DatasetReference `json:"datasetReference"`
	Labels           map[string]string     `json:"labels,omitempty"`
	Location         string                `json:"location"`
	FriendlyName     string                `json:"friendlyName,omitempty"`
	Type             string                `json:"type"`
}

func (s *Server) listDatasets(r *http.Request) (any, error) {
	p, err := readPage(r)
	if err != nil {
		return nil, err
	}
	all, err := catalog.Datasets(r.Context(), s.db, r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, d := range all {
		if matchLabels(d.Labels, r.URL.Query().Get("filter")) {
			kept = append(kept, d)
		}
	}
	items, token := pageOf(kept, p)
	out := &datasetList{Kind: "bigquery#datasetList", NextPageToken: token}
	for _, d := range items {
		out.Datasets = append(out.Datasets, datasetItem{
			Kind: d.Kind, ID: d.ID, DatasetReference: d.DatasetReference, Labels: d.Labels, Location: d.Location, FriendlyName: d.FriendlyName, Type: d.Type,
		})
	}
	return out, nil
}

// matchLabels reads the list filter "labels.name[:value] labels.other".
func matchLabels(labels map[string]string, filter string) bool {
	for _, term := range strings.Fields(filter) {
		name, value, valued := strings.Cut(strings.TrimPrefix(term, "labels."), ":")
		got, ok := labels[name]
		if !ok || valued && value != "" && got != value {
			return false
		}
	}
	return true
}
