package store_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
)

func TestOneOfManyAcquiresAName(t *testing.T) {
	b := newBench(t)
	var winners atomic.Int64
	owners := make([]string, 20)
	var wg sync.WaitGroup
	for i := range owners {
		wg.Go(func() {
			c, err := b.Acquire(t.Context(), "gen/u/1", fmt.Sprint("run-", i), fmt.Sprint("hash-", i))
			if err != nil {
				t.Error(err)
				return
			}
			if c.Won {
				winners.Add(1)
			}
		})
	}
	wg.Wait()
	if winners.Load() != 1 {
		t.Errorf("%d callers have won", winners.Load())
	}
	for i := range owners {
		c, err := b.Acquire(t.Context(), "gen/u/1", fmt.Sprint("run-", i), "later")
		if err != nil {
			t.Fatal(err)
		}
		if c.Value != strings.Replace(c.Owner, "run", "hash", 1) || c.Won != (c.Owner == fmt.Sprint("run-", i)) {
			t.Errorf("run-%d is told %+v", i, c)
		}
		owners[i] = c.Owner
	}
	for _, o := range owners {
		if o != owners[0] {
			t.Errorf("callers name the holders %v", owners)
			break
		}
	}
	if c, err := b.Acquire(t.Context(), "gen/u/2", "run-0", "h"); err != nil || !c.Won {
		t.Errorf("another name: %+v, %v", c, err)
	}
}

func TestOwnerWhoseAnswerWasLostHasWon(t *testing.T) {
	b := newBench(t)
	lost := b.loseAnswers(http.MethodPost, "/jobs", 1)
	if c, err := b.Acquire(t.Context(), "gen/u/1", "run-1", "h"); err != nil || !c.Won || c.Owner != "run-1" {
		t.Errorf("the owner is told %+v, %v", c, err)
	}
	if lost.Load() == 0 {
		t.Error("no answer was lost")
	}
	if c, err := b.Acquire(t.Context(), "gen/u/1", "run-2", "g"); err != nil || c.Won || c.Owner != "run-1" || c.Value != "h" {
		t.Errorf("another is told %+v, %v", c, err)
	}
}

func TestPublishedIsWhatACommittedPublishJobSays(t *testing.T) {
	b := newBench(t)
	publish := func(id, sql string) {
		t.Helper()
		q := b.client.Query(sql)
		q.JobIDConfig = bigquery.JobIDConfig{JobID: id, Location: "US"}
		job, err := q.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status, err := job.Wait(t.Context()); status == nil && err != nil && !strings.Contains(err.Error(), "failed") {
			t.Fatal(err)
		}
	}
	check := func(generation int, want bool) {
		t.Helper()
		if got, err := b.Standing(t.Context(), "u", generation); err != nil || (got.State == launcher.Published) != want {
			t.Errorf("generation %d stands at %+v, %v; want published %t", generation, got, err, want)
		}
	}
	check(1, false)
	publish("pub_u_1_0", "SELECT 1")
	check(1, true)
	publish("pub_u_2_0", "SELECT ERROR('failed')")
	check(2, false)
	publish("pub_u_2_1", "SELECT 1")
	check(2, true)
}
