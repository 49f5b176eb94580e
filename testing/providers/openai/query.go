package openai

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is a checked request to a usage or costs endpoint.
type query struct {
	start, end time.Time
	width      time.Duration
	limit      int
	groupBy    map[string]bool
	filters    map[string][]string // a filter that was not given is absent
	batch      *bool
	binding    [bindingSize]byte
}

const (
	cursorPrefix = "page_"
	bindingSize  = 16
	// latest is the end of the year 9999, the last that dates are written for.
	latest = 253402300799
)

var widths = map[string]time.Duration{"1m": time.Minute, "1h": time.Hour, "1d": 24 * time.Hour}

func (s *Server) parse(e endpoint, o *org, r *http.Request) (query, *apiError) {
	values, failure := readValues(e, r.URL.RawQuery)
	if failure != nil {
		return query{}, failure
	}
	q := query{groupBy: map[string]bool{}, filters: map[string][]string{}, binding: s.bind(e, o, values)}
	for _, step := range []func(endpoint, url.Values) *apiError{q.readTimes(s.config.Clock), q.readSize, q.readGroups, q.readPage} {
		if failure := step(e, values); failure != nil {
			return query{}, failure
		}
	}
	return q, nil
}

// readValues checks the names. An array may be sent as name=a&name=b or as
// name[]=a: the provider documents neither, and both are in use.
func readValues(e endpoint, raw string) (url.Values, *apiError) {
	sent, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badParameter("query", "The query string can not be read.")
	}
	scalars := []string{"start_time", "end_time", "bucket_width", "limit", "page"}
	if e.batch {
		scalars = append(scalars, "batch")
	}
	arrays := with(e.filters, "group_by")
	values := url.Values{}
	for name, list := range sent {
		plain := strings.TrimSuffix(name, "[]")
		switch {
		case slices.Contains(arrays, plain):
			values[plain] = append(values[plain], list...)
		case !slices.Contains(scalars, name):
			return nil, badParameter(name, "Unknown parameter: '%s'.", name)
		case len(list) > 1:
			return nil, badParameter(name, "Parameter '%s' was given %d times.", name, len(list))
		default:
			values[name] = list
		}
	}
	return values, nil
}

func (q *query) readTimes(clock func() time.Time) func(endpoint, url.Values) *apiError {
	return func(_ endpoint, values url.Values) *apiError {
		if !values.Has("start_time") {
			return badParameter("start_time", "Missing required parameter: 'start_time'.")
		}
		for name, target := range map[string]*time.Time{"start_time": &q.start, "end_time": &q.end} {
			if !values.Has(name) {
				continue
			}
			seconds, err := strconv.ParseInt(values.Get(name), 10, 64)
			if err != nil || seconds < 0 || seconds > latest {
				return badParameter(name, "Invalid '%s': expected Unix seconds, got '%s'.", name, values.Get(name))
			}
			*target = time.Unix(seconds, 0).UTC()
		}
		if !values.Has("end_time") {
			q.end = clock().UTC().Truncate(time.Second)
			return nil
		}
		if !q.end.After(q.start) {
			return badParameter("end_time", "Invalid 'end_time': it must be after 'start_time'.")
		}
		return nil
	}
}

func (q *query) readSize(e endpoint, values url.Values) *apiError {
	width := "1d"
	if values.Has("bucket_width") {
		width = values.Get("bucket_width")
	}
	allowed, ok := e.widths[width]
	if !ok {
		return badParameter("bucket_width", "Invalid 'bucket_width': '%s' is not supported here.", width)
	}
	q.width, q.limit = widths[width], allowed.standard
	if values.Has("limit") {
		limit, err := strconv.Atoi(values.Get("limit"))
		if err != nil || limit < 1 || limit > allowed.most {
			return badParameter("limit", "Invalid 'limit': expected an integer from 1 to %d for bucket_width %s, got '%s'.", allowed.most, width, values.Get("limit"))
		}
		q.limit = limit
	}
	if values.Has("batch") {
		batch, err := strconv.ParseBool(values.Get("batch"))
		if err != nil {
			return badParameter("batch", "Invalid 'batch': expected true or false, got '%s'.", values.Get("batch"))
		}
		q.batch = &batch
	}
	return nil
}

func (q *query) readGroups(e endpoint, values url.Values) *apiError {
	for _, name := range values["group_by"] {
		if !slices.Contains(e.groupBy, name) {
			return badParameter("group_by", "Invalid 'group_by': '%s' is not one of %s.", name, strings.Join(e.groupBy, ", "))
		}
		q.groupBy[name] = true
	}
	for _, name := range e.filters {
		if values.Has(name) {
			q.filters[name] = values[name]
		}
	}
	return nil
}

// bind is a digest of everything that decides the sequence of buckets. The
// limit does not: a reader may go on with smaller pages.
func (s *Server) bind(e endpoint, o *org, values url.Values) [bindingSize]byte {
	bound := url.Values{}
	for name, list := range values {
		if name != "page" && name != "limit" {
			bound[name] = slices.Sorted(slices.Values(list))
		}
	}
	text := strconv.FormatUint(s.config.Seed, 10) + "\x00" + o.name + "\x00" + e.path + "\x00" + bound.Encode()
	sum := sha256.Sum256([]byte(text))
	return [bindingSize]byte(sum[:bindingSize])
}

func (q *query) cursor(next time.Time) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(next.Unix()))
	return cursorPrefix + base64.URLEncoding.EncodeToString(append(text, q.binding[:]...))
}

func (q *query) readPage(_ endpoint, values url.Values) *apiError {
	if !values.Has("page") {
		return nil
	}
	invalid := badParameter("page", "Invalid 'page': the cursor is not one of this query.")
	encoded, ok := strings.CutPrefix(values.Get("page"), cursorPrefix)
	if !ok {
		return invalid
	}
	text, err := base64.URLEncoding.DecodeString(encoded)
	if err != nil || len(text) != 8+bindingSize || [bindingSize]byte(text[8:]) != q.binding {
		return invalid
	}
	next := time.Unix(int64(binary.BigEndian.Uint64(text)), 0).UTC()
	if next.Before(q.start) {
		return invalid
	}
	q.start = next
	return nil
}

// keeps tells whether a request passes the filters.
func (q *query) keeps(r Request) bool {
	for name, value := range map[string]string{"project_ids": r.ProjectID, "user_ids": r.UserID, "api_key_ids": r.APIKeyID, "models": r.Model} {
		if wanted, given := q.filters[name]; given && !slices.Contains(wanted, value) {
			return false
		}
	}
	return q.batch == nil || *q.batch == r.Batch
}
