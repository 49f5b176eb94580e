package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

func noStarts(*row.Position) bool { return false }

// from iterates over starts as a side input does.
func from(starts ...row.Position) func(*row.Position) bool {
	return func(p *row.Position) bool {
		if len(starts) == 0 {
			return false
		}
		*p, starts = starts[0], starts[1:]
		return true
	}
}

// fivePages is a provider with five pages a partition, which remembers who asked for what
// and refuses the cursors named in refuses.
type fivePages struct {
	mu      sync.Mutex
	asked   []string
	refuses string
	status  int
}

func (f *fivePages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := r.URL.Query().Get("cursor")
	f.mu.Lock()
	f.asked = append(f.asked, r.URL.Path+"?"+at)
	f.mu.Unlock()
	if at != "" && at == f.refuses {
		w.WriteHeader(f.status)
		return
	}
	n, _ := strconv.Atoi(at)
	answer := map[string]any{"data": []int{n}}
	if n < 4 {
		answer["next"] = strconv.Itoa(n + 1)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *fivePages) fetch(t *testing.T, starts func(*row.Position) bool, names ...string) []row.Page {
	t.Helper()
	server := httptest.NewServer(f)
	defer server.Close()
	fetch := &source.Fetch{StepID: "s", Org: "acme", TimeoutMS: 10_000, Parallel: 1}
	if err := fetch.Setup(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer fetch.Teardown()
	shard := "["
	for i, name := range names {
		if i > 0 {
			shard += ","
		}
		shard += fmt.Sprintf(`{"unit":"u","name":%q,"request":{"target":%q,"method":"GET"},"paging":{"cursor":true,"param":"cursor","position":"next"}}`, name, server.URL+"/"+name)
	}
	var pages []row.Page
	if err := fetch.FromShard(context.Background(), shard+"]", starts, func(p row.Page) { pages = append(pages, p) }); err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestAPartitionGoesOnWhereItWasStaged(t *testing.T) {
	provider := &fivePages{}
	pages := provider.fetch(t, from(
		row.Position{Unit: "u", Partition: "begun", Index: 3, First: "3"},
		row.Position{Unit: "u", Partition: "begun", Index: 1, First: "1"},
		row.Position{Unit: "u", Partition: "whole", Index: 5, Last: true},
		row.Position{Unit: "other", Partition: "fresh", Index: 4, First: "4"},
		row.Position{Unit: "other", Last: true},
	), "begun", "whole", "fresh")
	if diff := cmp.Diff([]string{"/begun?3", "/begun?4", "/fresh?", "/fresh?1", "/fresh?2", "/fresh?3", "/fresh?4"}, provider.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	first, last := pages[0], pages[1]
	if first.Index != 3 || first.First != "3" || first.Next != "4" || first.Pass != "" || last.Index != 4 || !last.Last {
		t.Errorf("resumed pages are %+v and %+v", first.Position, last.Position)
	}
}

func TestAUnitThatIsDoneIsNotRequested(t *testing.T) {
	provider := &fivePages{}
	if pages := provider.fetch(t, from(row.Position{Unit: "u", Last: true}), "a", "b"); len(pages)+len(provider.asked) != 0 {
		t.Errorf("%d pages came, %v was asked", len(pages), provider.asked)
	}
}

func TestARefusedCursorStartsThePartitionOverUnderAnotherPass(t *testing.T) {
	for status, over := range map[int]bool{
		http.StatusBadRequest: true, http.StatusNotFound: true, http.StatusGone: true, http.StatusUnprocessableEntity: true,
		http.StatusUnauthorized: false, http.StatusForbidden: false, http.StatusTooManyRequests: false, http.StatusServiceUnavailable: false,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			provider := &fivePages{refuses: "3", status: status}
			pages := provider.fetch(t, from(row.Position{Unit: "u", Partition: "p", Pass: "old", Index: 3, First: "3"}), "p")
			if !over {
				if len(pages) != 1 || pages[0].Failure == nil || pages[0].Pass != "old" {
					t.Errorf("pages are %+v, want one failure", pages)
				}
				return
			}
			// The cursor is refused again when it is reached by the new pass.
			if want := []string{"/p?3", "/p?", "/p?1", "/p?2", "/p?3"}; !slices.Equal(provider.asked, want) {
				t.Errorf("requests %v, want %v", provider.asked, want)
			}
			if len(pages) != 4 || pages[3].Failure == nil {
				t.Fatalf("%d pages, want three and a failure", len(pages))
			}
			if p := pages[0]; p.Index != 0 || p.First != "" || p.Requests != 2 {
				t.Errorf("the first page is %+v after %d requests", p.Position, p.Requests)
			}
			for _, p := range pages {
				if p.Pass == "" || p.Pass == "old" || p.Pass != pages[0].Pass {
					t.Errorf("page %d is of pass %q", p.Index, p.Pass)
				}
			}
		})
	}
}
