package dataflowsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloudact/convergence/launcher/runfolder"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

// items is an API of several pages.
type items struct {
	*httptest.Server
	requests    atomic.Int64
	pages, rows int
	before      func(int64) // called before answer n, from 1
}

func newItems(t *testing.T, pages, rows int) *items {
	t.Helper()
	s := &items{pages: pages, rows: rows}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *items) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	if s.before != nil {
		s.before(n)
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	var rows []string
	for i := range s.rows {
		rows = append(rows, fmt.Sprintf(`{"usage_date":"2026-08-19","org_slug":"acme","service":"s-%d","units":1}`, page*s.rows+i))
	}
	next := "null"
	if page+1 < s.pages {
		next = fmt.Sprintf(`"%d"`, page+1)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"data":[%s],"next":%s}`, strings.Join(rows, ","), next)
}

// extractor is a step that reads the API into a destination.
func (s *items) extractor(id, destination string) string {
	return fmt.Sprintf(`
  - step_id: %s
    ps_type: generic.api_extractor
    config:
      url: %s/items
      data_path: data
      pagination: {type: cursor, param: page, response_path: next}
      rate_limit: {requests_per_second: 0, max_retries: 0}
    destination: %s
`, id, s.URL, destination)
}

// destinations has one of every write mode, by the name of its step and table.
var destinations = map[string]string{
	"appended":       "write_mode: append",
	"appended_keyed": "write_mode: append, key_fields: [service]",
	"inserted":       "write_mode: insert_new, key_fields: [service]",
	"merged":         "write_mode: merge, key_fields: [service]",
	"replaced":       "write_mode: replace_partition",
	"overwritten":    "write_mode: overwrite",
}

// Bundles that are executed twice at once, or whose worker is lost after all was done,
// land what an undisturbed job lands, in every write mode.
func TestRepeatedBundlesDoubleNothingInAnyWriteMode(t *testing.T) {
	const pages, rows = 4, 25
	land := func(t *testing.T, f dataflowsim.Faults) map[string]string {
		api := newItems(t, pages, rows)
		w := newWorld(t)
		w.sim.SetFaults(f)
		document := "pipeline_id: p\nsteps:"
		for id, d := range destinations {
			document += api.extractor(id, fmt.Sprintf("{table: %s, schema_ref: example/usage/example_usage_final, %s}", id, d))
		}
		one := spec(document)
		one.EndDate = one.StartDate
		if r := w.run(one); r.State != runfolder.Completed || len(r.Steps) != len(destinations) {
			t.Fatalf("the run ended as %+v", r)
		}
		switch asked := api.requests.Load(); {
		case f.Twice && asked <= pages*int64(len(destinations)): // not twice as often: one may find what the other has staged
			t.Errorf("the provider was asked %d times only: no bundle was executed twice", asked)
		case f.Twice && w.sim.Repeated() < 2*len(destinations)-len(f.LoseBundles): // each has a bundle that extracts and one that publishes
			t.Errorf("%d bundles succeeded twice", w.sim.Repeated())
		case len(f.LoseBundles) > 0 && !f.Twice && w.lost() < len(f.LoseBundles):
			t.Errorf("%d workers were lost, not %d", w.lost(), len(f.LoseBundles))
		}
		landed := map[string]string{}
		for id := range destinations {
			landed[id] = w.scalar(fmt.Sprintf("SELECT CONCAT(COUNT(*), ' rows, ', COUNT(DISTINCT service), ' keys') FROM `%s.%s`", dataset, id))
		}
		return landed
	}
	want := land(t, dataflowsim.Faults{})
	for id, got := range want {
		if all := fmt.Sprintf("%d rows, %d keys", pages*rows, pages*rows); got != all {
			t.Errorf("undisturbed, %s holds %s, not %s", id, got, all)
		}
	}
	// Fewer workers are lost than a bundle has tries: one that is slow may be under way at
	// each loss.
	for name, f := range map[string]dataflowsim.Faults{
		"every bundle twice at once":        {Twice: true},
		"workers lost after their work":     {LoseBundles: []int{2, 5, 11}},
		"twice, and workers lost after all": {Twice: true, LoseBundles: []int{3, 8, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			for id, got := range land(t, f) {
				if got != want[id] {
					t.Errorf("%s holds %s, undisturbed %s", id, got, want[id])
				}
			}
		})
	}
}

// lost is how many tries of bundles the service says were lost with their worker.
func (w *world) lost() int {
	w.t.Helper()
	n := 0
	for _, j := range w.sim.Jobs() {
		for _, m := range must(w.dataflow.Projects.Locations.Jobs.Messages.List(project, region, j.Id).Do()).JobMessages {
			if strings.Contains(m.MessageText, "is lost") {
				n++
			}
		}
	}
	return n
}
