package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store"
	local "github.com/cloudact/convergence/local/bigquery"
)

const central = "organizations"

func TestMain(m *testing.M) {
	if role := os.Getenv(killRole); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	for _, end := range shared.ends {
		end()
	}
	os.Exit(code)
}

// shared is the server of all tests; each test has a project of its own in it.
var shared struct {
	testerOfProcess
	once     sync.Once
	url      string
	projects atomic.Int64
}

type testerOfProcess struct{ ends []func() }

func (*testerOfProcess) Helper()                           {}
func (*testerOfProcess) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (p *testerOfProcess) Cleanup(end func())              { p.ends = append(p.ends, end) }

// bench is a store in a project of its own. requests counts what it sends; spoil may
// spoil an answer.
type bench struct {
	t      *testing.T
	client *bigquery.Client
	*store.Store
	tables map[string][]byte

	mu    sync.Mutex
	now   time.Time
	paths []string                                          // method and path of what was sent
	spoil func(w http.ResponseWriter, r *http.Request) bool // false: let it pass
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Now().UTC(), tables: documents(t)}
	b.client = b.dial()
	b.Store = b.open(b.tables)
	return b
}

func documents(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../configs/organizations/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no central tables: %v", err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = text
	}
	return out
}

func (b *bench) dial() *bigquery.Client {
	b.t.Helper()
	shared.once.Do(func() { shared.url = local.RunT(&shared) })
	upstream, err := url.Parse(shared.url)
	if err != nil {
		b.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.paths = append(b.paths, r.Method+" "+r.URL.Path)
		spoil := b.spoil
		b.mu.Unlock()
		if spoil == nil || !spoil(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	b.t.Cleanup(front.Close)
	project := fmt.Sprintf("store-%d", shared.projects.Add(1))
	client, err := bigquery.NewClient(b.t.Context(), project, option.WithEndpoint(front.URL+"/bigquery/v2/"), option.WithHTTPClient(&http.Client{}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	return client
}

func (b *bench) open(tables map[string][]byte) *store.Store {
	b.t.Helper()
	s := store.New(store.Config{Client: b.client, Dataset: central, Location: "US", Tables: tables, Now: b.clock})
	if err := s.Setup(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// sent counts requests whose method and path contain the text, and forgets them.
func (b *bench) sent(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, p := range b.paths {
		if strings.Contains(p, text) {
			n++
		}
	}
	b.paths = nil
	return n
}

func (b *bench) spoilWith(spoil func(w http.ResponseWriter, r *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spoil = spoil
}

// loseAnswers lets the server do the first calls whose path ends so, without their callers
// hearing of it, and counts all of them.
func (b *bench) loseAnswers(method, suffix string, first int) *atomic.Int64 {
	b.t.Helper()
	upstream, err := url.Parse(shared.url)
	if err != nil {
		b.t.Fatal(err)
	}
	calls := &atomic.Int64{}
	b.spoilWith(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasSuffix(r.URL.Path, suffix) || calls.Add(1) > int64(first) {
			return false
		}
		r.URL.Scheme, r.URL.Host, r.RequestURI = upstream.Scheme, upstream.Host, ""
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			b.t.Error(err)
		} else {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		panic(http.ErrAbortHandler)
	})
	return calls
}

// lines returns the rows of a query, cells joined by spaces.
func (b *bench) lines(sql string) []string {
	b.t.Helper()
	it, err := b.client.Query(sql).Read(context.Background())
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	out := []string{}
	for {
		var cells []bigquery.Value
		err := it.Next(&cells)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			b.t.Fatalf("%s: %v", sql, err)
		}
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = fmt.Sprint(c)
		}
		out = append(out, strings.Join(texts, " "))
	}
}

func (b *bench) exec(sql string) {
	b.t.Helper()
	job, err := b.client.Query(sql).Run(context.Background())
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	status, err := job.Wait(context.Background())
	if err == nil {
		err = status.Err()
	}
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) append(events ...launcher.Event) {
	b.t.Helper()
	if err := b.Append(b.t.Context(), events...); err != nil {
		b.t.Fatalf("append: %v", err)
	}
}

func (b *bench) event(org, run string, state launcher.State) launcher.Event {
	payload, err := json.Marshal(map[string]any{"pipeline_id": org + "-p", "steps": []launcher.Step{{ID: "a", Type: "openai.usage"}}})
	if err != nil {
		b.t.Fatal(err)
	}
	return launcher.Event{
		ID: run + string(state), RunID: run, Org: org, Attempt: 1, Epoch: 1, Kind: "run", State: state, Payload: payload,
		Time: b.clock().Truncate(time.Microsecond),
	}
}

func TestSetupIsIdempotentAndOnlyAddsNullableColumns(t *testing.T) {
	b := newBench(t)
	if n := len(b.lines("SELECT table_name FROM `" + central + ".INFORMATION_SCHEMA.TABLES`")); n != len(b.tables) {
		t.Errorf("%d tables were made, want %d", n, len(b.tables))
	}
	b.sent("")
	b.open(b.tables)
	if n := b.sent("PATCH") + b.sent("PUT"); n != 0 {
		t.Errorf("setting up again changed %d tables", n)
	}
	var doc map[string]any
	if err := json.Unmarshal(b.tables["org_profiles"], &doc); err != nil {
		t.Fatal(err)
	}
	doc["fields"] = append(doc["fields"].([]any), map[string]any{"name": "mood", "type": "STRING", "mode": "REQUIRED"})
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 5 { // processes that start at the same time
		wg.Go(func() { b.open(map[string][]byte{"org_profiles": text}) })
	}
	wg.Wait()
	meta, err := b.client.Dataset(central).Table("org_profiles").Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := meta.Schema[len(meta.Schema)-1]; last.Name != "mood" || last.Required || len(meta.Schema) != len(doc["fields"].([]any)) {
		t.Errorf("the last of %d columns is %+v", len(meta.Schema), last)
	}
}

func TestAppendingTwiceIsAppendingOnce(t *testing.T) {
	for name, age := range map[string]time.Duration{"by INSERT": 0, "by streaming": 11 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.advance(age)
			pending, running := b.event("acme", "r1", launcher.Pending), b.event("acme", "r1", launcher.Running)
			b.sent("")
			b.append(pending, running)
			streamed := b.sent("insertAll")
			b.append(running)
			b.append()
			if (streamed == 1) != (age > 0) {
				t.Errorf("a table %s old: %d streaming requests", age, streamed)
			}
			events, err := b.Events(t.Context(), "acme", "r1")
			if err != nil {
				t.Fatal(err)
			}
			run, found, err := launcher.Reduce(events)
			if err != nil || !found || run.State != launcher.Running || run.PipelineID != "acme-p" || len(run.Steps) != 1 || !run.Start.Equal(pending.Time) {
				t.Errorf("folded is %+v, %t, %v", run, found, err)
			}
		})
	}
}

func TestNoOrgSeesAnothersRuns(t *testing.T) {
	b := newBench(t)
	b.append(b.event("acme", "r1", launcher.Pending), b.event("globex", "r2", launcher.Pending))
	b.append(launcher.Event{ID: "g", RunID: "r2", Org: "globex", Kind: "generation", Step: "u", Seq: 7, State: launcher.Pending, Payload: []byte("{}"), Time: b.clock()})
	for org, id := range map[string]string{"acme": "r1", "globex": "r2"} {
		runs, err := b.List(t.Context(), org, launcher.Filter{})
		if err != nil || len(runs) != 1 || runs[0].ID != id || runs[0].Org != org {
			t.Errorf("%s lists %+v, %v", org, runs, err)
		}
	}
	for _, org := range []string{"acme", "", "globex' OR TRUE --"} {
		if events, err := b.Events(t.Context(), org, "r2"); err != nil || len(events) != 0 {
			t.Errorf("%q sees %d events of another org, %v", org, len(events), err)
		}
		if g, err := b.Generations(t.Context(), org, []string{"u"}); err != nil || len(g) != 0 {
			t.Errorf("%q sees generations %v, %v", org, g, err)
		}
	}
}

func TestListIsFilteredAfterFoldingAndNewestFirst(t *testing.T) {
	b := newBench(t)
	for i := range 4 {
		id := fmt.Sprint("r", i)
		b.append(b.event("acme", id, launcher.Pending))
		b.advance(time.Minute)
		if i%2 == 0 {
			b.append(b.event("acme", id, launcher.Completed))
		}
	}
	b.append(launcher.Event{ID: "half", RunID: "old", Org: "acme", Attempt: 1, Epoch: 1, Kind: "run", State: launcher.Running, Payload: []byte("{}"), Time: b.clock()})
	for _, c := range []struct {
		filter launcher.Filter
		want   string
	}{
		{launcher.Filter{}, "r3 r2 r1 r0"},
		{launcher.Filter{Limit: 2}, "r3 r2"},
		{launcher.Filter{State: launcher.Pending}, "r3 r1"},
		{launcher.Filter{State: launcher.Completed, Limit: 1}, "r2"},
		{launcher.Filter{Pipeline: "acme-p"}, "r3 r2 r1 r0"},
		{launcher.Filter{Pipeline: "acme"}, ""},
	} {
		runs, err := b.List(t.Context(), "acme", c.filter)
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]string, len(runs))
		for i, r := range runs {
			ids[i] = r.ID
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%+v lists %q, want %q", c.filter, got, c.want)
		}
	}
}

func TestNewestGenerationOfEachUnit(t *testing.T) {
	b := newBench(t)
	for i, seq := range []int64{1, 3, 2} {
		b.append(launcher.Event{ID: fmt.Sprint(i), RunID: "r1", Org: "acme", Kind: "generation", Step: "u1", Seq: seq, State: launcher.Pending, Payload: []byte("{}"), Time: b.clock()})
	}
	g, err := b.Generations(t.Context(), "acme", []string{"u1", "u2"})
	if err != nil || len(g) != 1 || g["u1"] != 3 {
		t.Errorf("generations are %v, %v", g, err)
	}
	if g, err := b.Generations(t.Context(), "acme", nil); err != nil || len(g) != 0 {
		t.Errorf("of no units: %v, %v", g, err)
	}
}

func TestWarehouseThatAnswersIsReady(t *testing.T) {
	b := newBench(t)
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	b.spoilWith(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, `{"error":{"code":403,"message":"no"}}`, http.StatusForbidden)
		return true
	})
	if err := b.Ping(t.Context()); err == nil {
		t.Error("a warehouse that refuses is called ready")
	}
}
