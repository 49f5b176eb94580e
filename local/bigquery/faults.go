package bigquery

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// methodUpload is jobs.insert with data, as a multipart or resumable upload.
const methodUpload = "jobs.upload"

// Fault is one way in which the server misbehaves. The zero value strikes the
// first call of any method and does nothing to it.
//
// A call matches when each of Method, Job, Table and Text that is set does.
type Fault struct {
	// Method is the API's name of a method, such as jobs.insert, jobs.query,
	// jobs.get, jobs.getQueryResults, jobs.cancel, tables.insert or
	// tabledata.insertAll; jobs.upload is jobs.insert with data, each request
	// of a resumable upload a call of its own.
	Method string
	// Job is the beginning of the id of the job that the call is about.
	Job string
	// Table is the table id in the path of the call.
	Table string
	// Text is a part of the body, as JSON spells it.
	Text string

	// Nth is the first matching call that is struck, counted from 1; 0 is 1.
	// Times is how many calls in a row are; 0 is 1, a negative number all.
	Nth   int
	Times int

	// Latency and Until delay the call; Until waits for the channel to close.
	// With Statement they delay that statement of the job. Reached, unless it
	// is nil, is called as the delay begins.
	Latency time.Duration
	Until   <-chan struct{}
	Reached func()

	// Error is the answer in place of the call's own; Cut breaks the
	// connection without an answer. Without After the call does nothing else;
	// with After it is done first, and only its answer is lost.
	Error *wire.Error
	Cut   bool
	After bool

	// State keeps the job that the call makes in PENDING or RUNNING, without
	// effect, until it was looked at Polls times; a negative number is for
	// ever, so that only a cancel or the job's timeout ends it.
	State string
	Polls int

	// JobError is what the job that the call makes ends with, before any
	// effect, or before the statement of a script that Statement counts from 1.
	JobError  *wire.Error
	Statement int
}

// Injected is a fault at work.
type Injected struct {
	fault  Fault
	mu     sync.Mutex
	calls  int
	struck int
}

// Calls returns how many calls matched, Struck how many of them were struck.
func (i *Injected) Calls() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls
}

// Struck returns how many calls the fault spoiled.
func (i *Injected) Struck() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.struck
}

// count counts a matching call and reports whether it is struck.
func (i *Injected) count() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls++
	first, times := max(i.fault.Nth, 1), i.fault.Times
	if times == 0 {
		times = 1
	}
	if i.calls < first || times > 0 && i.calls >= first+times {
		return false
	}
	i.struck++
	return true
}

// Faults are the faults of a server. The zero value has none; it is safe for
// concurrent use and has no way in from the network.
type Faults struct {
	mu     sync.Mutex
	active []*Injected
}

// Inject adds a fault. Of several that would strike a call the one injected
// first does; the others count the call as matched.
func (f *Faults) Inject(fault Fault) *Injected {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := &Injected{fault: fault}
	f.active = append(f.active, i)
	return i
}

// Clear takes all faults back.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = nil
}

// call is what faults are matched against.
type call struct {
	method, job, table string
	body               []byte
}

var bodyJobID = regexp.MustCompile(`"jobId"\s*:\s*"([^"]*)"`)

func readCall(method string, r *http.Request) (call, error) {
	c := call{method: method, job: r.PathValue("job"), table: r.PathValue("table")}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return c, wire.Invalid("Reading the request body: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.body = body
	if c.job == "" && r.Method == http.MethodPost {
		c.job = jobIDOf(body)
	}
	return c, nil
}

// jobIDOf finds the job's id at either end of a job's JSON; the data of an
// upload follows the blank line after it.
func jobIDOf(body []byte) string {
	var sub struct {
		JobReference wire.JobReference `json:"jobReference"`
	}
	if json.Unmarshal(body, &sub) == nil {
		return sub.JobReference.JobID
	}
	if m := bodyJobID.FindSubmatch(body); m != nil {
		return string(m[1])
	}
	return ""
}

func (f *Fault) matches(c call) bool {
	return (f.Method == "" || f.Method == c.method) && strings.HasPrefix(c.job, f.Job) &&
		(f.Table == "" || f.Table == c.table) && bytes.Contains(c.body, []byte(f.Text))
}

func (f *Faults) strike(c call) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var struck *Fault
	for _, i := range f.active {
		if !i.fault.matches(c) {
			continue
		}
		if struck != nil {
			i.mu.Lock()
			i.calls++
			i.mu.Unlock()
		} else if i.count() {
			struck = &i.fault
		}
	}
	return struck
}

type faultKey struct{}

// faultOf is the fault that struck the call of a context; nil without one.
func faultOf(ctx context.Context) *Fault {
	f, _ := ctx.Value(faultKey{}).(*Fault)
	return f
}

// around serves a method with the faults that strike it.
func (f *Faults) around(method string, next http.HandlerFunc) http.HandlerFunc {
	if f == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := readCall(method, r)
		if err != nil {
			wire.WriteError(w, err)
			return
		}
		if fault := f.strike(c); fault != nil {
			fault.serve(w, r, next)
			return
		}
		next(w, r)
	}
}

func (f *Fault) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r = r.WithContext(context.WithValue(r.Context(), faultKey{}, f))
	if f.Statement == 0 && !f.After {
		f.delay(r.Context())
	}
	if f.Error == nil && !f.Cut {
		next(w, r)
		return
	}
	if f.After {
		next(&unheard{header: http.Header{}}, r)
		f.delay(r.Context())
	}
	if f.Cut {
		panic(http.ErrAbortHandler) // net/http's way to break a connection
	}
	wire.WriteError(w, f.Error)
}

func (f *Fault) delay(ctx context.Context) {
	if f.Reached != nil {
		f.Reached()
	}
	timer := time.NewTimer(f.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	if f.Until == nil {
		return
	}
	select {
	case <-f.Until:
	case <-ctx.Done():
	}
}

// atStatement strikes the job before its nth statement; 0 is before the job.
func (f *Fault) atStatement(ctx context.Context, n int) error {
	if f == nil || f.Statement != n {
		return nil
	}
	if n > 0 {
		f.delay(ctx)
	}
	if f.JobError == nil {
		return nil
	}
	return f.JobError
}

// unheard is an answer that nobody gets.
type unheard struct{ header http.Header }

func (u *unheard) Header() http.Header         { return u.header }
func (u *unheard) Write(p []byte) (int, error) { return len(p), nil }
func (u *unheard) WriteHeader(int)             {}
