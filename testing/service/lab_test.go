package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

const (
	// patience bounds every wait for a process; it is long because machines are busy.
	patience = 2 * time.Minute
	glance   = 50 * time.Millisecond

	project  = "local-dev-project"
	location = "US"
	central  = "organizations"
)

// lab is an embedded warehouse of its own, which outlives the services that are killed.
type lab struct {
	t             testing.TB
	dir           string
	bigQuery, kms string
	client        *bigquery.Client
}

// buffer keeps what a process writes; it may be read meanwhile.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir()}
	data := filepath.Join(l.dir, "warehouse")
	cmd := exec.Command(binary, "local", "--data-dir", data)
	cmd.Dir, cmd.Env = l.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "TMPDIR=" + os.TempDir()}
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	var record struct {
		BigQuery string `json:"bigquery_url"`
		KMS      string `json:"kms_addr"`
	}
	eventually(t, "the warehouse listens", func() bool {
		b, err := os.ReadFile(filepath.Join(data, "server.json"))
		return err == nil && json.Unmarshal(b, &record) == nil && record.BigQuery != ""
	})
	l.bigQuery, l.kms = record.BigQuery, record.KMS
	client, err := bigquery.NewClient(context.Background(), project, option.WithEndpoint(l.bigQuery+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
	if err != nil {
		t.Fatal(err)
	}
	l.client = client
	t.Cleanup(func() { _ = client.Close() })
	return l
}

// eventually polls, because processes have no other way to tell.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
		time.Sleep(glance)
	}
}

// ask reads rows past every fault.
func (l *lab) ask(t testing.TB, sql string) [][]bigquery.Value {
	t.Helper()
	q := l.client.Query(sql)
	q.Location = location
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

// lines is ask with the columns of a row joined by a space.
func (l *lab) lines(t testing.TB, sql string) []string {
	t.Helper()
	var out []string
	for _, row := range l.ask(t, sql) {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = fmt.Sprint(v)
		}
		out = append(out, strings.Join(cells, " "))
	}
	return out
}

// change runs a statement past every fault.
func (l *lab) change(t testing.TB, sql string) {
	t.Helper()
	q := l.client.Query(sql)
	q.Location = location
	job, err := q.Run(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if status, err := job.Wait(context.Background()); err != nil || status.Err() != nil {
		t.Fatalf("%s: %v %v", sql, err, status)
	}
}
