package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is a request as a server got it.
type seen struct {
	Method, URI, Key, Body string
}

// answering serves one answer after the other, the last one for ever, and keeps what it
// was asked.
func answering(t *testing.T, answers ...http.HandlerFunc) (*Client, *[]seen) {
	t.Helper()
	var requests []seen
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests = append(requests, seen{r.Method, r.RequestURI, r.Header.Get(headerKey), string(body)})
		answers[min(len(requests), len(answers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return New(Config{BaseURL: server.URL + "/", Key: "acme_api_1", Poll: time.Millisecond}), &requests
}

func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRunPostsToThePathOfThePipelineWithTheKey(t *testing.T) {
	c, requests := answering(t, answer(200, "application/json",
		`{"pipeline_logging_id":"r1","pipeline_id":"acme-openai-cost-usage_cost","org_slug":"acme","status":"PENDING","message":"m"}`))
	got, err := c.Run(context.Background(), "acme", Pipeline{Provider: "openai", Domain: "cost", Name: "usage_cost"}, RunOptions{StartDate: "2026-08-19", EndDate: "2026-08-20"})
	if err != nil {
		t.Fatal(err)
	}
	want := Started{ID: "r1", PipelineID: "acme-openai-cost-usage_cost", Org: "acme", Status: Pending, Message: "m"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	asked := []seen{{"POST", "/api/v1/pipelines/run/acme/openai/cost/usage_cost", "acme_api_1", `{"start_date":"2026-08-19","end_date":"2026-08-20"}`}}
	if diff := cmp.Diff(asked, *requests); diff != "" {
		t.Error(diff)
	}
}

func TestAPipelineWithoutDomainHasAShorterPath(t *testing.T) {
	c, requests := answering(t, answer(200, "application/json", `{}`))
	if _, err := c.Run(context.Background(), "acme", Pipeline{Provider: "anthropic", Name: "usage_cost"}, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if uri := (*requests)[0].URI; uri != "/api/v1/pipelines/run/acme/anthropic/usage_cost" {
		t.Errorf("asked %s", uri)
	}
}

func TestListSendsOnlyTheFiltersThatAreSet(t *testing.T) {
	c, requests := answering(t, answer(200, "application/json", `[{"pipeline_logging_id":"r1","status":"FAILED"}]`))
	if _, err := c.List(context.Background(), Filter{}); err != nil {
		t.Fatal(err)
	}
	runs, err := c.List(context.Background(), Filter{PipelineID: "a-b", Status: Failed, Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 1 || runs[0].Status != Failed {
		t.Errorf("got %+v", runs)
	}
	uris := []string{(*requests)[0].URI, (*requests)[1].URI}
	if diff := cmp.Diff([]string{"/api/v1/pipelines/runs", "/api/v1/pipelines/runs?limit=3&pipeline_id=a-b&status=FAILED"}, uris); diff != "" {
		t.Error(diff)
	}
}

func TestWaitShowsEveryAnswerUntilTheEnd(t *testing.T) {
	c, _ := answering(t,
		answer(200, "application/json", `{"status":"PENDING"}`), answer(200, "application/json", `{"status":"RUNNING"}`),
		answer(200, "application/json", `{"status":"FAILED","error_code":"STEP_FAILED"}`))
	var states []Status
	run, err := c.Wait(context.Background(), "r1", func(r Run) { states = append(states, r.Status) })
	if err != nil {
		t.Fatal(err)
	}
	if run.Code != "STEP_FAILED" || !cmp.Equal(states, []Status{Pending, Running, Failed}) {
		t.Errorf("run %+v after %v", run, states)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c, _ := answering(t, answer(200, "application/json", `{"status":"RUNNING"}`))
	if _, err := c.Wait(ctx, "r1", func(Run) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestProblemsAreTypedErrors(t *testing.T) {
	problem := `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"date is not a day","instance":"/x","code":"INVALID_PARAMETER","request_id":"q1","errors":[{"loc":"body.date","msg":"write it as YYYY-MM-DD"}]}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   Error
		text   string
	}{
		"a problem document": {
			answer(422, "application/problem+json", problem),
			Error{
				Status: 422, Title: "Unprocessable Entity", Detail: "date is not a day", Instance: "/x", Code: "INVALID_PARAMETER", RequestID: "q1",
				Errors: []FieldError{{Loc: "body.date", Msg: "write it as YYYY-MM-DD"}},
			},
			"GET /api/v1/pipelines/runs/r1: 422 Unprocessable Entity INVALID_PARAMETER: date is not a day; body.date: write it as YYYY-MM-DD",
		},
		"a page of a proxy": {
			answer(502, "text/html", "<html>"), Error{Status: 502, Title: "Bad Gateway"}, "GET /api/v1/pipelines/runs/r1: 502 Bad Gateway",
		},
		"a broken problem document": {
			answer(500, "application/problem+json", `{"detail":"x`), Error{Status: 500, Title: "Internal Server Error"}, "GET /api/v1/pipelines/runs/r1: 500 Internal Server Error",
		},
		"a request to wait": {
			answer(429, "application/problem+json", `{"title":"Too Many Requests"}`),
			Error{Status: 429, Title: "Too Many Requests", RetryAfter: 7 * time.Second},
			"GET /api/v1/pipelines/runs/r1: 429 Too Many Requests",
		},
	} {
		t.Run(name, func(t *testing.T) {
			service, _ := answering(t, c.answer)
			_, err := service.Get(context.Background(), "r1")
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Error() != c.text {
				t.Errorf("text %q, want %q", got.Error(), c.text)
			}
			got.call, got.body = "", nil
			if diff := cmp.Diff(c.want, *got, cmp.AllowUnexported(Error{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBeingUnreadyIsAnAnswer(t *testing.T) {
	c, _ := answering(t, answer(503, "application/json", `{"status":"not_ready","reason":"shutting_down","checks":{"shutdown":false}}`))
	got, err := c.Ready(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != "not_ready" || got.Reason != "shutting_down" || got.Checks["shutdown"] {
		t.Errorf("got %+v", got)
	}
	behindProxy, _ := answering(t, answer(503, "text/plain", "no backend"))
	if _, err := behindProxy.Ready(context.Background()); err == nil {
		t.Error("an answer that is not the service's was taken for one")
	}
}

func TestAnAnswerThatIsNoJSONIsAnError(t *testing.T) {
	c, _ := answering(t, answer(200, "application/json", `{"status":`))
	_, err := c.Get(context.Background(), "r1")
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		t.Errorf("got %v", err)
	}
}
