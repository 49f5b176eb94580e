package dataflowsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	df "google.golang.org/api/dataflow/v1b3"
)

const (
	base       = "/v1b3/projects/{project}/locations/{location}/"
	maxRequest = 10 << 20
	pageSize   = 100
)

// The service's pattern is [a-z]([-a-z0-9]{0,1022}[a-z0-9])?, whose count Go refuses.
var jobName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

const longestName = 1024

// apiError is an error as Google's services answer it.
type apiError struct {
	code   int
	status string
	text   string
}

func (e *apiError) Error() string { return e.text }

func refuse(code int, status, format string, args ...any) error {
	return &apiError{code, status, fmt.Sprintf(format, args...)}
}

func notFound(id string) error {
	return refuse(http.StatusNotFound, "NOT_FOUND", "(simulated): Information about job %s could not be found in our system.", id)
}

// handler serves the REST methods.
func (s *Sim) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+base+"flexTemplates:launch", s.method(CallLaunch, s.launch))
	mux.HandleFunc("POST "+base+"jobs", s.method(CallCreate, s.create))
	mux.HandleFunc("GET "+base+"jobs", s.method(CallList, s.list))
	mux.HandleFunc("GET "+base+"jobs/{id}", s.method(CallGet, s.get))
	mux.HandleFunc("PUT "+base+"jobs/{id}", s.method(CallUpdate, s.update))
	mux.HandleFunc("GET "+base+"jobs/{id}/messages", s.method(CallMessages, s.listMessages))
	mux.HandleFunc("GET "+base+"jobs/{id}/metrics", s.method(CallMetrics, s.getMetrics))
	return mux
}

// method records a call, applies its fault, and writes the answer.
func (s *Sim) method(name string, serve func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			answer(w, nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "read request: %v", err))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.calls[name]++
		s.requests = append(s.requests, Request{r.Method, r.URL.String(), string(body)})
		fault, n := s.faults.Call, s.calls[name]
		s.mu.Unlock()
		kind := None
		if fault != nil {
			kind = fault(name, n)
		}
		switch kind {
		case Refused:
			answer(w, nil, refuse(http.StatusServiceUnavailable, "UNAVAILABLE", "the service is currently unavailable"))
			return
		case Quota:
			answer(w, nil, refuse(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "quota exceeded for quota metric 'Create requests'"))
			return
		}
		value, err := serve(r)
		switch kind {
		case Lost:
			answer(w, nil, refuse(http.StatusServiceUnavailable, "UNAVAILABLE", "the service is currently unavailable"))
		case Cut:
			panic(http.ErrAbortHandler)
		default:
			answer(w, value, err)
		}
	}
}

func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e, ok := err.(*apiError) //nolint:errorlint // handlers return it as it is
		if !ok {
			e = &apiError{http.StatusInternalServerError, "INTERNAL", err.Error()}
		}
		w.WriteHeader(e.code)
		value = map[string]any{"error": map[string]any{"code": e.code, "status": e.status, "message": e.text}}
	}
	_ = json.NewEncoder(w).Encode(value)
}

// checkLaunch refuses a name that cannot be, is taken, or exceeds the quota; it returns
// the job to answer with when the service hands out the one that has the name.
func (s *Sim) checkLaunch(project, location, name string) (*job, error) {
	if !jobName.MatchString(name) || len(name) > longestName {
		return nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "the job name %q must match %s", name, jobName)
	}
	if j := s.activeNamed(project, location, name); j != nil {
		if s.faults.ExistingJob {
			return j, nil
		}
		return nil, refuse(http.StatusConflict, "ALREADY_EXISTS", "There is already an active job named %s. If you want to submit a second job, try again by setting a different name.", name)
	}
	active := 0
	for _, j := range s.jobs {
		if j.active() && j.project == project && j.view.Location == location {
			active++
		}
	}
	if s.faults.MaxActive > 0 && active >= s.faults.MaxActive {
		return nil, refuse(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "the project has %d active jobs, which is its quota", active)
	}
	return nil, nil
}

