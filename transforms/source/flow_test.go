package source_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
	"github.com/invopop/jsonschema"
	"google.golang.org/protobuf/proto"

	"github.com/cloudact/convergence/transforms/registry"
	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

const patience = 10 * time.Second

func TestEightPartitionsWaitForTheirProviderAtOnce(t *testing.T) {
	var waiting atomic.Int64
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if waiting.Add(1) == 8 {
			close(all)
		}
		select {
		case <-all:
		case <-time.After(patience):
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, `{"data":[],"has_more":false,"next_page":null}`)
	}))
	defer server.Close()
	source.UseOrigins(func(string) string { return server.URL + "/v1/" })
	pages := job{processor: "openai.usage", config: map[string]any{}, days: []string{"2025-03-01", "2025-03-02", "2025-03-03", "2025-03-04"}}.run(t)
	if len(pages) != 8 {
		t.Fatalf("%d pages, want one last page for each of 8 partitions", len(pages))
	}
	for _, page := range pages {
		if page.Failure != nil {
			t.Errorf("%s %s: %+v", page.Unit, page.Partition, page.Failure)
		}
	}
}

func TestTheNextPageIsRequestedWhileThisOneIsProcessed(t *testing.T) {
	second := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "" {
			io.WriteString(w, `{"data":[1],"next":"b"}`)
			return
		}
		close(second)
		io.WriteString(w, `{"data":[2]}`)
	}))
	defer server.Close()
	overlapped := false
	onPage(t, func(page row.Page) {
		if page.Index == 0 {
			select {
			case <-second:
				overlapped = true
			case <-time.After(patience):
			}
		}
	})
	if pages := fetchFrom(t, server.URL); len(pages) != 2 || !overlapped {
		t.Errorf("%d pages, overlapped %t", len(pages), overlapped)
	}
}

func TestShardsShareThePartitionsAndLoseNone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := r.URL.Query().Get("start_time")
		fmt.Fprintf(w, `{"data":[{"start_time":%s,"results":[{"input_tokens":1}]}],"has_more":false,"next_page":null}`, start)
	}))
	defer server.Close()
	source.UseOrigins(func(string) string { return server.URL })
	days := []string{"2025-02-27", "2025-02-28", "2025-03-01", "2025-03-02", "2025-03-03"}
	pages := job{processor: "openai.usage", config: map[string]any{}, days: days, shards: 3}.run(t)
	if len(pages) != 10 {
		t.Fatalf("%d pages, want 10", len(pages))
	}
	for i, page := range pages {
		if len(page.Rows) != 1 || page.Unit != "unit-"+days[i/2] || page.Rows[0].Cells[2].Text() != days[i/2] {
			t.Errorf("page %d: %+v", i, page)
		}
	}
}

func TestOneFailedPartitionLeavesTheOthers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/embeddings") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		io.WriteString(w, `{"data":[],"has_more":false,"next_page":null}`)
	}))
	defer server.Close()
	source.UseOrigins(func(string) string { return server.URL })
	pages := job{processor: "openai.usage", config: map[string]any{}}.run(t)
	if len(pages) != 2 || pages[0].Failure != nil || !pages[0].Last || pages[1].Failure == nil || pages[1].Partition != "usage/embeddings" {
		t.Errorf("pages %+v", pages)
	}
}

func TestACredentialThatCannotBeOpenedFailsEveryPartitionWithItsNames(t *testing.T) {
	server, hits := answers(t, `{}`)
	source.UseOrigins(func(string) string { return server.URL })
	pages := job{processor: "openai.usage", config: map[string]any{}, org: "nobody"}.run(t)
	if len(pages) != 2 {
		t.Fatalf("%d pages, want 2", len(pages))
	}
	for _, page := range pages {
		wantFailure(t, []row.Page{page}, "CREDENTIAL", "nobody", "OPENAI")
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests without a credential", hits.Load())
	}
}

