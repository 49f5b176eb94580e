package service

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// jobOf is the process of a run's job, as its launcher noted it.
func jobOf(t testing.TB, data, run string) int {
	t.Helper()
	var job struct {
		PID int `json:"pid"`
	}
	b, err := os.ReadFile(filepath.Join(data, "runs", run, "job.json"))
	if err == nil {
		err = json.Unmarshal(b, &job)
	}
	if err != nil || job.PID <= 1 {
		t.Fatalf("read the job of run %s: process %d, %v", run, job.PID, err)
	}
	return job.PID
}
