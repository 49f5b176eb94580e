package bigquery_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

// serveDatabase makes this test binary a server on the database it names.
const serveDatabase = "BIGQUERY_TEST_SERVE"

func TestMain(m *testing.M) {
	if path := os.Getenv(serveDatabase); path != "" {
		serve(path)
		return
	}
	os.Exit(m.Run())
}

func serve(path string) {
	s, err := bigquery.Open(context.Background(), bigquery.Config{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("http://" + listener.Addr().String())
	_ = http.Serve(listener, s.Handler())
}

// process is a server in a process of its own.
type process struct {
	url string
	cmd *exec.Cmd
}

func startProcess(t *testing.T, path string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveDatabase+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := make([]byte, 128)
	n, err := out.Read(line)
	must(t, err)
	return &process{url: strings.TrimSpace(string(line[:n])), cmd: cmd}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	must(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
}

// holdingProxy forwards to target and keeps back the answer of the first
// request that matches until the test ends; held tells when it has one.
func holdingProxy(t *testing.T, target string, matches func(*http.Request) bool) (address string, held <-chan struct{}) {
	t.Helper()
	to, err := url.Parse(target)
	must(t, err)
	reached, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = nil
	proxy.ModifyResponse = func(r *http.Response) error {
		if matches(r.Request) && r.StatusCode == http.StatusOK {
			once.Do(func() { close(reached) })
			<-end
		}
		return nil
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: proxy}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { close(end); _ = server.Close() })
	return "http://" + listener.Addr().String(), reached
}

func TestKillBetweenEffectAndAnswerLosesNothing(t *testing.T) {
	cases := []struct {
		name, job string
		matches   func(*http.Request) bool
		submit    func(ctx context.Context, c *bq.Client) error
		rows      int64
	}{
		{
			name: "load", job: "load_1", rows: 250,
			matches: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/upload/") },
			submit: func(ctx context.Context, c *bq.Client) error {
				source := bq.NewReaderSource(strings.NewReader(ndjson(200, "2025-11-04")))
				source.SourceFormat = bq.JSON
				loader := c.Dataset("fin").Table("costs").LoaderFrom(source)
				loader.JobID = "load_1"
				_, err := loader.Run(ctx)
				return err
			},
		},
		{
			name: "publish", job: "pub_1", rows: 30,
			matches: func(r *http.Request) bool {
				return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/jobs")
			},
			submit: func(ctx context.Context, c *bq.Client) error {
				q := c.Query(`BEGIN TRANSACTION; DELETE FROM fin.costs WHERE d = '2025-11-03';
INSERT INTO fin.costs (d, k) SELECT DATE '2025-11-03', CAST(x AS STRING) FROM UNNEST(GENERATE_ARRAY(1, 30)) AS x; COMMIT TRANSACTION;`)
				q.JobID = "pub_1"
				_, err := q.Run(ctx)
				return err
			},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bq.db")
			first := startProcess(t, path)
			direct := newClient(t, first.url)
			must(t, direct.Dataset("fin").Create(t.Context(), nil))
			mustLoad(t, createTable(t, direct, "costs"), ndjson(50, "2025-11-03"))
			killBeforeAnswer(t, first, tc.matches, tc.submit)

			c := newClient(t, startProcess(t, path).url)
			job, err := c.JobFromIDLocation(t.Context(), tc.job, "US")
			must(t, err)
			status, err := job.Wait(t.Context())
			must(t, err)
			must(t, status.Err())
			if n := count(t, c.Dataset("fin").Table("costs")); n != tc.rows {
				t.Fatalf("%d rows after restart, want %d", n, tc.rows)
			}
		})
	}
}

// killBeforeAnswer submits through a proxy that holds the answer back and
// kills the server once it has answered.
func killBeforeAnswer(t *testing.T, p *process, matches func(*http.Request) bool, submit func(context.Context, *bq.Client) error) {
	t.Helper()
	through, held := holdingProxy(t, p.url, matches)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := newClient(t, through)
	go func() { _ = submit(ctx, client) }()
	select {
	case <-held:
	case <-ctx.Done():
		t.Fatal("the server never answered")
	}
	p.kill(t)
}

// endless is a query that runs for hours.
const endless = "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS a, UNNEST(GENERATE_ARRAY(1, 1000000)) AS b WHERE MOD(a * b, 7) = 3"

func TestKilledScriptIsRecordedAsStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bq.db")
	first := startProcess(t, path)
	c := newClient(t, first.url)
	must(t, c.Dataset("fin").Create(t.Context(), nil))
	createTable(t, c, "costs")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		q := c.Query("INSERT INTO fin.costs (k) VALUES ('a'); " + endless)
		q.JobID = "script_1"
		_, _ = q.Run(ctx)
	}()
	waitForJob(t, c, "script_job_script_1_0")
	first.kill(t)
	cancel()

	c = newClient(t, startProcess(t, path).url)
	job, err := c.JobFromIDLocation(t.Context(), "script_1", "US")
	must(t, err)
	wantJobError(t, outcome(job.LastStatus(), nil), "stopped", "the server ended while the script ran")
	if n := count(t, c.Dataset("fin").Table("costs")); n != 1 {
		t.Fatalf("%d rows, want the statement that had committed", n)
	}
}

func TestCancelledJobStops(t *testing.T) {
	c := start(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		q := c.Query(endless)
		q.JobID = "long_1"
		job, err := q.Run(ctx)
		if err == nil {
			_, err = job.Wait(ctx)
		}
		done <- err
	}()
	waitForJob(t, c, "long_1")
	job, err := c.JobFromIDLocation(t.Context(), "long_1", "US")
	must(t, err)
	if job.LastStatus().State != bq.Running {
		t.Fatalf("state %v", job.LastStatus().State)
	}
	must(t, job.Cancel(t.Context()))
	wantJobError(t, <-done, "stopped", "cancelled")
}

func TestKillAtAnyMomentKeepsRecordAndEffectTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bq.db")
	var want int64
	for round := range 4 {
		p := startProcess(t, path)
		c := newClient(t, p.url)
		if round == 0 {
			must(t, c.Dataset("fin").Create(t.Context(), nil))
			createTable(t, c, "costs")
		}
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			for i := 0; ctx.Err() == nil; i++ {
				source := bq.NewReaderSource(strings.NewReader(ndjson(500, "2025-11-04")))
				source.SourceFormat = bq.JSON
				loader := c.Dataset("fin").Table("costs").LoaderFrom(source)
				loader.JobID = fmt.Sprintf("load_%d_%d", round, i)
				if _, err := loader.Run(ctx); err != nil {
					return
				}
			}
		}()
		waitForJob(t, c, fmt.Sprintf("load_%d_%d", round, 3+2*round))
		p.kill(t)
		cancel()
		<-done

		after := startProcess(t, path)
		c = newClient(t, after.url)
		jobs := c.Jobs(t.Context())
		want = 0
		for {
			job, err := jobs.Next()
			if err != nil {
				break
			}
			if strings.HasPrefix(job.ID(), "load_") && job.LastStatus().Err() == nil {
				want += job.LastStatus().Statistics.Details.(*bq.LoadStatistics).OutputRows
			}
		}
		if n := count(t, c.Dataset("fin").Table("costs")); n != want || n == 0 {
			t.Fatalf("round %d: %d rows, jobs record %d", round, n, want)
		}
		after.kill(t)
	}
}

// waitForJob polls a process of its own until a job is there.
func waitForJob(t *testing.T, c *bq.Client, id string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := c.JobFromIDLocation(t.Context(), id, "US"); err == nil {
			return
		}
	}
	t.Fatalf("job %s never came", id)
}
