package anthropic

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

	"github.com/cloudact/convergence/testing/providers/faults"
)

type bounds struct {
	width          time.Duration
	standard, most int
}

// reportSpec is the contract of one report.
type reportSpec struct {
	path    string
	widths  map[string]bounds
	groupBy []string
	filters map[string]string // array parameter to dimension
	results func(*Server, []Request, query) ([]any, error)
}

var usageReport = reportSpec{
	path:   "usage_report/messages",
	widths: map[string]bounds{"1d": {24 * time.Hour, 7, 31}, "1h": {time.Hour, 24, 168}, "1m": {time.Minute, 60, 1440}},
	groupBy: []string{
		"account_id", "api_key_id", "context_window", "inference_geo", "model", "service_account_id", "service_tier", "speed", "workspace_id",
	},
	filters: map[string]string{
		"account_ids": "account_id", "api_key_ids": "api_key_id", "workspace_ids": "workspace_id", "models": "model",
		"service_account_ids": "service_account_id", "service_tiers": "service_tier", "context_window": "context_window",
		"inference_geos": "inference_geo", "speeds": "speed",
	},
	results: usageResults,
}

var costReport = reportSpec{
	path: "cost_report", widths: map[string]bounds{"1d": {24 * time.Hour, 7, 31}},
	groupBy: []string{"description", "workspace_id"}, results: costResults,
}

// speedBeta is the header that opens the dimension speed.
const speedBeta = "fast-mode-2026-02-01"

// tooManyGroups is the number of dimensions that a full page is refused with.
const tooManyGroups = 8

var knownParameters = func() map[string]bool {
	known := map[string]bool{"group_by": true, "after_id": true}
	for _, name := range []string{"starting_at", "ending_at", "bucket_width", "limit", "page"} {
		known[name] = true
	}
	for name := range usageReport.filters {
		known[name] = true
	}
	return known
}()

// query is a checked request for a report.
type query struct {
	start, end time.Time
	width      time.Duration
	limit      int
	groupBy    map[string]bool
	filters    map[string][]string // by dimension
	binding    []byte
}

type bucket struct {
	StartingAt string `json:"starting_at"`
	EndingAt   string `json:"ending_at"`
	Results    []any  `json:"results"`
}

type page struct {
	Data     []bucket `json:"data"`
	HasMore  bool     `json:"has_more"`
	NextPage *string  `json:"next_page"`
}

// report serves one page: one bucket per interval, oldest first, empty ones included.
func (s *Server) report(spec reportSpec) func(*org, *http.Request) (any, *apiError) {
	return func(o *org, r *http.Request) (any, *apiError) {
		q, failure := s.parse(spec, o, r)
		if failure != nil {
			return nil, failure
		}
		faults.Pause(r.Context(), s.config.PageDelay)
		answer := page{Data: []bucket{}}
		at := q.start
		for ; at.Before(q.end) && len(answer.Data) < q.limit; at = at.Add(q.width) {
			var kept []Request
			for _, request := range s.between(o, at, at.Add(q.width)) {
				if q.keeps(request) {
					kept = append(kept, request)
				}
			}
			results, err := spec.results(s, kept, q)
			if err != nil {
				return nil, &apiError{http.StatusInternalServerError, "api_error", err.Error()}
			}
			answer.Data = append(answer.Data, bucket{at.Format(time.RFC3339), at.Add(q.width).Format(time.RFC3339), append([]any{}, results...)})
		}
		if at.Before(q.end) {
			cursor := q.cursor(at)
			answer.HasMore, answer.NextPage = true, &cursor
		}
		return answer, nil
	}
}

func (s *Server) parse(spec reportSpec, o *org, r *http.Request) (query, *apiError) {
	q := query{groupBy: map[string]bool{}, filters: map[string][]string{}}
	sent, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, badRequest("The query string can not be read.")
	}
	fast := strings.Contains(r.Header.Get("anthropic-beta"), speedBeta)
	bound := url.Values{}
	for name, list := range sent {
		plain, array := strings.CutSuffix(name, "[]")
		dimension, filter := spec.filters[plain]
		switch {
		case array && (plain == "group_by" || filter):
		case !array && len(list) == 1 && slices.Contains([]string{"starting_at", "ending_at", "bucket_width", "limit", "page"}, name):
		default:
			return q, badRequest("%s: Extra inputs are not permitted", name)
		}
		if plain == "group_by" {
			for _, g := range list {
				if !slices.Contains(spec.groupBy, g) || g == "speed" && !fast {
					return q, badRequest("group_by: Input should be one of %s", strings.Join(spec.groupBy, ", "))
				}
				q.groupBy[g] = true
			}
		} else if filter {
			q.filters[dimension] = list
		}
		if name != "page" && name != "limit" {
			bound[name] = slices.Sorted(slices.Values(list))
		}
	}
	digest := sha256.Sum256([]byte(strconv.FormatUint(s.config.Seed, 10) + "\x00" + o.name + "\x00" + spec.path + "\x00" + bound.Encode()))
	q.binding = digest[:16]
	return q, q.read(spec, sent, s.config.Clock())
}

// read takes the times, the size and the position.
func (q *query) read(spec reportSpec, sent url.Values, now time.Time) *apiError {
	name := sent.Get("bucket_width")
	if name == "" {
		name = "1d"
	}
	b, ok := spec.widths[name]
	if !ok {
		return badRequest("bucket_width: Input should be a width of this report")
	}
	q.width, q.limit, q.end = b.width, b.standard, now
	start, err := time.Parse(time.RFC3339, sent.Get("starting_at"))
	if err != nil {
		return badRequest("starting_at: Input should be a valid RFC 3339 datetime")
	}
	q.start = start.UTC().Truncate(b.width)
	if text := sent.Get("ending_at"); text != "" {
		if q.end, err = time.Parse(time.RFC3339, text); err != nil || !q.end.After(start) {
			return badRequest("ending_at: Input should be a valid RFC 3339 datetime after starting_at")
		}
	}
	if text := sent.Get("limit"); text != "" {
		if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 || q.limit > b.most {
			return badRequest("limit: Input should be an integer from 1 to %d for bucket_width %s", b.most, name)
		}
	}
	if len(q.groupBy) >= tooManyGroups && q.limit == b.most {
		return badRequest("The report is too large: ask for smaller pages")
	}
	if text := sent.Get("page"); text != "" {
		raw, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(text, "page_"))
		if err != nil || len(raw) != 24 || string(raw[8:]) != string(q.binding) {
			return badRequest("page: Input is not a page of this query")
		}
		q.start = time.Unix(int64(binary.BigEndian.Uint64(raw)), 0).UTC()
	}
	return nil
}

func (q *query) cursor(next time.Time) string {
	return "page_" + base64.URLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(next.Unix())), q.binding...))
}

// dimensions are those of a request, by name; the simulator has one speed.
func (r Request) dimension(name string) string {
	switch name {
	case "account_id":
		return r.AccountID
	case "api_key_id":
		return r.APIKeyID
	case "context_window":
		return r.contextWindow()
	case "inference_geo":
		return r.InferenceGeo
	case "model":
		return r.Model
	case "service_account_id":
		return r.ServiceAccount
	case "service_tier":
		return r.ServiceTier
	case "speed":
		return "standard"
	case "workspace_id":
		return r.WorkspaceID
	}
	return ""
}

func (q *query) keeps(r Request) bool {
	for dimension, wanted := range q.filters {
		if !slices.Contains(wanted, r.dimension(dimension)) {
			return false
		}
	}
	return true
}
