package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/sink"
	"github.com/cloudact/convergence/transforms/source"
)

// childJob makes this binary a job process instead of a test.
var childJob = flag.String("sink.job", "", "run the job of this JSON text and print its result")

// killed is a job that runs in a process of its own.
type killed struct {
	API       string
	Warehouse string
	Options   sink.Options
}

// runChild is the main of the job process.
func runChild(text string) error {
	var k killed
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return err
	}
	sink.UseWarehouse(warehouse{k.Warehouse})
	source.UseGuard(source.Guard{AllowLoopback: true})
	processor, ok := registry.Lookup("generic.api_extractor")
	if !ok {
		return errors.New("the binary has no generic.api_extractor")
	}
	build := registry.Build{Step: registry.Step[any]{ID: k.Options.Step, Org: "acme", RunID: k.Options.RunID, Schema: k.Options.Table.Schema, Shards: 1}, Units: k.Options.Units}
	for _, u := range k.Options.Units {
		config := processor.NewConfig()
		document := fmt.Sprintf(`{"url":%q,"data_path":"data","pagination":{"type":"cursor","param":"cursor","response_path":"next","limit":%d},"rate_limit":{"requests_per_second":0,"max_retries":3},"transform":{"flatten":true}}`,
			k.API+"/"+u.Start.String(), rowsPerPage)
		if err := json.Unmarshal([]byte(document), config); err != nil {
			return err
		}
		build.UnitConfigs = append(build.UnitConfigs, config)
	}
	build.Step.Config = build.UnitConfigs[0]
	p, s := beam.NewPipelineWithRoot()
	adopted, err := sink.Adopt(s, k.Options)
	if err != nil {
		return err
	}
	build.Step.Starts = sink.Starts(s, adopted)
	pages, err := processor.Build(s, beam.PCollection{}, build)
	if err != nil {
		return err
	}
	results, err := sink.Write(s, sink.Input{Pages: pages, Adopted: adopted}, k.Options)
	if err != nil {
		return err
	}
	beam.ParDo0(s, &collectFn{Test: "child"}, results)
	if _, err := beam.Run(context.Background(), "prism", p); err != nil {
		return err
	}
	out, err := json.Marshal(collected.results["child"][0])
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	return err
}

const (
	rowsPerPage = 250
	pagesPerDay = 40
)

// world is a slow provider and the warehouse, behind one count of all requests: the job
// is killed at one of them, before or after it has its effect.
type world struct {
	mu       sync.Mutex
	requests int            // of both
	asked    map[string]int // page -> how often
	killAt   int            // 0: never
	late     int            // every so-manieth record is of another day; 0: none
	after    bool
	job      *exec.Cmd
	proxy    *httputil.ReverseProxy
}

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.requests++
	dies := w.requests == w.killAt
	if dies && !w.after {
		_ = w.job.Process.Kill()
	}
	w.mu.Unlock()
	if day, page := strings.TrimPrefix(r.URL.Path, "/api/"), r.URL.Query().Get("cursor"); day != r.URL.Path {
		w.mu.Lock()
		w.asked[day+"/"+page]++
		w.mu.Unlock()
		providePage(out, day, page, pagesPerDay, w.late)
	} else {
		w.proxy.ServeHTTP(out, r)
	}
	if dies && w.after {
		w.mu.Lock()
		_ = w.job.Process.Kill()
		w.mu.Unlock()
	}
}

// providePage answers the records of one page, slowly.
func providePage(out http.ResponseWriter, day, cursor string, pages, late int) {
	time.Sleep(5 * time.Millisecond)
	n, _ := strconv.Atoi(cursor)
	var records []string
	for i := range rowsPerPage {
		id, day := n*rowsPerPage+i, day
		if late > 0 && id%late == 0 {
			day = "2024-01-01"
		}
		records = append(records, fmt.Sprintf(`{"usage_date":%q,"model":"m%05d","cost":"%d.5","raw":{"n":%d}}`, day, id, id, id))
	}
	next := "null"
	if n+1 < pages {
		next = strconv.Quote(strconv.Itoa(n + 1))
	}
	out.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(out, `{"data":[%s],"next":%s}`, strings.Join(records, ","), next)
}

// start runs the job process to its end; the result is nil if it was killed.
func (w *world) start(t *testing.T, k killed, killAt int) *sink.StepResult {
	t.Helper()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	job := exec.CommandContext(t.Context(), os.Args[0], "-sink.job="+string(text))
	job.Stdout, job.Stderr = &stdout, &stderr
	w.mu.Lock()
	w.requests, w.killAt, w.asked, w.job = 0, killAt, map[string]int{}, job
	err = job.Start()
	w.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(); err != nil {
		if killAt == 0 {
			t.Fatalf("the job failed: %v\n%s", err, stderr.String())
		}
		return nil
	}
	var r sink.StepResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("result %q: %v", stdout.String(), err)
	}
	return &r
}

func (w *world) pagesAsked(t *testing.T) int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for page, n := range w.asked {
		if n != 1 {
			t.Errorf("one attempt requested page %s %d times", page, n)
		}
	}
	return len(w.asked)
}

func TestAKilledJobLosesAndDoublesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []struct {
		name, mode string
		keys       []string
		units      []row.Unit
	}{
		{"append", sink.ModeAppend, nil, []row.Unit{dayUnit(1, 1), dayUnit(2, 1)}},
		{"append by key", sink.ModeAppend, []string{"usage_date", "model"}, []row.Unit{dayUnit(1, 1), dayUnit(2, 1)}},
		{"insert_new", sink.ModeInsertNew, []string{"usage_date", "model"}, []row.Unit{dayUnit(1, 1), dayUnit(2, 1)}},
		{"merge", sink.ModeMerge, []string{"usage_date", "model"}, []row.Unit{dayUnit(1, 1), dayUnit(2, 1)}},
		{"replace_partition", sink.ModeReplacePartition, nil, []row.Unit{dayUnit(1, 1), dayUnit(2, 1)}},
		{"overwrite", sink.ModeOverwrite, nil, []row.Unit{dayUnit(1, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			adopted := int64(0)
			for kill := range killsPerMode {
				o := options(c.mode, c.units...)
				o.KeyFields, o.Deadline = c.keys, time.Now().Add(5*time.Minute)
				adopted += killOnce(t, o, killPoint{at: 1 + random.IntN(50*len(c.units)), after: random.IntN(2) == 0})
				if t.Failed() {
					t.Fatalf("failed at kill %d", kill)
				}
			}
			t.Logf("%d of %d pages were adopted", adopted, killsPerMode*pagesPerDay*len(c.units))
		})
	}
}

// killPoint is the request at which a job dies.
type killPoint struct {
	at    int
	after bool
	late  int // of the records that every so-manieth is
}

// killOnce kills a job, runs it again and returns how many pages the second adopted.
func killOnce(t *testing.T, o sink.Options, at killPoint) int64 {
	t.Helper()
	b := newBench(t)
	upstream, err := url.Parse(shared.address())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{after: at.after, late: at.late, proxy: httputil.NewSingleHostReverseProxy(upstream)}
	w.proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {} // the killed job's connections break
	server := httptest.NewServer(w)
	defer server.Close()
	o.Table.Project = b.project
	k := killed{API: server.URL + "/api", Warehouse: server.URL, Options: o}
	if r := w.start(t, k, at.at); r != nil {
		wantState(t, *r, sink.StateCompleted, "") // it was done before it could be killed
	}
	k.Options.RunID = "run-2"
	r := w.start(t, k, 0)
	wantState(t, *r, sink.StateCompleted, "")
	pages := pagesPerDay * len(o.Units)
	if asked := w.pagesAsked(t); int64(asked) != r.Counts.Pages || int(r.Counts.Pages+r.Counts.Adopted) != pages {
		t.Errorf("killed at %+v: %d pages were requested, %d fetched and %d adopted of %d", at, asked, r.Counts.Pages, r.Counts.Adopted, pages)
	}
	if at.late > 0 {
		b.wantLate(r, pages*rowsPerPage, at.late)
		return r.Counts.Adopted
	}
	rows := strconv.Itoa(pages * rowsPerPage)
	wantLines(t, b.lines("SELECT COUNT(*), COUNT(DISTINCT CONCAT(usage_date, model)), CAST(SUM(cost) AS STRING) FROM `"+dataset+".usage`"),
		rows+" "+rows+" "+strconv.Itoa(len(o.Units)*(pagesPerDay*rowsPerPage*(pagesPerDay*rowsPerPage-1)/2+pagesPerDay*rowsPerPage/2)))
	return r.Counts.Adopted
}

// wantLate checks that each record is in exactly one place.
func (b *bench) wantLate(r *sink.StepResult, rows, late int) {
	b.t.Helper()
	rejected := (rows + late - 1) / late
	if r.Counts.Rows != int64(rows) || r.Counts.Rejected != int64(rejected) || r.Published != int64(rows-rejected) {
		b.t.Errorf("of %d rows %d came, %d were rejected and %d published", rows, r.Counts.Rows, r.Counts.Rejected, r.Published)
	}
	good, bad := strconv.Itoa(rows-rejected), strconv.Itoa(rejected)
	wantLines(b.t, b.lines("SELECT COUNT(*), COUNT(DISTINCT model) FROM `"+dataset+".usage`"), good+" "+good)
	wantLines(b.t, b.lines("SELECT COUNT(*), COUNT(DISTINCT raw_data) FROM `"+dataset+".pipeline_dlq`"), bad+" "+bad)
}

func TestAKilledJobBuriesEachRejectOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for kill := range killsPerMode {
		o := options(sink.ModeReplacePartition, dayUnit(1, 1))
		o.MaxRejected, o.Deadline = 0.5, time.Now().Add(5*time.Minute)
		killOnce(t, o, killPoint{at: 1 + random.IntN(60), after: random.IntN(2) == 0, late: 100})
		if t.Failed() {
			t.Fatalf("failed at kill %d", kill)
		}
	}
}
