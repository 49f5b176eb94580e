package launcher_test

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// envChild makes this test binary the job of a run; its value is what the job does.
const envChild = "LAUNCHER_TEST_CHILD"

const (
	childCompletes  = "completes"
	childFails      = "fails"
	childSilent     = "silent"   // ends without a result
	childWaits      = "waits"    // until it is stopped, then leaves a result
	childStubborn   = "stubborn" // does not hear that it is stopped
	childForeign    = "foreign"  // leaves the result of another run
	childGarbage    = "garbage"  // writes a line that is no event, and half a line
	childEnviron    = "environ"  // prints its environment
	childLate       = "late"     // completes although it is stopped
	childUnknown    = "unknown"  // leaves a state that does not exist
	childNoStage    = "nostage"  // does not find the stage of a unit's first generation
	childRefused    = "refused"  // its provider does not take its credential
	retriesAtTheEnd = int64(7)
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(envChild); mode != "" {
		if err := child(mode, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(mode, specFile string) error {
	stop := make(chan os.Signal, 1)
	if mode == childStubborn {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(stop, syscall.SIGTERM)
	}
	folder, err := runfolder.Open(filepath.Dir(specFile))
	if err != nil {
		return err
	}
	spec, err := folder.ReadSpec()
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	events := []runfolder.Event{
		{Kind: runfolder.KindStarted, Time: now},
		{Kind: runfolder.KindProgress, Step: "extract", Time: now, StepCounts: runfolder.StepCounts{Rows: 4, Pages: 1}},
	}
	extract := runfolder.StepResult{Step: "extract", Type: "openai.usage", State: runfolder.StepCompleted, Table: "t.usage", Published: 10, Start: now, End: now}
	price := runfolder.StepResult{Step: "price", Type: "openai.cost", Index: 1, State: runfolder.StepCompleted, Table: "t.cost", Published: 10, Start: now, End: now}
	result := runfolder.Result{RunID: spec.RunID, State: runfolder.Completed, Start: now, End: now}
	if mode == childCompletes || mode == childGarbage {
		events = append(events, runfolder.Event{Kind: runfolder.KindStep, Step: "extract", Time: now, Result: &extract})
	}
	for _, e := range events {
		if err := folder.Append(e); err != nil {
			return err
		}
	}
	switch mode {
	case childSilent:
		return nil
	case childEnviron:
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case childForeign:
		result.RunID = "another"
	case childUnknown:
		result.State = "PERHAPS"
	case childFails:
		result.State, result.Code, result.Error = runfolder.Failed, "STEP_FAILED", "step price failed: no price"
		price.State, price.Published, price.Code = runfolder.StepFailed, 0, "NO_PRICE"
	case childRefused:
		result.State, result.Code, result.Error = runfolder.Failed, "STEP_FAILED", "step extract failed: no credential"
		extract.State, extract.Published, extract.Code = runfolder.StepFailed, 0, "CREDENTIAL"
	case childNoStage:
		if spec.Generations["u1"] == 1 {
			result.State, result.Code, result.Error = runfolder.Failed, "STEP_FAILED", "step extract failed: no stage"
			extract.State, extract.Published, extract.Code = runfolder.StepFailed, 0, "STAGE_MISSING"
		}
	case childGarbage:
		if err := garbage(folder); err != nil {
			return err
		}
	case childWaits, childLate, childStubborn:
		<-stop
	}
	if mode == childWaits {
		result.State, result.Code = runfolder.Cancelled, "CANCELLED"
		return folder.WriteResult(result)
	}
	extract.Counts.Retries = retriesAtTheEnd // only counters know, and they are read last
	result.Steps = []runfolder.StepResult{extract, price}
	return folder.WriteResult(result)
}

func garbage(folder *runfolder.Folder) error {
	file, err := os.OpenFile(folder.Path(runfolder.EventsFile), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString("no event\n" + `{"seq":9,"kind":"step","step":"price","result":{"step":"price","state":"COMPLETED"}}` + "\n" + `{"seq":10,`)
	if err != nil {
		return err
	}
	return file.Close()
}
