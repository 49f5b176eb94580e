package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/cloudact/convergence/transforms/row"
	"github.com/cloudact/convergence/transforms/source"
)

func TestACancelledJobEndsItsRequestsAndGoroutines(t *testing.T) {
	arrived := make(chan struct{}, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	before := goleak.IgnoreCurrent()
	fetch := &source.Fetch{StepID: "s", Org: "acme", MaxRetries: 3, TimeoutMS: 60_000, Parallel: 4}
	if err := fetch.Setup(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		<-arrived
		cancel()
	}()
	partition := fmt.Sprintf(`{"unit":"u","name":"p","request":{"target":%q,"method":"GET"}}`, server.URL)
	err := fetch.FromShard(ctx, "["+partition+","+partition+"]", noStarts, func(page row.Page) {
		t.Errorf("page %+v of a cancelled job", page)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
	fetch.Teardown()
	server.Close()
	goleak.VerifyNone(t, before)
}

func TestAnAnswerThatHangsIsGivenUpAndAskedForAgain(t *testing.T) {
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hits.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"data":[]}`)
	}))
	defer server.Close()
	fetch := &source.Fetch{StepID: "s", Org: "acme", MaxRetries: 3, TimeoutMS: 500, Parallel: 1}
	if err := fetch.Setup(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer fetch.Teardown()
	var pages []row.Page
	shard := fmt.Sprintf(`[{"unit":"u","name":"p","request":{"target":%q,"method":"GET"}}]`, server.URL)
	if err := fetch.FromShard(context.Background(), shard, noStarts, func(page row.Page) { pages = append(pages, page) }); err != nil {
		t.Fatal(err)
	}
	if len(pages) != 1 || pages[0].Failure != nil || pages[0].Requests < 2 {
		t.Errorf("pages %+v", pages)
	}
}

func TestAShardThatIsNoListOfPartitionsIsAProgrammingError(t *testing.T) {
	fetch := &source.Fetch{StepID: "s"}
	if err := fetch.Setup(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := fetch.FromShard(context.Background(), "{", noStarts, func(row.Page) {}); err == nil {
		t.Error("no error")
	}
}
