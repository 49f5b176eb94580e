package dataflow_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher/dataflow"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// roundTripper answers in this process, without sockets: what is measured is the runner.
type roundTripper func(*http.Request) string

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, f(r))
	return w.Result(), nil
}

// thousand answers lists of n running jobs, and metrics of each.
type thousand struct {
	jobs  map[string]df.Job // by name
	list  string
	polls atomic.Int64
	gets  atomic.Int64
}

func (a *thousand) answer(r *http.Request) string {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/metrics"):
		return `{"metrics":[{"name":{"origin":"user","name":"rows","context":{"namespace":"extract","step":"e4"}},"scalar":12345}]}`
	case strings.HasSuffix(path, "/jobs") && r.URL.Query().Get("name") != "":
		b, _ := json.Marshal(df.ListJobsResponse{Jobs: []*df.Job{ptr(a.jobs[r.URL.Query().Get("name")])}})
		return string(b)
	case strings.HasSuffix(path, "/jobs"):
		a.polls.Add(1)
		return a.list
	case strings.Contains(path, "/storage/"), strings.Contains(path, "/b/"):
		return `{"kind":"storage#objects"}`
	default:
		a.gets.Add(1)
		return `{}`
	}
}

func ptr[T any](v T) *T { return &v }

func benchmarkPolling(b *testing.B, n int, interval time.Duration, most float64) {
	b.Helper()
	a := &thousand{jobs: map[string]df.Job{}}
	client := &http.Client{Transport: roundTripper(a.answer)}
	r := must(dataflow.New(dataflow.Config{
		Dataflow: must(df.NewService(b.Context(), option.WithEndpoint("http://dataflow/"), option.WithHTTPClient(client))),
		Storage:  must(gcsfolder.NewClient(b.Context(), option.WithEndpoint("http://storage/storage/v1/"), option.WithHTTPClient(client))),
		Project:  project, Region: region, Folder: "gs://b/runs", Template: "gs://b/t.json", Poll: 10 * time.Millisecond,
	}))
	defer r.Close()
	var all df.ListJobsResponse
	var folders []*runfolder.Folder
	for i := range n {
		s := spec()
		s.RunID = fmt.Sprintf("run-%04d", i)
		name := fmt.Sprintf("convergence-acme-corp-%s-a1", s.RunID)
		job := df.Job{Id: fmt.Sprint("job-", i), Name: name, CurrentState: "JOB_STATE_RUNNING", Type: "JOB_TYPE_BATCH", Labels: map[string]string{
			"convergence-org": "acme_corp", "convergence-run": s.RunID, "convergence-attempt": "1", "convergence-folder": "e1-x",
		}}
		a.jobs[name] = job
		all.Jobs = append(all.Jobs, &job)
		f := must(runfolder.Open(filepath.Join(b.TempDir(), s.RunID)))
		if err := f.WriteSpec(s); err != nil {
			b.Fatal(err)
		}
		folders = append(folders, f)
	}
	list, _ := json.Marshal(all)
	a.list = string(list)
	for _, f := range folders {
		if _, err := r.Start(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
	await := func(polls int64) {
		for a.polls.Load() < polls {
			time.Sleep(time.Millisecond)
		}
	}
	await(3) // every job has been seen to run
	var polls int64
	before := cpu()
	start := a.polls.Load()
	b.ResetTimer()
	for range b.N {
		polls++
		await(start + polls)
	}
	b.StopTimer()
	perPoll := (cpu() - before) / time.Duration(polls)
	share := perPoll.Seconds() / interval.Seconds()
	b.ReportMetric(share*100, "%core")
	b.ReportMetric(perPoll.Seconds()*1000, "cpu-ms/poll")
	if gets := a.gets.Load(); gets != 0 {
		b.Errorf("%d jobs were asked for by id, although the list shows them", gets)
	}
	if share > most {
		b.Errorf("%d jobs cost %.1f %% of a core, more than %.0f %%", n, share*100, most*100)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
