// Package store keeps runs, steps, keys and the register in BigQuery tables of the
// central dataset, only through cloud.google.com/go/bigquery. Events are the truth;
// org_meta_pipeline_runs and org_meta_step_logs are projections of them.
//
// It implements what package launcher declares and what the API needs to know callers;
// it knows neither HTTP nor Beam. Its SQL lives in sql/, its schemas in configs.
package store

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store/gather"
	"github.com/cloudact/convergence/launcher/store/patience"
)

const schemaTries = 5

//go:embed sql/*.sql
var sqlFiles embed.FS

var statements = template.Must(template.ParseFS(sqlFiles, "sql/*.sql"))

// Config wires a store. Tables maps a table name to its document: an object with
// description, time_partitioning, clustering_fields and fields.
type Config struct {
	Client   *bigquery.Client
	Dataset  string // central dataset, "organizations"
	Location string
	Tables   map[string][]byte
	Now      func() time.Time
}

// Store implements launcher.Store and launcher.Register. It is safe for concurrent use.
type Store struct {
	cfg     Config
	dataset *bigquery.Dataset

	mu      sync.Mutex
	created map[string]time.Time // tables by name, when they were made

	appends *gather.Gatherer[[]launcher.Event, struct{}]
	active  *gather.Gatherer[activeQuestion, []eventRow]
}

// New returns a store; call Setup before anything else.
func New(cfg Config) *Store {
	s := &Store{cfg: cfg, dataset: cfg.Client.Dataset(cfg.Dataset), created: map[string]time.Time{}}
	s.appends = gather.New(mostEvents, weighEvents, s.sendAll)
	s.active = gather.New(mostActive, func(activeQuestion) int { return 1 }, s.readActive)
	return s
}

type tableDocument struct {
	Description      string          `json:"description"`
	Fields           json.RawMessage `json:"fields"`
	TimePartitioning *struct {
		Type  string `json:"type"`
		Field string `json:"field"`
	} `json:"time_partitioning"`
	ClusteringFields []string `json:"clustering_fields"`
}

// Setup creates the central dataset and its missing tables; existing tables only gain
// nullable columns.
func (s *Store) Setup(ctx context.Context) error {
	if err := CreateDataset(ctx, s.cfg.Client, s.cfg.Dataset, s.cfg.Location); err != nil {
		return err
	}
	for name, document := range s.cfg.Tables {
		if err := s.setupTable(ctx, name, document); err != nil {
			return fmt.Errorf("set up table %s.%s: %w", s.cfg.Dataset, name, err)
		}
	}
	return nil
}

// CreateDataset creates a dataset unless it exists.
func CreateDataset(ctx context.Context, client *bigquery.Client, name, location string) error {
	err := patience.Send(ctx, func() error {
		return client.Dataset(name).Create(ctx, &bigquery.DatasetMetadata{Location: location})
	})
	if err != nil && !isStatus(err, http.StatusConflict) {
		return fmt.Errorf("create dataset %s: %w", name, err)
	}
	return nil
}

func (s *Store) setupTable(ctx context.Context, name string, document []byte) error {
	var doc tableDocument
	if err := json.Unmarshal(document, &doc); err != nil {
		return err
	}
	schema, err := bigquery.SchemaFromJSON(doc.Fields)
	if err != nil {
		return err
	}
	table := s.dataset.Table(name)
	for try := 1; ; try++ {
		err = s.ensureTable(ctx, table, doc.metadata(schema))
		if !isStale(err) || try == schemaTries { // another process sets up the same table
			return err
		}
	}
}

// ensureTable creates a missing table and adds missing columns to one that exists.
func (s *Store) ensureTable(ctx context.Context, table *bigquery.Table, want *bigquery.TableMetadata) error {
	meta, err := table.Metadata(ctx)
	if isStatus(err, http.StatusNotFound) {
		err = patience.Send(ctx, func() error { return table.Create(ctx, want) })
		if err == nil || isStatus(err, http.StatusConflict) {
			meta, err = table.Metadata(ctx)
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.created[table.TableID] = meta.CreationTime
	s.mu.Unlock()
	return addColumns(ctx, table, meta, want.Schema)
}

func (d tableDocument) metadata(schema bigquery.Schema) *bigquery.TableMetadata {
	m := &bigquery.TableMetadata{Description: d.Description, Schema: schema}
	if p := d.TimePartitioning; p != nil {
		m.TimePartitioning = &bigquery.TimePartitioning{Type: bigquery.TimePartitioningType(p.Type), Field: p.Field}
	}
	if len(d.ClusteringFields) > 0 {
		m.Clustering = &bigquery.Clustering{Fields: d.ClusteringFields}
	}
	return m
}

func addColumns(ctx context.Context, table *bigquery.Table, meta *bigquery.TableMetadata, want bigquery.Schema) error {
	have := slices.Clone(meta.Schema)
	for _, field := range want {
		if slices.ContainsFunc(have, func(f *bigquery.FieldSchema) bool { return strings.EqualFold(f.Name, field.Name) }) {
			continue
		}
		added := *field
		added.Required = false
		have = append(have, &added)
	}
	if len(have) == len(meta.Schema) {
		return nil
	}
	return patience.Send(ctx, func() error {
		_, err := table.Update(ctx, bigquery.TableMetadataToUpdate{Schema: have}, meta.ETag)
		return err
	})
}

// statement renders a file of sql/ with the central dataset's name.
func (s *Store) statement(name string) (string, error) {
	var b bytes.Buffer
	if err := statements.ExecuteTemplate(&b, name, struct{ Dataset string }{s.cfg.Dataset}); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return b.String(), nil
}

// query prepares a file of sql/ with named parameters.
func (s *Store) query(name string, params ...bigquery.QueryParameter) (*bigquery.Query, error) {
	text, err := s.statement(name)
	if err != nil {
		return nil, err
	}
	q := s.cfg.Client.Query(text)
	q.Location = s.cfg.Location
	q.Parameters = params
	return q, nil
}

// execute runs a statement without rows and waits for it.
func (s *Store) execute(ctx context.Context, name string, params ...bigquery.QueryParameter) error {
	q, err := s.query(name, params...)
	if err != nil {
		return err
	}
	job, err := q.Run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	status, err := job.Wait(ctx)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// isStale reports whether a table was changed since its ETag was read; the service says
// so in two ways.
func isStale(err error) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && (api.Code == http.StatusPreconditionFailed ||
		slices.ContainsFunc(api.Errors, func(e googleapi.ErrorItem) bool {
			return e.Reason == "failedPrecondition" || e.Reason == "conditionNotMet"
		}))
}

func isStatus(err error, status int) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code == status
}

// Ping reports whether the warehouse answers a query.
func (s *Store) Ping(ctx context.Context) error {
	q, err := s.query("one.sql")
	if err != nil {
		return err
	}
	if _, err := q.Read(ctx); err != nil {
		return fmt.Errorf("query the warehouse: %w", err)
	}
	return nil
}
