package bigquery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// The rows of a query without a destination are those of an anonymous table,
// which clients may list. Its name holds the location and id of its job.
const anonymousPrefix = "anon"

// anonymousTable names the table of a job's result.
func anonymousTable(ref wire.JobReference) wire.TableReference {
	sum := sha256.Sum256([]byte(ref.ProjectID + "/" + ref.Location))
	return wire.TableReference{
		ProjectID: ref.ProjectID, DatasetID: "_" + hex.EncodeToString(sum[:20]),
		TableID: anonymousPrefix + hex.EncodeToString([]byte(ref.Location+"."+ref.JobID)),
	}
}

// nameResult puts the anonymous table into the configuration of a query that
// named no destination.
func nameResult(job *wire.Job) {
	query, ok := job.Configuration["query"].(map[string]any)
	if !ok || query["destinationTable"] != nil {
		return
	}
	ref := anonymousTable(job.JobReference)
	query["destinationTable"] = map[string]any{"projectId": ref.ProjectID, "datasetId": ref.DatasetID, "tableId": ref.TableID}
}

// anonymousJob is the job whose result a table is; nil for another table.
func (s *Server) anonymousJob(ctx context.Context, ref wire.TableReference) (*wire.Job, error) {
	text, ok := strings.CutPrefix(ref.TableID, anonymousPrefix)
	if !ok || !strings.HasPrefix(ref.DatasetID, "_") {
		return nil, nil
	}
	name, err := hex.DecodeString(text)
	if err != nil {
		return nil, nil //nolint:nilerror // a table of that name, but not of that kind
	}
	location, id, _ := strings.Cut(string(name), ".")
	job := wire.JobReference{ProjectID: ref.ProjectID, Location: location, JobID: id}
	if anonymousTable(job) != ref {
		return nil, nil
	}
	found, err := catalog.Job(ctx, s.db, job)
	if isNotFound(err) || err == nil && (found.Local == nil || found.Local.Table != nil || found.Local.Schema == nil) {
		return nil, wire.NotFoundTable(ref)
	}
	return found, err
}

// anonymousResource is the anonymous table as tables.get answers it.
func (s *Server) anonymousResource(r *http.Request, job *wire.Job) *wire.Table {
	ref, local := anonymousTable(job.JobReference), job.Local
	end := job.Statistics.EndTime
	t := &wire.Table{
		Kind: "bigquery#table", Etag: job.Etag, ID: ref.String(), TableReference: ref, Type: "TABLE", Location: job.JobReference.Location,
		SelfLink: selfLink(r, apiPath(ref.ProjectID)+"/datasets/"+ref.DatasetID+"/tables/"+ref.TableID), Schema: local.Schema,
		NumRows: decimalText(local.TotalRows), NumBytes: decimalText(local.TotalRows * rowBytes(local.Schema)),
		CreationTime: end, LastModifiedTime: end,
	}
	if ms, err := parseMillis(end); err == nil {
		t.ExpirationTime = decimalText(ms.Add(resultWindow).UnixMilli())
	}
	return t
}

// anonymousData is a page of the anonymous table.
func (s *Server) anonymousData(r *http.Request, job *wire.Job) (*tableDataList, error) {
	p, err := readPage(r)
	if err != nil {
		return nil, err
	}
	if selected := r.URL.Query().Get("selectedFields"); selected != "" && selected != fieldNames(job.Local.Schema) {
		return nil, wire.NotImplemented("selectedFields of the result of a query")
	}
	rows := &queryResponse{}
	if err := s.storedPage(r.Context(), job, p, rows); err != nil {
		return nil, err
	}
	return &tableDataList{Kind: "bigquery#tableDataList", TotalRows: rows.TotalRows, PageToken: rows.PageToken, Rows: rows.Rows}, nil
}

func fieldNames(schema *wire.Schema) string {
	names := make([]string, len(schema.Fields))
	for i := range schema.Fields {
		names[i] = schema.Fields[i].Name
	}
	return strings.Join(names, ",")
}
