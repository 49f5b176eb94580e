package service

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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

// logged reports whether the service has written a message.
func (s *service) logged(message string) bool {
	return strings.Contains(s.stderr.String(), `"msg":"`+message+`"`)
}
