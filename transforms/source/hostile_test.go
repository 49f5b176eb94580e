package source_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

// fetchFrom runs generic.api_extractor with a credential and cursor paging.
func fetchFrom(t *testing.T, url string) []row.Page {
	t.Helper()
	return job{processor: "api_extractor", config: map[string]any{
		"url": url, "auth": map[string]any{"provider": "VENDOR_API"}, "pagination": map[string]any{"type": "cursor", "response_path": "next"},
	}}.run(t)
}

// answers serves one body after the other, the last for ever, and counts requests.
func answers(t *testing.T, bodies ...string) (*httptest.Server, *atomic.Int64) {
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(hits.Add(1))
		io.WriteString(w, bodies[min(n, len(bodies))-1])
	}))
	t.Cleanup(server.Close)
	return server, &hits
}

func TestRetryAfterIsReadInBothFormsAndOnlyWhenItMakesSense(t *testing.T) {
	now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": -1, "-5": -1, "soon": -1, "1.5": -1, "Sat, 01 Mar 2025 11:59:00 GMT": -1,
		"0": 0, "7": 7 * time.Second, " 30 ": 30 * time.Second,
		"Sat, 01 Mar 2025 12:00:20 GMT": 20 * time.Second, "Saturday, 01-Mar-25 12:00:20 GMT": 20 * time.Second,
		"999999999": 999999999 * time.Second, "99999999999999999999999": (1 << 32) * time.Second,
	} {
		wait, asked := source.RetryAfter(header, now)
		if asked != (want >= 0) || asked && wait != want {
			t.Errorf("Retry-After %q: %s, %t; want %s", header, wait, asked, want)
		}
	}
}

func TestAnAbsurdRetryAfterFailsAtOnceAndSaysSo(t *testing.T) {
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Retry-After", "999999999")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	wantFailure(t, fetchFrom(t, server.URL), "RATE_LIMITED", "asks to wait", "more than the 1m0s")
	if hits.Load() != 1 {
		t.Errorf("%d requests, want 1", hits.Load())
	}
}

func TestARequestGivesUpAfterItsRetriesWithTheLastAnswer(t *testing.T) {
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprintf(w, "attempt %d %s", hits.Add(1), strings.Repeat("x", 5000))
	}))
	defer server.Close()
	pages := fetchFrom(t, server.URL)
	wantFailure(t, pages, "HTTP_STATUS", "answered 502", "attempt 4")
	if pages[0].Requests != 4 || hits.Load() != 4 {
		t.Errorf("%d requests, %d on the page; want 4", hits.Load(), pages[0].Requests)
	}
	if n := len(pages[0].Failure.Message); n > 500 {
		t.Errorf("the message has %d bytes", n)
	}
}

func TestAStatusThatWillNotPassIsNotRepeated(t *testing.T) {
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	wantFailure(t, fetchFrom(t, server.URL), "HTTP_STATUS", "answered 403")
	if hits.Load() != 1 {
		t.Errorf("%d requests, want 1", hits.Load())
	}
}

func TestARepeatedCursorIsALoop(t *testing.T) {
	server, hits := answers(t, `{"data":[1],"next":"a"}`, `{"data":[2],"next":"b"}`, `{"data":[3],"next":"a"}`)
	wantFailure(t, fetchFrom(t, server.URL), "CURSOR_LOOP", "page 2 leads back")
	if hits.Load() != 3 {
		t.Errorf("%d requests, want 3", hits.Load())
	}
}

func TestPagesAndBodiesAreBounded(t *testing.T) {
	t.Cleanup(source.Bound(200, 2))
	t.Run("pages", func(t *testing.T) {
		server, _ := answers(t, `{"data":[1],"next":"a"}`, `{"data":[1],"next":"b"}`, `{"data":[1]}`)
		wantFailure(t, fetchFrom(t, server.URL), "TOO_MANY_PAGES", "more than 2 pages")
	})
	t.Run("body", func(t *testing.T) {
		server, _ := answers(t, `{"data":["`+strings.Repeat("x", 300)+`"]}`)
		wantFailure(t, fetchFrom(t, server.URL), "BODY_TOO_LARGE", "more than 200 bytes")
	})
}