func TestASecretKeyMeansTheProviderWithThatContextKey(t *testing.T) {
	source.UseContextKeys(func(key string) string {
		return map[string]string{"vendor_api_key": "VENDOR"}[key]
	})
	t.Cleanup(func() { source.UseContextKeys(nil) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"data":[%t]}`, r.Header.Get("Authorization") == "Bearer "+canary)
	}))
	defer server.Close()
	config := func(key string) map[string]any {
		return map[string]any{"url": server.URL, "auth": map[string]any{"secret_key": key}}
	}
	pages := job{processor: "api_extractor", config: config("vendor_api_key")}.run(t)
	if len(pages) != 1 || len(pages[0].Rows) != 1 || pages[0].Rows[0].Cells[2].Text() != "true" {
		t.Errorf("pages %+v", pages)
	}
	wantFailure(t, job{processor: "api_extractor", config: config("other_key")}.run(t), "CREDENTIAL", `"other_key"`)
}

var encoded = regexp.MustCompile(`[A-Za-z0-9+/]{24,}={0,2}`)

// readable adds what is hidden in base64 inside a serialised graph.
func readable(text []byte, depth int) []byte {
	out := bytes.Clone(text)
	if depth == 0 {
		return out
	}
	for _, run := range encoded.FindAll(text, -1) {
		if plain, err := base64.StdEncoding.DecodeString(string(run)); err == nil {
			out = append(out, readable(plain, depth-1)...)
		}
	}
	return out
}

func TestTheGraphNamesItsPartsAndHoldsNoSecretOrOrigin(t *testing.T) {
	source.UseOrigins(func(string) string { return "https://origin.invalid" })
	p, err := job{processor: "openai.usage", config: map[string]any{}}.build(t)
	if err != nil {
		t.Fatal(err)
	}
	edges, _, err := p.Build()
	if err != nil {
		t.Fatal(err)
	}
	environment, err := graphx.CreateEnvironment(context.Background(), graphx.URNEnvExternal, func(context.Context) string { return "localhost:1" })
	if err != nil {
		t.Fatal(err)
	}
	graph, err := graphx.Marshal(edges, &graphx.Options{Environment: environment})
	if err != nil {
		t.Fatal(err)
	}
	text, err := proto.Marshal(graph)
	if err != nil {
		t.Fatal(err)
	}
	all := readable(text, 3)
	for _, part := range []string{"fetch_it/Fetch", "fetch_it/Decode", "usage/completions", `"PerSecond":10`} {
		if !bytes.Contains(all, []byte(part)) {
			t.Errorf("the graph does not show %s", part)
		}
	}
	for _, hidden := range []string{canary, "origin.invalid"} {
		if bytes.Contains(all, []byte(hidden)) {
			t.Errorf("the graph holds %s", hidden)
		}
	}
}

func TestConfigsAreRefusedWithTheKeyThatIsWrong(t *testing.T) {
	for _, c := range []struct{ processor, config, path string }{
		{"api_extractor", `{}`, "url"},
		{"api_extractor", `{"url":"ftp://a.example/"}`, "url"},
		{"api_extractor", `{"url":"https://u:p@a.example/"}`, "url"},
		{"api_extractor", `{"url":"https://a.example/","body":{}}`, "body"},
		{"api_extractor", `{"url":"https://a.example/","headers":{"authorization":"Bearer x"}}`, "headers.authorization"},
		{"api_extractor", `{"url":"https://a.example/","auth":{"type":"magic","provider":"A"}}`, "auth.type"},
		{"api_extractor", `{"url":"https://a.example/","auth":{}}`, "auth"},
		{"api_extractor", `{"url":"https://a.example/","pagination":{"type":"scroll"}}`, "pagination.type"},
		{"openai.usage", `{"endpoints":["images"]}`, "endpoints.0"},
		{"openai.usage", `{"endpoints":["embeddings","embeddings"]}`, "endpoints.1"},
		{"openai.usage", `{"group_by":["size"]}`, "group_by"},
		{"openai.usage", `{"limit":32}`, "limit"},
	} {
		processor, _ := registry.Lookup(c.processor)
		config := processor.NewConfig()
		if err := json.Unmarshal([]byte(c.config), config); err != nil {
			t.Fatal(err)
		}
		var err *registry.FieldError
		if invalid := config.(registry.Validator).Validate(); !errors.As(invalid, &err) || err.Path != c.path {
			t.Errorf("%s %s: %v, want an error at %s", c.processor, c.config, err, c.path)
		}
	}
}

func TestEveryKeyIsDescribedAndOnlyTheAddressIsRequired(t *testing.T) {
	for name, required := range map[string]string{"generic.api_extractor": "url", "openai.usage": ""} {
		processor, _ := registry.Lookup(name)
		schema := (&jsonschema.Reflector{DoNotReference: true}).Reflect(processor.NewConfig())
		checkKeys(t, name, schema, required)
	}
}

func checkKeys(t *testing.T, path string, schema *jsonschema.Schema, required string) {
	t.Helper()
	if got := strings.Join(schema.Required, " "); got != required {
		t.Errorf("%s requires %q, want %q", path, got, required)
	}
	if schema.Properties == nil {
		return
	}
	for key := schema.Properties.Oldest(); key != nil; key = key.Next() {
		if key.Value.Description == "" {
			t.Errorf("%s.%s has no description", path, key.Key)
		}
		checkKeys(t, path+"."+key.Key, key.Value, "")
	}
}
