package bigquery_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	bq "cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/local/bigquery"
)

type discoveryDocument struct {
	RootURL     string                            `json:"rootUrl"`
	ServicePath string                            `json:"servicePath"`
	Schemas     map[string]any                    `json:"schemas"`
	Resources   map[string]map[string]discoveries `json:"resources"`
}

type discoveries map[string]struct {
	ID         string            `json:"id"`
	HTTPMethod string            `json:"httpMethod"`
	Path       string            `json:"path"`
	Request    map[string]string `json:"request"`
	Response   map[string]string `json:"response"`
}

func TestDiscoveryNamesOnlyWhatIsServed(t *testing.T) {
	url := bigquery.RunT(t)
	var doc discoveryDocument
	if err := json.Unmarshal([]byte(get(t, http.MethodGet, url+"/$discovery/rest?version=v2")), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.RootURL != url+"/" {
		t.Fatalf("root %s, want %s", doc.RootURL, url)
	}
	fill := strings.NewReplacer("{+projectId}", "p", "{+datasetId}", "d", "{+tableId}", "t", "{+jobId}", "j")
	methods := 0
	for _, resource := range doc.Resources {
		for _, m := range resource["methods"] {
			methods++
			answer := get(t, m.HTTPMethod, doc.RootURL+doc.ServicePath+fill.Replace(m.Path))
			if strings.Contains(answer, "is not supported by the local server") {
				t.Errorf("%s: %s", m.ID, answer)
			}
			for _, body := range []map[string]string{m.Request, m.Response} {
				if name := body["$ref"]; name != "" && doc.Schemas[name] == nil {
					t.Errorf("%s: no schema %s", m.ID, name)
				}
			}
		}
	}
	if methods < 20 {
		t.Errorf("%d methods", methods)
	}
}

func get(t testing.TB, method, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	return string(body)
}

func TestResultOfAQueryIsAnAnonymousTable(t *testing.T) {
	c := start(t)
	job, err := c.Query("SELECT x, TIMESTAMP '2025-11-03 01:02:03Z' AS seen FROM UNNEST([1, 2, 3]) AS x ORDER BY x").Run(t.Context())
	must(t, err)
	_, err = job.Wait(t.Context())
	must(t, err)
	config, err := job.Config()
	must(t, err)
	table := config.(*bq.QueryConfig).Dst
	if table == nil || !strings.HasPrefix(table.DatasetID, "_") || !strings.HasPrefix(table.TableID, "anon") {
		t.Fatalf("got destination %+v", table)
	}
	m, err := table.Metadata(t.Context())
	must(t, err)
	if m.NumRows != 3 || len(m.Schema) != 2 || m.ExpirationTime.IsZero() {
		t.Fatalf("got %+v", m)
	}
	it := table.Read(t.Context())
	it.PageInfo().MaxSize = 2
	if got := readAll(t, it); len(got) != 3 || got[2][0] != int64(3) {
		t.Fatalf("got %v", got)
	}
	for _, name := range []string{"anon", "anonzz", table.TableID + "00"} {
		_, err = c.Dataset(table.DatasetID).Table(name).Metadata(t.Context())
		wantError(t, err, http.StatusNotFound, "notFound")
	}
}

func TestBooleansOfOtherClientsAreRead(t *testing.T) {
	url := bigquery.RunT(t)
	c := newClient(t, url)
	must(t, c.Dataset("fin").Create(t.Context(), nil))
	table := c.Dataset("fin").Table("times")
	must(t, table.Create(t.Context(), &bq.TableMetadata{Schema: bq.Schema{{Name: "seen", Type: bq.TimestampFieldType}}}))
	mustLoad(t, table, `{"seen":"2025-11-03T01:02:03Z"}`)
	answer := get(t, http.MethodGet, url+"/bigquery/v2/projects/"+project+"/datasets/fin/tables/times/data?formatOptions.useInt64Timestamp=True")
	if !strings.Contains(answer, `"1762131723000000"`) {
		t.Fatalf("got %s", answer)
	}
	if answer := get(t, http.MethodDelete, url+"/bigquery/v2/projects/"+project+"/datasets/fin?deleteContents=True"); answer != "" {
		t.Fatalf("got %s", answer)
	}
}