func TestATruncatedAnswerIsRepeated(t *testing.T) {
	breaks := map[string]func(w http.ResponseWriter){
		"shorter than its length": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"data":[1]}`)
		},
		"chunked and aborted after whole JSON": func(w http.ResponseWriter) {
			io.WriteString(w, `{"data":[1]}`)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"half of its JSON":      func(w http.ResponseWriter) { io.WriteString(w, `{"data":[1`) },
		"empty":                 func(http.ResponseWriter) {},
		"no answer on the line": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	}
	for name, broken := range breaks {
		t.Run(name, func(t *testing.T) {
			var hits atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if hits.Add(1) == 1 {
					broken(w)
					return
				}
				io.WriteString(w, `{"data":[1,2]}`)
			}))
			defer server.Close()
			pages := fetchFrom(t, server.URL)
			if len(pages) != 1 || pages[0].Failure != nil || len(pages[0].Rows) != 2 {
				t.Fatalf("pages %+v", pages)
			}
		})
	}
}

func TestBodiesThatAreNotOneValidJSONValueFail(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for name, body := range map[string]string{
		"duplicate name in a record":  `{"data":[{"a":1,"a":2}]}`,
		"duplicate name at the top":   `{"data":[1],"data":[2]}`,
		"trailing bytes":              `{"data":[1]} <html>`,
		"two values":                  `{"data":[1]}{"data":[2]}`,
		"invalid UTF-8":               "{\"data\":[\"\xff\"]}",
		"deep nesting":                `{"data":` + deep + `}`,
		"a cursor that is no scalar":  `{"data":[1],"next":{"a":1}}`,
		"has_more that is no boolean": `{"data":[1],"has_more":"yes"}`,
	} {
		t.Run(name, func(t *testing.T) {
			server, hits := answers(t, body)
			pages := fetchFrom(t, server.URL)
			wantFailure(t, pages, "BAD_PAYLOAD")
			if len(pages[0].Rows) != 0 || hits.Load() != 1 {
				t.Errorf("%d rows after %d requests", len(pages[0].Rows), hits.Load())
			}
		})
	}
}

func TestARedirectToAnotherOriginIsRefusedAndCarriesNothing(t *testing.T) {
	var reached atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	wantFailure(t, fetchFrom(t, server.URL), "BLOCKED_REDIRECT", "must stay on the origin")
	if reached.Load() != 0 {
		t.Errorf("the other host got %d requests", reached.Load())
	}
}

func TestARedirectOnTheOriginKeepsTheCredential(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/moved" {
			http.Redirect(w, r, "/moved", http.StatusFound)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+canary {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		io.WriteString(w, `{"data":[1]}`)
	}))
	defer server.Close()
	if pages := fetchFrom(t, server.URL); len(pages) != 1 || pages[0].Failure != nil {
		t.Errorf("pages %+v", pages)
	}
}

func TestTheStrictGuardReachesPublicHTTPSOnly(t *testing.T) {
	source.UseGuard(source.Guard{})
	t.Cleanup(func() { source.UseGuard(source.Guard{AllowLoopback: true}) })
	for _, url := range []string{
		"http://127.0.0.1:9/", "https://127.0.0.1:9/", "https://localhost:9/", "https://[::1]:9/", "https://[::ffff:127.0.0.1]:9/",
		"https://169.254.169.254/latest", "https://10.0.0.1/", "https://192.168.1.1/", "https://[fd00:ec2::254]/", "https://0.0.0.0/", "http://example.com/",
	} {
		t.Run(url, func(t *testing.T) { wantFailure(t, fetchFrom(t, url), "BLOCKED_ADDRESS") })
	}
}

func TestPlainHTTPGoesToLoopbackOnlyAlsoInDevelopment(t *testing.T) {
	for _, url := range []string{"http://example.com/", "http://10.0.0.1/"} {
		wantFailure(t, fetchFrom(t, url), "BLOCKED_ADDRESS", "only https is allowed")
	}
}

func TestOnlyPublicAddressesMayBeDialled(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "104.18.7.192": true, "2606:4700::6812:7c0": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::": false, "::1": false, "::ffff:10.0.0.1": false, "::10.0.0.1": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"ff02::1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:db8::1": false,
	} {
		if got := source.IsPublic(address); got != want {
			t.Errorf("%s: public %t, want %t", address, got, want)
		}
	}
}
