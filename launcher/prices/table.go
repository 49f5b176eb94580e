package prices

import (
	"bytes"
	"context"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

var statements = template.Must(template.ParseFS(sqlFiles, "sql/*.sql"))

// conflictPatience bounds how long a statement is sent again after it lost to another one.
const conflictPatience = 30 * time.Second

type column struct{ Name, Quoted, Type string }

// table is one kind of table of one provider.
type table struct {
	name     string
	key      string // what people address a row by
	unique   string // what a new row may not share with another
	document document
	schema   bigquery.Schema
	columns  []column
	required []string
	seed     []fields
}

type document struct {
	Description      string          `json:"description"`
	ClusteringFields []string        `json:"clustering_fields"`
	Fields           json.RawMessage `json:"fields"`
}

// newTable reads the schema document and the seed.
func newTable(name, key, unique string, schema, seed []byte) (*table, error) {
	t := &table{name: name, key: key, unique: unique}
	if err := json.Unmarshal(schema, &t.document); err != nil {
		return nil, fmt.Errorf("read schema of %s: %w", name, err)
	}
	var err error
	if t.schema, err = bigquery.SchemaFromJSON(t.document.Fields); err != nil {
		return nil, fmt.Errorf("read schema of %s: %w", name, err)
	}
	for _, f := range t.schema {
		kind := string(f.Type)
		switch f.Type {
		case bigquery.IntegerFieldType:
			kind = "INT64"
		case bigquery.BooleanFieldType:
			kind = "BOOL"
		}
		t.columns = append(t.columns, column{f.Name, "`" + f.Name + "`", kind})
		if f.Required {
			t.required = append(t.required, f.Name)
		}
	}
	if t.seed, err = t.readSeed(seed); err != nil {
		return nil, fmt.Errorf("read seed of %s: %w", name, err)
	}
	return t, nil
}

// readSeed reads CSV rows; cells have the types of the schema, and an empty one is NULL.
func (t *table) readSeed(text []byte) ([]fields, error) {
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(records) == 0 {
		return nil, errors.Join(err, errors.New("there is no header"))
	}
	var rows []fields
	for line, record := range records[1:] {
		f := fields{}
		for i, cell := range record {
			name := records[0][i]
			at := slices.IndexFunc(t.columns, func(c column) bool { return c.Name == name })
			switch {
			case at < 0 || slices.Contains(neverShared, name):
				return nil, fmt.Errorf("the column %s is none of the table", name)
			case cell == "":
			case t.columns[at].Type == "BOOL":
				f.set(name, strings.EqualFold(cell, "true"))
			default:
				f.set(name, cell)
			}
		}
		if problems := append(t.missing(f), t.check(f)...); problems != nil {
			return nil, fmt.Errorf("row %d: %s", line+1, join(problems))
		}
		f.set("is_enabled", true)
		f.set("is_custom", false)
		f.set("is_edited", false)
		rows = append(rows, f)
	}
	return rows, nil
}

// data is what the templates of a statement see.
type data struct {
	Table, Key, Unique string
	Columns, Changed   []column
	Dated              bool
	// Own asks for the organisation's rows; the rest says which columns tell them.
	Own, Enabled, Custom, Edited bool
}

func (t *table) data(path string) data {
	d := data{Table: "`" + path + "`", Key: "`" + t.key + "`", Unique: "`" + t.unique + "`", Columns: t.columns}
	d.Enabled, d.Custom, d.Edited = t.has("is_enabled"), t.has("is_custom"), t.has("is_edited")
	for _, c := range t.columns {
		if c.Name != t.key && !slices.Contains(neverShared, c.Name) {
			d.Changed = append(d.Changed, c)
		}
	}
	return d
}

func (t *table) has(name string) bool {
	return slices.ContainsFunc(t.columns, func(c column) bool { return c.Name == name })
}

func render(name string, d data) (string, error) {
	var b bytes.Buffer
	if err := statements.ExecuteTemplate(&b, name, d); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return b.String(), nil
}

func (s *Store) query(name string, d data, params map[string]any) (*bigquery.Query, error) {
	text, err := render(name, d)
	if err != nil {
		return nil, err
	}
	q := s.cfg.BigQuery.Query(text)
	q.Location = s.cfg.Location
	for k, v := range params {
		q.Parameters = append(q.Parameters, bigquery.QueryParameter{Name: k, Value: v})
	}
	return q, nil
}

// run runs a statement to its end and returns how many rows it changed. One that lost to
// a concurrent one had no effect and is sent again.
func (s *Store) run(ctx context.Context, name string, d data, params map[string]any) (int64, error) {
	return backoff.Retry(ctx, func() (int64, error) {
		n, err := s.once(ctx, name, d, params)
		if err != nil && !strings.Contains(err.Error(), "concurrent update") {
			err = backoff.Permanent(err)
		}
		return n, err
	}, backoff.WithMaxElapsedTime(conflictPatience))
}

func (s *Store) once(ctx context.Context, name string, d data, params map[string]any) (int64, error) {
	q, err := s.query(name, d, params)
	if err != nil {
		return 0, err
	}
	job, err := q.Run(ctx)
	if err != nil {
		return 0, err
	}
	status, err := job.Wait(ctx)
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		return 0, err
	}
	if st, ok := status.Statistics.Details.(*bigquery.QueryStatistics); ok {
		return st.NumDMLAffectedRows, nil
	}
	return 0, nil
}

// selectRows returns rows by key, and of a key the newest first. A missing table has none;
// columns that one of an older version lacks are left out.
func (s *Store) selectRows(ctx context.Context, base *table, dataset string, own bool, params map[string]any) ([]json.RawMessage, error) {
	t, err := s.like(ctx, base, dataset)
	if t == nil || err != nil {
		return nil, err
	}
	d := t.data(s.path(dataset, t.name))
	d.Own = own
	q, err := s.query("select.sql", d, params)
	if err != nil {
		return nil, err
	}
	it, err := q.Read(ctx)
	if isStatus(err, http.StatusNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	for {
		var line struct{ Line string }
		switch err := it.Next(&line); {
		case errors.Is(err, iterator.Done):
			return rows, nil
		case err != nil:
			return nil, err
		}
		row, err := t.plain(json.RawMessage(line.Line))
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// longText matches what an integer may be that TO_JSON_STRING has written as a text,
// because a double cannot hold it.
var longText = regexp.MustCompile(`"-?[0-9]{16,19}"`)

// plain makes numbers of such integers.
func (t *table) plain(line json.RawMessage) (json.RawMessage, error) {
	if !longText.Match(line) {
		return line, nil
	}
	var f fields
	if err := json.Unmarshal(line, &f); err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	for _, c := range t.columns {
		if text := f.text(c.Name); c.Type == "INT64" && text != "" {
			f[c.Name] = json.RawMessage(text)
		}
	}
	return json.Marshal(f)
}

// lines encodes rows for a statement. Decimals travel as text, so that nothing on the way
// makes a float of them.
func (t *table) lines(rows []fields) (string, error) {
	for _, f := range rows {
		for _, c := range t.columns {
			if raw, ok := f[c.Name]; ok && c.Type == "NUMERIC" && !strings.HasPrefix(string(raw), `"`) {
				f.set(c.Name, string(raw))
			}
		}
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

func isStatus(err error, status int) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code == status
}
