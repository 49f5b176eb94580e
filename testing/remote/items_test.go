package remote

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/cloudact/convergence/api/client"
	"github.com/cloudact/convergence/testing/lab"
)

// document is a pipeline over the other provider.
const document = `pipeline_id: rows
retry_attempts: 0
steps:
  - step_id: extract
    ps_type: generic.api_extractor
    config:
      url: $API/data
      params:
        day: "{start_date}"
      pagination:
        type: cursor
        limit: 1000
      transform:
        flatten: true
    destination:
      table: usage
      schema_ref: example/usage/example_usage_final
      write_mode: append
`

// The pipeline, and the one that differs from it in that a day may be stated again.
var (
	rows     = client.Pipeline{Provider: "my-api", Domain: "usage", Name: "rows"}
	replaced = client.Pipeline{Provider: "my-api", Domain: "usage", Name: "replaced"}
)

// items is a provider of pages, behind a gate; it counts who asks for which.
type items struct {
	lab.Upstream
	url   string
	pages int

	mu    sync.Mutex
	asked map[int]int // by page
}

const pageRows = 20

func (s *items) page(w http.ResponseWriter, r *http.Request) {
	page, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	s.mu.Lock()
	if s.asked == nil {
		s.asked = map[int]int{}
	}
	s.asked[page]++
	s.mu.Unlock()
	var data []map[string]any
	for n := range pageRows {
		data = append(data, map[string]any{
			"usage_date": firstDay.String(), "service": fmt.Sprintf("s-%d-%d", page, n), "units": "1.5",
		})
	}
	var next any
	if page+1 < s.pages {
		next = strconv.Itoa(page + 1)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{strings.TrimPrefix(r.URL.Path, "/"): data, "meta": map[string]any{"next_cursor": next}})
}

// times is how often a page was asked for.
func (s *items) times(page int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[page]
}