func (s *Sim) create(r *http.Request) (any, error) {
	var in df.Job
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "read job: %v", err)
	}
	project, location := r.PathValue("project"), r.PathValue("location")
	s.mu.Lock()
	defer s.mu.Unlock()
	existing, err := s.checkLaunch(project, location, in.Name)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		return existing.view, nil
	}
	j := s.add(project, location, in.Name, Pending, in.Labels)
	s.wg.Go(func() { s.finish(j, s.execute(j, &in)) })
	return j.view, nil
}

func (s *Sim) get(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.find(r.PathValue("id")); j != nil && j.project == r.PathValue("project") && j.view.Location == r.PathValue("location") {
		if j.looks--; j.looks == 0 {
			j.view.Labels = j.late
		}
		return j.view, nil
	}
	return nil, notFound(r.PathValue("id"))
}

// list shows the newest jobs first; a page token is the place to go on from.
func (s *Sim) list(r *http.Request) (any, error) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*df.Job
	for _, j := range slices.Backward(s.jobs) {
		filter := q.Get("filter")
		switch {
		case j.project != r.PathValue("project") || j.view.Location != r.PathValue("location"):
		case filter == "ACTIVE" && !j.active(), filter == "TERMINATED" && j.active():
		case q.Get("name") != "" && q.Get("name") != j.view.Name:
		case j.hidden > 0:
			j.hidden--
		default:
			view := j.view
			view.Environment = nil // as in a summary
			found = append(found, &view)
		}
	}
	size, err := strconv.Atoi(q.Get("pageSize"))
	if err != nil || size <= 0 {
		size = pageSize
	}
	from, err := strconv.Atoi(q.Get("pageToken"))
	if q.Get("pageToken") != "" && (err != nil || from > len(found)) {
		return nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "the page token is not one of ours")
	}
	out := &df.ListJobsResponse{Jobs: found[from:min(from+size, len(found))]}
	if from+size < len(found) {
		out.NextPageToken = strconv.Itoa(from + size)
	}
	return out, nil
}

func (s *Sim) update(r *http.Request) (any, error) {
	var in df.Job
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "read job: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(r.PathValue("id"))
	if j == nil {
		return nil, notFound(r.PathValue("id"))
	}
	states := map[string]string{Cancelled: Cancelling, Drained: Draining}
	next := states[in.RequestedState]
	switch {
	case next == "":
		return nil, refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "a job cannot be asked to become %q", in.RequestedState)
	case !j.active():
		return nil, refuse(http.StatusBadRequest, "FAILED_PRECONDITION", "Cannot cancel workflow in terminal state %s", j.view.CurrentState)
	case next == Draining && j.view.Type != "JOB_TYPE_STREAMING":
		return nil, refuse(http.StatusBadRequest, "FAILED_PRECONDITION", "only streaming jobs can be drained")
	}
	j.view.RequestedState, j.view.CurrentState, j.view.CurrentStateTime = in.RequestedState, next, now()
	j.cancel(fmt.Errorf("the job was asked to become %s", in.RequestedState))
	return j.view, nil
}

var importances = []string{
	"JOB_MESSAGE_DEBUG", "JOB_MESSAGE_DETAILED", "JOB_MESSAGE_BASIC", "JOB_MESSAGE_WARNING", "JOB_MESSAGE_ERROR",
}

func (s *Sim) listMessages(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(r.PathValue("id"))
	if j == nil {
		return nil, notFound(r.PathValue("id"))
	}
	least := slices.Index(importances, strings.ToUpper(r.URL.Query().Get("minimumImportance")))
	out := &df.ListJobMessagesResponse{}
	for _, m := range j.messages {
		if slices.Index(importances, m.MessageImportance) >= least {
			out.JobMessages = append(out.JobMessages, m)
		}
	}
	return out, nil
}

func (s *Sim) getMetrics(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(r.PathValue("id"))
	if j == nil {
		return nil, notFound(r.PathValue("id"))
	}
	return &df.JobMetrics{MetricTime: now(), Metrics: j.metrics}, nil
}
