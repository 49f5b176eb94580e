package bigquery

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/wire"
)

// sessionLife is how long an unfinished resumable upload is kept.
const sessionLife = time.Hour

// uploads are the resumable uploads that have begun.
type uploads struct {
	mu       sync.Mutex
	sessions map[string]*uploadSession
}

// uploadSession collects the bytes of one resumable upload. A chunk that is
// sent again is taken once; the last chunk sent again is answered again.
type uploadSession struct {
	mu      sync.Mutex
	project string
	sub     submission
	data    []byte
	touched time.Time
	done    bool
	job     *wire.Job
	err     error
}

func newUploads() *uploads { return &uploads{sessions: map[string]*uploadSession{}} }

func (u *uploads) add(session *uploadSession) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, old := range u.sessions {
		if session.touched.Sub(old.touched) > sessionLife {
			delete(u.sessions, id)
		}
	}
	id := rand.Text()
	u.sessions[id] = session
	return id
}

func (u *uploads) find(id string) *uploadSession {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sessions[id]
}

func (s *Server) routeUploads(mux *http.ServeMux) {
	around := s.cfg.Faults.around(methodUpload, s.upload)
	upload := func(w http.ResponseWriter, r *http.Request) {
		// A chunk is about the job that its upload began with.
		if session := s.uploads.find(r.URL.Query().Get("upload_id")); session != nil {
			r.SetPathValue("job", session.sub.JobReference.JobID)
		}
		around(w, r)
	}
	for _, root := range []string{uploadRoot, "/resumable" + uploadRoot} {
		mux.HandleFunc("POST "+root+"/jobs", upload)
		mux.HandleFunc("PUT "+root+"/jobs", upload)
	}
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case q.Get("upload_id") != "":
		s.uploadChunk(w, r)
	case q.Get("uploadType") == "multipart":
		body, err := s.uploadMultipart(r)
		s.answer(w, r, body, err)
	case q.Get("uploadType") == "resumable":
		s.beginUpload(w, r)
	default:
		s.answer(w, r, nil, wire.NotImplemented("uploadType "+q.Get("uploadType")))
	}
}

// uploadMultipart reads the job and the data from one multipart/related body.
func (s *Server) uploadMultipart(r *http.Request) (any, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, wire.Invalid("Multipart upload needs a multipart/related body, not %q", r.Header.Get("Content-Type"))
	}
	reader := multipart.NewReader(r.Body, params["boundary"])
	sub := submission{}
	for part := 0; part < 2; part++ {
		p, err := reader.NextRawPart()
		if err != nil {
			return nil, wire.Invalid("Reading part %d of the multipart body: %v", part+1, err)
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return nil, wire.Invalid("Reading part %d of the multipart body: %v", part+1, err)
		}
		if part == 1 {
			sub.data = data
			break
		}
		if err := decodeJSON(data, &sub); err != nil {
			return nil, err
		}
	}
	run, err := s.submit(r.Context(), r.PathValue("project"), sub)
	if err != nil {
		return nil, err
	}
	return linked(r, run.visible()), nil
}

func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request) {
	session := &uploadSession{project: r.PathValue("project"), touched: s.cfg.Clock()}
	if err := readJSON(r, &session.sub); err != nil {
		s.answer(w, r, nil, err)
		return
	}
	id := s.uploads.add(session)
	w.Header().Set("Location", selfLink(r, r.URL.Path+"?uploadType=resumable&upload_id="+id))
	w.Header().Set("X-Guploader-Uploadid", id)
	w.WriteHeader(http.StatusOK)
}

// uploadChunk takes one chunk; the last one runs the job.
func (s *Server) uploadChunk(w http.ResponseWriter, r *http.Request) {
	session := s.uploads.find(r.URL.Query().Get("upload_id"))
	if session == nil {
		s.answer(w, r, nil, &wire.Error{HTTPStatus: http.StatusNotFound, Reason: wire.ReasonNotFound, Message: "Not found: Upload session"})
		return
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	session.touched = s.cfg.Clock()
	if !session.done {
		last, err := session.take(r)
		if err != nil {
			s.answer(w, r, nil, err)
			return
		}
		if !last {
			continueUpload(w, r, len(session.data))
			return
		}
		s.finishUpload(r, session)
	}
	if session.err != nil {
		s.answer(w, r, nil, session.err)
		return
	}
	s.answer(w, r, linked(r, session.job), nil)
}

func (s *Server) finishUpload(r *http.Request, session *uploadSession) {
	session.sub.data = session.data
	run, err := s.submit(r.Context(), session.project, session.sub)
	session.done, session.err = true, err
	if err == nil {
		session.job = run.visible()
	}
	session.data, session.sub.data = nil, nil
}

// continueUpload asks for the next chunk; clients that cannot see a 308 get it
// in a header.
func continueUpload(w http.ResponseWriter, r *http.Request, received int) {
	if received > 0 {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", received-1))
	}
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		w.Header().Set("X-Http-Status-Code-Override", "308")
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

// take appends the bytes of a chunk that are new and reports whether the
// upload is complete.
func (u *uploadSession) take(r *http.Request) (last bool, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false, &wire.Error{HTTPStatus: http.StatusServiceUnavailable, Reason: wire.ReasonBackendError, Message: "Reading the chunk: " + err.Error()}
	}
	header := r.Header.Get("Content-Range")
	if header == "" {
		u.data = append(u.data[:0], body...)
		return true, nil
	}
	span, total, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	if !ok {
		return false, wire.Invalid("Invalid Content-Range: %s", header)
	}
	size := int64(-1)
	if total != "*" {
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return false, wire.Invalid("Invalid Content-Range: %s", header)
		}
	}
	if span != "*" {
		start, err := strconv.ParseInt(strings.Split(span, "-")[0], 10, 64)
		if err != nil || start > int64(len(u.data)) {
			return false, wire.Invalid("Invalid Content-Range: %s after %d bytes", header, len(u.data))
		}
		u.data = append(u.data[:start], body...)
	}
	if size >= 0 && int64(len(u.data)) > size {
		return false, wire.Invalid("Invalid Content-Range: %s after %d bytes", header, len(u.data))
	}
	return size >= 0 && int64(len(u.data)) == size, nil
}

// UnmarshalJSON keeps a submission's configuration as the client sent it.
func (s *submission) UnmarshalJSON(text []byte) error {
	var body struct {
		Configuration map[string]any    `json:"configuration"`
		JobReference  wire.JobReference `json:"jobReference"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return err
	}
	s.Configuration, s.JobReference = body.Configuration, body.JobReference
	if s.Configuration == nil {
		s.Configuration = map[string]any{}
	}
	return nil
}
