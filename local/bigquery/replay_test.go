package bigquery_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudact/convergence/local/bigquery"
)

// recording is one call to the real service and what it answered.
type recording struct {
	Method     string
	URL        string
	MediaType  string              `json:"media_type"`
	ReqHeaders map[string][]string `json:"req_headers"`
	ReqParts   []json.RawMessage   `json:"req_parts"`
	Status     int
	Resp       recordedAnswer
}

type recordedAnswer struct {
	Etag  string
	Error *struct {
		Message string
		Errors  []struct{ Reason string }
	}
	Status *struct {
		State       string
		ErrorResult *struct{ Reason string }
	}
	TotalRows          string
	Rows               json.RawMessage
	NumDmlAffectedRows string
}

// unsupported recordings name what this server does not do.
func unsupported(r recording) bool {
	text := fmt.Sprintf("%s %s", r.URL, r.ReqParts)
	for _, part := range []string{`"copy"`, `"extract"`, `sourceUris`, `useLegacySql": true`, `useLegacySql":true`, `legacySQL`, "bigquery-public-data", "CREATE MODEL", "CREATE FUNCTION", "CREATE PROCEDURE", "tableDefinitions", "materializedView", "encryptionConfiguration", "externalDataConfiguration", "GEOGRAPHY", "tokyo"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func TestRecordedCallsAreAnsweredAsTheServiceDid(t *testing.T) {
	recorded := time.UnixMilli(1572287707444)
	url := bigquery.RunConfigT(t, bigquery.Config{Clock: func() time.Time { return recorded }})
	file, err := os.Open("testdata/replay/replay.jsonl")
	must(t, err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	etags := map[string]string{}
	compared, same, skipped := 0, 0, 0
	unmade := map[string]bool{}
	lastJob := ""
	for number := 1; lines.Scan(); number++ {
		var r recording
		must(t, json.Unmarshal(lines.Bytes(), &r))
		if _, rest, ok := strings.Cut(r.URL, "/queries/"); ok {
			lastJob, _, _ = strings.Cut(rest, "?")
		}
		if strings.Contains(r.URL, "/datasets/_") {
			// The client read a result from its anonymous table; here it is
			// the job's own.
			r.URL = "/bigquery/v2/projects/shollyman-demo-test/queries/" + lastJob + "?startIndex=0"
		}
		if unsupported(r) || mentions(r, unmade) {
			skipped++
			remember(r, unmade)
			continue
		}
		status, got := replay(t, url, r, etags)
		if r.Resp.Etag != "" {
			etags[r.Resp.Etag] = got.Etag
		}
		compared++
		if difference := compare(t, r, status, got); difference != "" {
			if knownDifferences[number] != "" {
				continue
			}
			t.Errorf("line %d: %s %s: %s", number, r.Method, r.URL, difference)
			continue
		}
		if knownDifferences[number] != "" {
			t.Errorf("line %d is listed as a known difference and is the same", number)
		}
		same++
	}
	must(t, lines.Err())
	t.Logf("%d compared, %d the same, %d skipped", compared, same, skipped)
	if same < leastSame {
		t.Fatalf("only %d calls are the same, there were %d", same, leastSame)
	}
}

// remember notes the job or table of a skipped call: calls about it are
// skipped too.
func remember(r recording, skipped map[string]bool) {
	for _, part := range r.ReqParts {
		var body struct {
			JobReference   struct{ JobID string }
			TableReference struct{ TableID string }
		}
		if json.Unmarshal(part, &body) != nil {
			continue
		}
		for _, id := range []string{body.JobReference.JobID, body.TableReference.TableID} {
			if id != "" {
				skipped[id] = true
			}
		}
	}
}

func mentions(r recording, skipped map[string]bool) bool {
	text := fmt.Sprintf("%s %s", r.URL, r.ReqParts)
	for id := range skipped {
		if strings.Contains(text, id) {
			return true
		}
	}
	return false
}

func replay(t *testing.T, base string, r recording, etags map[string]string) (int, recordedAnswer) {
	t.Helper()
	body, kind := requestBody(t, r)
	path := r.URL
	if !strings.HasPrefix(path, "/upload") && !strings.HasPrefix(path, "/bigquery") {
		path = "/bigquery" + path
	}
	request, err := http.NewRequestWithContext(t.Context(), r.Method, base+path, body)
	must(t, err)
	request.Header.Set("Content-Type", kind)
	if tags := r.ReqHeaders["If-Match"]; len(tags) > 0 {
		tag := tags[0]
		if ours, ok := etags[tag]; ok {
			tag = ours
		}
		request.Header.Set("If-Match", tag)
	}
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	var got recordedAnswer
	if len(text) > 0 {
		must(t, json.Unmarshal(text, &got))
	}
	return response.StatusCode, got
}

func requestBody(t *testing.T, r recording) (io.Reader, string) {
	t.Helper()
	if r.MediaType != "multipart/related" {
		if len(r.ReqParts) == 0 || string(r.ReqParts[0]) == `""` {
			return http.NoBody, "application/json"
		}
		return bytes.NewReader(r.ReqParts[0]), "application/json"
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, part := range r.ReqParts {
		kind := "application/json"
		if i > 0 {
			kind = "text/plain"
			var text string
			if json.Unmarshal(part, &text) == nil {
				part = json.RawMessage(text)
			}
		}
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {kind}})
		must(t, err)
		_, err = p.Write(part)
		must(t, err)
	}
	must(t, w.Close())
	return &b, "multipart/related; boundary=" + w.Boundary()
}

// compare says how an answer differs in status, reason, rows or job outcome.
func compare(t *testing.T, r recording, status int, got recordedAnswer) string {
	wantStatus := r.Status
	if status/100 == 2 && wantStatus/100 == 2 {
		wantStatus = status // 200 and 204 are the same to every client
	}
	message := ""
	if got.Error != nil {
		message = got.Error.Message
	}
	switch {
	case status != wantStatus:
		return fmt.Sprintf("status %d %q, want %d", status, message, r.Status)
	case r.Resp.Error != nil && (got.Error == nil || got.Error.Errors[0].Reason != r.Resp.Error.Errors[0].Reason):
		return fmt.Sprintf("got %q, want reason %s", message, r.Resp.Error.Errors[0].Reason)
	case r.Resp.Error != nil && got.Error.Message != r.Resp.Error.Message:
		return fmt.Sprintf("got %q, want %q", message, r.Resp.Error.Message)
	// Rows that were just streamed were not counted yet by the service.
	case r.Resp.TotalRows != got.TotalRows && r.Resp.TotalRows != "" && r.Resp.TotalRows != "0":
		return fmt.Sprintf("%s rows, want %s", got.TotalRows, r.Resp.TotalRows)
	case r.Resp.NumDmlAffectedRows != got.NumDmlAffectedRows:
		return fmt.Sprintf("%s rows affected, want %s", got.NumDmlAffectedRows, r.Resp.NumDmlAffectedRows)
	case len(r.Resp.Rows) > 0 && sameRows(t, r.Resp.Rows) != sameRows(t, got.Rows):
		return fmt.Sprintf("rows %s, want %s", got.Rows, r.Resp.Rows)
	case r.Resp.Status != nil && got.Status != nil && r.Resp.Status.ErrorResult != nil && got.Status.ErrorResult == nil:
		return "the job succeeded, want an error " + r.Resp.Status.ErrorResult.Reason
	}
	return ""
}

// leastSame is how many calls are answered alike; it may only rise.
const leastSame = 323

// knownDifferences gives the reason of each call that is answered otherwise.
var knownDifferences = map[int]string{}

// sameRows is rows in a form that ignores their order and the two forms of
// timestamps.
func sameRows(t *testing.T, rows json.RawMessage) string {
	t.Helper()
	var list []json.RawMessage
	if len(rows) > 0 {
		must(t, json.Unmarshal(rows, &list))
	}
	texts := make([]string, len(list))
	for i, row := range list {
		var value any
		must(t, json.Unmarshal(row, &value))
		plain, err := json.Marshal(value)
		must(t, err)
		texts[i] = scientific.ReplaceAllStringFunc(string(plain), func(text string) string {
			x, err := strconv.ParseFloat(strings.Trim(text, `"`), 64)
			must(t, err)
			return fmt.Sprintf("%q", strconv.FormatFloat(x, 'f', -1, 64))
		})
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

var scientific = regexp.MustCompile(`"-?\d+\.\d+(E\d+)?"`)
