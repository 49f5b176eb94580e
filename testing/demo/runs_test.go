package main

import (
	"testing"

	"github.com/cloudact/convergence/api/client"
)

func TestTheGenerationIsReadFromThePublishJobs(t *testing.T) {
	run := func(jobs ...string) client.Run {
		return client.Run{Steps: []client.Step{{Step: "extract", JobIDs: jobs}}}
	}
	if err := published(run("load_a1", "pub_0123_2_0", "pub_4567_2_1"), 2); err != nil {
		t.Error(err)
	}
	for name, r := range map[string]client.Run{
		"an older generation": run("pub_0123_2_0", "pub_4567_1_0"),
		"no publish":          run("load_a1"),
		"another form":        run("pub_2"),
	} {
		if published(r, 2) == nil {
			t.Errorf("%s is taken for generation 2", name)
		}
	}
}
