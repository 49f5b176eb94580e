package sink_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
)

const (
	memoryRows  = 2_000_000
	memoryLimit = 64 << 20 // above a job over no rows
	pageRows    = 1000
	maxLoads    = 500
)

func init() {
	register.DoFn2x0[[]byte, func(row.Page)](&sourceFn{})
	register.Emitter1[row.Page]()
}

// sourceFn emits pages of rows of about 300 bytes, as a fetching source does: one after
// the other, never all at once.
type sourceFn struct {
	Unit string
	Rows int
}

func (f *sourceFn) ProcessElement(_ []byte, emit func(row.Page)) {
	for at := 0; at == 0 || at*pageRows < f.Rows; at++ {
		p := row.Page{Position: row.Position{Unit: f.Unit, Partition: "all", Index: int64(at), Next: strconv.Itoa(at + 1)}}
		if at > 0 {
			p.First = strconv.Itoa(at)
		}
		if p.Last = (at+1)*pageRows >= f.Rows; p.Last {
			p.Next = ""
		}
		for i := at * pageRows; i < min((at+1)*pageRows, f.Rows); i++ {
			p.Rows = append(p.Rows, usageRow(1, fmt.Sprintf("model-%d-%s", i, strings.Repeat("x", 180)), strconv.Itoa(i)))
		}
		emit(p)
	}
}

// counter is an endpoint that stores nothing: it counts the lines of loads and answers
// every job as done, so that its memory and time do not count.
type counter struct {
	mu     sync.Mutex
	tables map[string]json.RawMessage
	lines  atomic.Int64
	chunks atomic.Int64
	loads  atomic.Int64
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case strings.HasPrefix(r.URL.Path, "/upload/"):
		c.load(w, r)
	case r.Method == http.MethodPost && parts[len(parts)-1] == "tables":
		body, _ := io.ReadAll(r.Body)
		var t struct {
			Ref struct {
				ID string `json:"tableId"`
			} `json:"tableReference"`
		}
		_ = json.Unmarshal(body, &t)
		c.mu.Lock()
		c.tables[t.Ref.ID] = body
		c.mu.Unlock()
		_, _ = w.Write(body)
	case r.Method == http.MethodGet && parts[len(parts)-2] == "tables":
		c.mu.Lock()
		body, ok := c.tables[parts[len(parts)-1]]
		c.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = json.RawMessage(`{"error":{"code":404,"message":"Not found"}}`)
		}
		_, _ = w.Write(body)
	case r.Method == http.MethodPost && parts[len(parts)-1] == "jobs":
		var job map[string]any
		_ = json.NewDecoder(r.Body).Decode(&job)
		job["status"] = map[string]any{"state": "DONE"}
		job["statistics"] = map[string]any{"query": map[string]any{"statementType": "SELECT"}}
		_ = json.NewEncoder(w).Encode(job)
	default: // getQueryResults
		_, _ = fmt.Fprintf(w, `{"jobComplete":true,"totalRows":"%d","schema":{"fields":[]}}`, c.lines.Load()-c.chunks.Load())
	}
}

func (c *counter) load(w http.ResponseWriter, r *http.Request) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body := multipart.NewReader(r.Body, params["boundary"])
	head, err := body.NextPart()
	var job map[string]any
	if err != nil || json.NewDecoder(head).Decode(&job) != nil {
		http.Error(w, "no job", http.StatusBadRequest)
		return
	}
	data, err := body.NextPart()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	lines := 0
	for scan := bufio.NewReader(data); ; lines++ {
		line, err := scan.ReadSlice('\n')
		if err != nil {
			break
		}
		if bytes.HasPrefix(line, []byte(`{"_kind":"chunk"`)) {
			c.chunks.Add(1)
		}
	}
	c.lines.Add(int64(lines))
	c.loads.Add(1)
	job["status"] = map[string]any{"state": "DONE"}
	job["statistics"] = map[string]any{"load": map[string]any{"outputRows": strconv.Itoa(lines)}}
	_ = json.NewEncoder(w).Encode(job)
}

// TestMemoryJob is the job whose memory TestRowsAreNeverHeldAll measures; it runs in a
// process of its own.
func TestMemoryJob(t *testing.T) {
	rows, err := strconv.Atoi(os.Getenv("SINK_TEST_ROWS"))
	if err != nil {
		rows = 10 * pageRows
	}
	url := os.Getenv("SINK_TEST_URL")
	if url == "" {
		server := httptest.NewServer(&counter{tables: map[string]json.RawMessage{}})
		defer server.Close()
		url = server.URL
	}
	sink.UseWarehouse(warehouse{url})
	b := &bench{t: t}
	u := dayUnit(1, 0)
	o := options(sink.ModeReplacePartition, u)
	results := b.run(func(s beam.Scope) beam.PCollection {
		pages := beam.ParDo(s, &sourceFn{Unit: u.ID, Rows: rows}, beam.Impulse(s))
		out, err := sink.Write(s, sink.Input{Pages: pages}, o)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
	if len(results) != 1 {
		t.Fatalf("%d results", len(results))
	}
	wantState(t, results[0], sink.StateCompleted, "")
	if results[0].Published != int64(rows) {
		t.Fatalf("published %d of %d rows", results[0].Published, rows)
	}
	t.Logf("peak=%d", peakRSS(t))
}

var peakLine = regexp.MustCompile(`peak=(\d+)`)

// peak runs a job over so many rows in a process of its own and returns its highest
// resident memory and what processor time it took.
func peak(t *testing.T, rows int) (bytes int64, cpu time.Duration, c *counter) {
	t.Helper()
	c = &counter{tables: map[string]json.RawMessage{}}
	server := httptest.NewServer(c)
	defer server.Close()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestMemoryJob$", "-test.v")
	cmd.Env = append(os.Environ(), "SINK_TEST_ROWS="+strconv.Itoa(rows), "SINK_TEST_URL="+server.URL)
	out, err := cmd.CombinedOutput()
	m := peakLine.FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("job over %d rows: %v\n%s", rows, err, out)
	}
	bytes, err = strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), c
}

func TestRowsAreNeverHeldAll(t *testing.T) {
	empty, start, _ := peak(t, 0)
	full, cpu, c := peak(t, memoryRows)
	t.Logf("empty job %d MiB, %d rows %d MiB in %d loads, %.0f rows per CPU-second",
		empty>>20, memoryRows, full>>20, c.loads.Load(), memoryRows/(cpu-start).Seconds())
	if full-empty > memoryLimit {
		t.Errorf("the job over %d rows took %d MiB more than the empty one, at most %d may be", memoryRows, (full-empty)>>20, memoryLimit>>20)
	}
	if c.loads.Load() >= maxLoads {
		t.Errorf("the stage took %d loads, want fewer than %d", c.loads.Load(), maxLoads)
	}
}
