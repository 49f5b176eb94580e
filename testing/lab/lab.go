package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// Where every embedded warehouse is.
const (
	Project  = "local-dev-project"
	Location = "US"
)

// Lab is an embedded warehouse of its own, which outlives the programs that are killed.
type Lab struct {
	T        testing.TB
	Dir      string // its own; the test's end removes it
	BigQuery string // URL of the server
	KMS      string // host:port
	Client   *bigquery.Client
}

// New starts a warehouse, which ends with the test.
func New(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{T: t, Dir: t.TempDir()}
	data := filepath.Join(l.Dir, "warehouse")
	cmd := exec.Command(Binary, "local", "--data-dir", data)
	cmd.Dir, cmd.Env = l.Dir, Environ(l.Dir)
	log := &Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("warehouse: %s", log)
		}
	})
	var record struct {
		BigQuery string `json:"bigquery_url"`
		KMS      string `json:"kms_addr"`
	}
	Eventually(t, "the warehouse listens", func() bool {
		b, err := os.ReadFile(filepath.Join(data, "server.json"))
		return err == nil && json.Unmarshal(b, &record) == nil && record.BigQuery != ""
	})
	l.BigQuery, l.KMS = record.BigQuery, record.KMS
	client, err := bigquery.NewClient(context.Background(), Project, option.WithEndpoint(l.BigQuery+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	l.Client = client
	t.Cleanup(func() { _ = client.Close() })
	return l
}

// Ask reads rows past every fault.
func (l *Lab) Ask(t testing.TB, sql string) [][]bigquery.Value {
	t.Helper()
	q := l.Client.Query(sql)
	q.Location = Location
	it, err := q.Read(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out [][]bigquery.Value
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		out = append(out, row)
	}
}

// Lines is Ask with the columns of a row joined by a space.
func (l *Lab) Lines(t testing.TB, sql string) []string {
	t.Helper()
	var out []string
	for _, row := range l.Ask(t, sql) {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = fmt.Sprint(v)
		}
		out = append(out, strings.Join(cells, " "))
	}
	return out
}

// Change runs a statement past every fault.
func (l *Lab) Change(t testing.TB, sql string) {
	t.Helper()
	q := l.Client.Query(sql)
	q.Location = Location
	job, err := q.Run(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if status, err := job.Wait(context.Background()); err != nil || status.Err() != nil {
		t.Fatalf("%s: %v %v", sql, err, status)
	}
}
