package bigquery

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

func (s *Server) routeJobs(mux *http.ServeMux) {
	s.handle(mux, "jobs.insert", "POST "+apiRoot+"/jobs", s.insertJob)
	s.handle(mux, "jobs.list", "GET "+apiRoot+"/jobs", s.listJobs)
	s.handle(mux, "jobs.get", "GET "+apiRoot+"/jobs/{job}", s.getJob)
	s.handle(mux, "jobs.cancel", "POST "+apiRoot+"/jobs/{job}/cancel", s.cancelJob)
}

func (s *Server) insertJob(r *http.Request) (any, error) {
	sub := submission{}
	if err := readJSON(r, &sub); err != nil {
		return nil, err
	}
	run, err := s.submit(r.Context(), r.PathValue("project"), sub)
	if err != nil {
		return nil, err
	}
	return linked(r, run.visible()), nil
}

func linked(r *http.Request, job *wire.Job) *wire.Job {
	job.Local = nil
	job.SelfLink = selfLink(r, apiPath(job.JobReference.ProjectID)+"/jobs/"+job.JobReference.JobID+"?location="+job.JobReference.Location)
	return job
}

func pathJob(r *http.Request) wire.JobReference {
	return wire.JobReference{ProjectID: r.PathValue("project"), JobID: r.PathValue("job"), Location: r.URL.Query().Get("location")}
}

// findJob returns a job that has ended, or what is known of one that runs.
func (s *Server) findJob(r *http.Request, ref wire.JobReference) (*wire.Job, error) {
	if run := s.jobs.find(ref); run != nil && !run.hold.over() {
		return run.copyShown(), nil
	} else if run != nil && run.hold != nil {
		<-run.done
	}
	return catalog.Job(r.Context(), s.db, ref)
}

func (s *Server) getJob(r *http.Request) (any, error) {
	job, err := s.findJob(r, pathJob(r))
	if err != nil {
		return nil, err
	}
	return linked(r, job), nil
}

type cancelResponse struct {
	Kind string    `json:"kind"`
	Job  *wire.Job `json:"job"`
}

// cancelJob asks a job to stop; the job's end is for the client to see.
func (s *Server) cancelJob(r *http.Request) (any, error) {
	ref := pathJob(r)
	if run := s.jobs.find(ref); run != nil {
		run.cancel()
		return cancelResponse{Kind: "bigquery#jobCancelResponse", Job: linked(r, run.copyShown())}, nil
	}
	job, err := catalog.Job(r.Context(), s.db, ref)
	if err != nil {
		return nil, err
	}
	return cancelResponse{Kind: "bigquery#jobCancelResponse", Job: linked(r, job)}, nil
}

type jobList struct {
	Kind          string    `json:"kind"`
	Jobs          []jobItem `json:"jobs,omitempty"`
	NextPageToken string    `json:"nextPageToken,omitempty"`
}

type jobItem struct {
	*wire.Job
	State       string           `json:"state"`
	ErrorResult *wire.ErrorProto `json:"errorResult,omitempty"`
}

const defaultJobPage = 50

func (s *Server) listJobs(r *http.Request) (any, error) {
	p, err := readPage(r)
	if err != nil {
		return nil, err
	}
	if p.limit <= 0 {
		p.limit = defaultJobPage
	}
	q := r.URL.Query()
	f := catalog.JobFilter{
		Project: r.PathValue("project"), Parent: q.Get("parentJobId"), States: q["stateFilter"],
		Offset: int(p.start), MaxCount: int(p.limit) + 1,
	}
	for name, target := range map[string]*int64{"minCreationTime": &f.MinTime, "maxCreationTime": &f.MaxTime} {
		if text := strings.TrimSpace(q.Get(name)); text != "" {
			if *target, err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, wire.Invalid("Invalid value for %s: %s", name, text)
			}
		}
	}
	jobs, err := catalog.Jobs(r.Context(), s.db, f)
	if err != nil {
		return nil, err
	}
	out := &jobList{Kind: "bigquery#jobList"}
	if int64(len(jobs)) > p.limit {
		jobs = jobs[:p.limit]
		out.NextPageToken = pageToken(p.start + p.limit)
	}
	for _, job := range jobs {
		out.Jobs = append(out.Jobs, jobItem{Job: linked(r, job), State: job.Status.State, ErrorResult: job.Status.ErrorResult})
	}
	return out, nil
}
