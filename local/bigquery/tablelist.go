package bigquery

import (
	"net/http"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

type tableList struct {
	Kind          string      `json:"kind"`
	Tables        []tableItem `json:"tables,omitempty"`
	NextPageToken string      `json:"nextPageToken,omitempty"`
	TotalItems    int         `json:"totalItems"`
}

type tableItem struct {
	Kind             string                 `json:"kind"`
	ID               string                 `json:"id"`
	TableReference   wire.TableReference    `json:"tableReference"`
	Type             string                 `json:"type"`
	FriendlyName     string                 `json:"friendlyName,omitempty"`
	Labels           map[string]string      `json:"labels,omitempty"`
	TimePartitioning *wire.TimePartitioning `json:"timePartitioning,omitempty"`
	Clustering       *wire.Clustering       `json:"clustering,omitempty"`
	CreationTime     string                 `json:"creationTime"`
	ExpirationTime   string                 `json:"expirationTime,omitempty"`
}

func (s *Server) listTables(r *http.Request) (any, error) {
	p, err := readPage(r)
	if err != nil {
		return nil, err
	}
	project, dataset := r.PathValue("project"), r.PathValue("dataset")
	if _, err := catalog.Dataset(r.Context(), s.db, project, dataset); err != nil {
		return nil, err
	}
	all, err := catalog.Tables(r.Context(), s.db, project, dataset)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, t := range all {
		if !s.expired(t) {
			kept = append(kept, t)
		}
	}
	items, token := pageOf(kept, p)
	out := &tableList{Kind: "bigquery#tableList", NextPageToken: token, TotalItems: len(kept)}
	for _, t := range items {
		out.Tables = append(out.Tables, tableItem{
			Kind: t.Kind, ID: t.ID, TableReference: t.TableReference, Type: t.Type, FriendlyName: t.FriendlyName, Labels: t.Labels,
			TimePartitioning: t.TimePartitioning, Clustering: t.Clustering, CreationTime: t.CreationTime, ExpirationTime: t.ExpirationTime,
		})
	}
	return out, nil
}

// scalarBytes is the logical size of a value by BigQuery's pricing rules; text
// counts an estimate, as its length is not looked at.
var scalarBytes = map[string]int64{
	"INTEGER": 8, "FLOAT": 8, "BOOLEAN": 1, "DATE": 8, "DATETIME": 8, "TIME": 8, "TIMESTAMP": 8,
	"NUMERIC": 16, "BIGNUMERIC": 32, "INTERVAL": 16, "STRING": 18, "BYTES": 18, "JSON": 34,
}

// rowBytes estimates the logical bytes of one row of a schema.
func rowBytes(schema *wire.Schema) int64 {
	if schema == nil {
		return 0
	}
	return fieldBytes(schema.Fields)
}

func fieldBytes(fields []wire.Field) int64 {
	var n int64
	for i := range fields {
		if fields[i].Type == "RECORD" {
			n += fieldBytes(fields[i].Fields)
			continue
		}
		n += scalarBytes[fields[i].Type]
	}
	return n
}
