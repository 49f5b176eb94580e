package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// Dataset returns a dataset, or the service's 404.
func Dataset(ctx context.Context, q Querier, project, dataset string) (*wire.Dataset, error) {
	d, err := oneDoc[wire.Dataset](ctx, q, `SELECT doc FROM meta.datasets WHERE project = ? AND dataset = ?`, project, dataset)
	if err == nil && d == nil {
		err = wire.NotFoundDataset(project, dataset)
	}
	return d, err
}

// Datasets lists a project's datasets by name.
func Datasets(ctx context.Context, q Querier, project string) ([]*wire.Dataset, error) {
	return listDocs[wire.Dataset](ctx, q, `SELECT doc FROM meta.datasets WHERE project = ? ORDER BY dataset`, project)
}

// PutDataset stores a dataset under a fresh etag, replacing an earlier state.
func PutDataset(ctx context.Context, q Querier, d *wire.Dataset) error {
	d.Etag = ""
	tag, err := etag(d)
	if err != nil {
		return err
	}
	d.Etag = tag
	doc, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding dataset %s: %w", d.ID, err)
	}
	return exec(ctx, q, `INSERT OR REPLACE INTO meta.datasets VALUES (?, ?, ?)`, d.DatasetReference.ProjectID, d.DatasetReference.DatasetID, string(doc))
}

// DeleteDataset forgets a dataset; its tables are deleted before.
func DeleteDataset(ctx context.Context, q Querier, project, dataset string) error {
	return exec(ctx, q, `DELETE FROM meta.datasets WHERE project = ? AND dataset = ?`, project, dataset)
}

// Table returns a table, or the service's 404. An expired table is still
// here: the caller knows the time.
func Table(ctx context.Context, q Querier, ref wire.TableReference) (*wire.Table, error) {
	t, err := oneDoc[wire.Table](ctx, q, `SELECT doc FROM meta.tables WHERE project = ? AND dataset = ? AND table_id = ?`, ref.ProjectID, ref.DatasetID, ref.TableID)
	if err == nil && t == nil {
		err = wire.NotFoundTable(ref)
	}
	return t, err
}

// Tables lists a dataset's tables by name.
func Tables(ctx context.Context, q Querier, project, dataset string) ([]*wire.Table, error) {
	return listDocs[wire.Table](ctx, q, `SELECT doc FROM meta.tables WHERE project = ? AND dataset = ? ORDER BY table_id`, project, dataset)
}

// TablesWith lists the tables of all datasets whose record has a word of
// these in it; the caller looks closer.
func TablesWith(ctx context.Context, q Querier, words ...string) ([]*wire.Table, error) {
	return listDocs[wire.Table](ctx, q, `SELECT doc FROM meta.tables WHERE len(list_filter($1, lambda w: contains(doc, w))) > 0`, words)
}

// PutTable stores a table under a fresh etag, replacing an earlier state.
func PutTable(ctx context.Context, q Querier, t *wire.Table) error {
	t.Etag, t.NumRows, t.NumBytes, t.StreamingBuffer = "", "", "", nil
	tag, err := etag(t)
	if err != nil {
		return err
	}
	t.Etag = tag
	doc, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encoding table %s: %w", t.ID, err)
	}
	ref := t.TableReference
	return exec(ctx, q, `INSERT OR REPLACE INTO meta.tables VALUES (?, ?, ?, ?)`, ref.ProjectID, ref.DatasetID, ref.TableID, string(doc))
}

// DeleteTable forgets a table and drops its rows.
func DeleteTable(ctx context.Context, q Querier, t *wire.Table) error {
	ref := t.TableReference
	if err := exec(ctx, q, `DELETE FROM meta.tables WHERE project = ? AND dataset = ? AND table_id = ?`, ref.ProjectID, ref.DatasetID, ref.TableID); err != nil {
		return err
	}
	return DropRelation(ctx, q, t)
}

// DropRelation drops the rows of a table and the insert ids of its stream.
func DropRelation(ctx context.Context, q Querier, t *wire.Table) error {
	if t.View != nil {
		return nil
	}
	if err := exec(ctx, q, `DELETE FROM meta.insert_ids WHERE relation = ?`, PhysicalName(t.TableReference)); err != nil {
		return err
	}
	return exec(ctx, q, `DROP TABLE IF EXISTS `+Relation(t.TableReference))
}
