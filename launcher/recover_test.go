package launcher_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/runfolder"
)

func TestRunThatIsCancelledBeforeItStartsEndsAndStartsNothing(t *testing.T) {
	rec := &recorder{}
	b := newBench(t, childCompletes, rec.use)
	run := b.submit(request("usage_cost"))
	if r, err := b.Cancel(t.Context(), "acme", run.ID, true); err != nil || !r.Cancelling {
		t.Fatalf("cancel answers %+v, %v", r, err)
	}
	if r := b.end(run.ID); r.State != launcher.Cancelled || r.Cancelling {
		t.Errorf("the run ended as %+v", r)
	}
	b.settled(run.ID)
	if _, err := b.spec(run.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a spec was written: %v", err)
	}
	if _, released, ended, _ := rec.counts(); released != 1 || ended != 1 {
		t.Errorf("%d given back, %d told", released, ended)
	}
	if _, err := b.Cancel(t.Context(), "acme", run.ID, true); !isCode(err, launcher.CodeRunEnded) {
		t.Errorf("cancel again: %v", err)
	}
	if _, err := b.Cancel(t.Context(), "globex", run.ID, true); !isCode(err, launcher.CodeRunNotFound) {
		t.Errorf("cancel by another org: %v", err)
	}
}

func TestWaitingRunIsCancelled(t *testing.T) {
	b := newBench(t, childWaits)
	holder := b.launch(request("usage_cost"))
	b.started()
	waiter := b.launch(with("region", "eu"))
	b.until(waiter.ID, func(r launcher.Run) bool { return r.WaitingFor == holder.ID })
	if _, err := b.Cancel(t.Context(), "acme", waiter.ID, false); err != nil {
		t.Fatal(err)
	}
	if r := b.end(waiter.ID); r.State != launcher.Cancelled {
		t.Errorf("the waiting run ended as %s", r.State)
	}
	if r := b.get(holder.ID); r.State != launcher.Running {
		t.Errorf("the holder is %s", r.State)
	}
}

func TestCancelledRunIsFencedBeforeItsStagesGo(t *testing.T) {
	for name, discard := range map[string]bool{"discarded": true, "kept": false} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{}
			b := newBench(t, childWaits, rec.use)
			run := b.launch(request("usage_cost"))
			b.started()
			b.store.publish("u1", 1) // had committed
			if _, err := b.Cancel(t.Context(), "acme", run.ID, discard); err != nil {
				t.Fatal(err)
			}
			r := b.end(run.ID)
			if r.State != launcher.Cancelled || stepOf(t, r, "extract").State != launcher.Completed || stepOf(t, r, "price").State == launcher.Completed {
				t.Errorf("the run ended as %+v", r)
			}
			s, err := b.store.Standing(t.Context(), "u2", 1)
			if want := map[bool]launcher.StandingState{true: launcher.Fenced, false: launcher.Unsettled}[discard]; err != nil || s.State != want {
				t.Errorf("the open generation is %+v, %v", s, err)
			}
			if _, _, _, dropped := rec.counts(); (dropped == 1) != discard {
				t.Errorf("stages were dropped %d times", dropped)
			}
		})
	}
}

func TestRunWhosePublishesHadAllCommittedHasCompleted(t *testing.T) {
	b := newBench(t, childWaits)
	run := b.launch(request("usage_cost"))
	b.started()
	b.store.publish("u1", 1)
	b.store.publish("u2", 1)
	if _, err := b.Cancel(t.Context(), "acme", run.ID, true); err != nil {
		t.Fatal(err)
	}
	if r := b.end(run.ID); r.State != launcher.Completed || r.Code != "" {
		t.Errorf("the run ended as %s %s", r.State, r.Code)
	}
}

func TestRunOfAnotherProcessHearsThatItIsCancelled(t *testing.T) {
	b := newBench(t, childWaits, quick)
	run := b.launch(request("usage_cost"))
	b.started()
	other := b.another(childWaits)
	if _, err := other.Cancel(t.Context(), "acme", run.ID, true); err != nil {
		t.Fatal(err)
	}
	if r := b.end(run.ID); r.State != launcher.Cancelled {
		t.Errorf("the run ended as %s", r.State)
	}
}

func TestOwnerThatWasTakenOverStopsAndSaysNothing(t *testing.T) {
	b := newBench(t, childWaits, quick)
	run := b.launch(request("usage_cost"))
	b.started()
	before := len(b.store.events)
	b.store.takeOver("run/" + run.ID + "/1")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err := b.Start(t.Context(), "acme", run.ID); err != nil {
			break // it has let go, and does not take back what another holds
		}
		if time.Now().After(deadline) {
			t.Fatal("the owner goes on")
		}
	}
	for _, e := range b.store.events[before:] {
		if e.Kind == "run" && e.State.Terminal() {
			t.Errorf("the owner that was taken over recorded %s", e.State)
		}
	}
}

func TestServiceThatStopsLeavesItsRunsForTheNext(t *testing.T) {
	rec := &recorder{}
	b := newBench(t, childWaits, service, rec.use)
	run := b.launch(request("usage_cost"))
	b.started()
	queued := b.submit(with("region", "eu"))
	b.Close()
	for _, id := range []string{run.ID, queued.ID} {
		if r := b.get(id); r.State != launcher.Pending {
			t.Errorf("after the service stopped a run is %s", r.State)
		}
	}
	next := b.another(childCompletes, service, rec.use)
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := next.end(run.ID)
	if spec, err := next.spec(run.ID); r.State != launcher.Completed || r.Attempt != 1 || r.Epoch != 2 || err != nil || spec.Generations["u1"] != 1 {
		t.Errorf("the next service ended it as %s in attempt %d, epoch %d, on %v, %v", r.State, r.Attempt, r.Epoch, spec.Generations, err)
	}
	next.settled(run.ID)
	if _, _, ended, _ := rec.counts(); ended != 1 {
		t.Errorf("told %d times", ended)
	}
}

func TestLivingJobOfADeadLauncherIsFollowed(t *testing.T) {
	rec := &recorder{}
	b := newBench(t, childCompletes, service)
	dead, store := dying(b, childLate, service, rec.use)
	run := dead.launch(request("usage_cost"))
	dead.started()
	store.dead.Store(true)
	next := b.another(childCompletes, service, rec.use)
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	next.until(run.ID, func(r launcher.Run) bool { return r.Epoch == 2 && r.State == launcher.Running })
	if spec, err := next.spec(run.ID); err != nil || spec.Epoch != 1 {
		t.Fatalf("another job was started: epoch %d, %v", spec.Epoch, err)
	}
	next.Stop(run.ID) // it completes all the same
	if r := next.end(run.ID); r.State != launcher.Completed || r.Epoch != 2 || stepOf(t, r, "price").State != launcher.Completed {
		t.Errorf("the run ended as %+v", r)
	}
}

func TestResultThatADeadLauncherDidNotRecordIsRecorded(t *testing.T) {
	b := newBench(t, childSilent, service)
	dead, store := dying(b, childLate, service)
	run := dead.launch(request("usage_cost"))
	dead.started()
	store.dead.Store(true)
	killOrStop(t, dead, run.ID)
	folder, err := runfolder.Open(b.dir + "/runs/" + run.ID)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := folder.ReadResult(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the job left no result")
		}
	}
	if err := b.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := b.end(run.ID); r.State != launcher.Completed || r.Epoch != 2 {
		t.Errorf("the run ended as %s %s in epoch %d", r.State, r.Code, r.Epoch)
	}
}

// killOrStop asks the job of a launcher that nobody hears any more to end.
func killOrStop(t *testing.T, b *bench, id string) {
	t.Helper()
	if !b.Stop(id) {
		t.Fatal("the launcher does not follow the run")
	}
}

func TestDeadCommandIsLostAndTheNextOneGoesOn(t *testing.T) {
	rec := &recorder{}
	b := newBench(t, childCompletes, rec.use)
	dead, store := dying(b, childStubborn, rec.use)
	cli := request("usage_cost")
	cli.Trigger = launcher.TriggerCLI
	run := dead.launch(cli)
	dead.started()
	store.dead.Store(true)
	killChild(t, b.dir+"/runs/"+run.ID)
	again := b.launch(cli)
	if r := b.end(again.ID); r.State != launcher.Completed || again.ID == run.ID {
		t.Errorf("the next command ended as %s", r.State)
	}
	if spec, err := b.spec(again.ID); err != nil || spec.Generations["u1"] != 1 {
		t.Errorf("it worked on %v, %v; want the open generation", spec.Generations, err)
	}
	r := b.get(run.ID)
	if r.State != launcher.Failed || r.Code != string(launcher.CodeLost) {
		t.Errorf("the dead run is %s %s", r.State, r.Code)
	}
	b.settled(run.ID)
	b.settled(again.ID)
	if admitted, released, ended, _ := rec.counts(); admitted != 2 || released != 2 || ended != 2 {
		t.Errorf("%d admitted, %d given back, %d told", admitted, released, ended)
	}
}

func TestCommandThatDiedBeforeItClaimedAnythingIsLost(t *testing.T) {
	b := newBench(t, childCompletes)
	dead, store := dying(b, childCompletes)
	cli := request("usage_cost")
	cli.Trigger = launcher.TriggerCLI
	run := dead.submit(cli)
	store.dead.Store(true)
	if again := b.launch(cli); again.ID == run.ID {
		t.Error("the next command waits for a dead one")
	}
	if r := b.get(run.ID); r.State != launcher.Failed || r.Code != string(launcher.CodeLost) {
		t.Errorf("the dead run is %s %s", r.State, r.Code)
	}
}

func TestJobThatADeadLauncherLeftOfACancelledRunIsStopped(t *testing.T) {
	b := newBench(t, childCompletes, service)
	dead, store := dying(b, childWaits, service)
	run := dead.launch(request("usage_cost"))
	dead.started()
	store.dead.Store(true)
	if _, err := b.Cancel(t.Context(), "acme", run.ID, true); err != nil {
		t.Fatal(err)
	}
	if r := b.end(run.ID); r.State != launcher.Cancelled || r.Epoch != 2 {
		t.Errorf("the run ended as %s in epoch %d", r.State, r.Epoch)
	}
	folder, err := runfolder.Open(b.dir + "/runs/" + run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, lives, err := b.runner.Adopt(t.Context(), folder); lives || err != nil {
		t.Errorf("its job lives: %t, %v", lives, err)
	}
	if s, err := b.store.Standing(t.Context(), "u1", 1); err != nil || s.State != launcher.Fenced {
		t.Errorf("its generation is %+v, %v", s, err)
	}
}

func TestNobodyElseStartsTheRunOfACommand(t *testing.T) {
	b := newBench(t, childCompletes)
	cli := request("usage_cost")
	cli.Trigger = launcher.TriggerCLI
	run := b.submit(cli)
	other := b.another(childCompletes, service)
	if _, ok := is[*launcher.Elsewhere](other.Start(t.Context(), "acme", run.ID)); !ok {
		t.Error("a service started the run of a command that lives")
	}
	dead, _ := dying(b, childCompletes)
	lost := dead.submit(launcher.Request{Org: "acme", Provider: "openai", Template: "another", Trigger: launcher.TriggerCLI})
	if err := other.Start(t.Context(), "acme", lost.ID); err != nil {
		t.Fatal(err)
	}
	if r := b.get(lost.ID); r.State != launcher.Failed || r.Code != string(launcher.CodeLost) {
		t.Errorf("the run of a command that is gone is %s %s", r.State, r.Code)
	}
}

func TestCommandsOfLivingProcessesAreLeftAlone(t *testing.T) {
	b := newBench(t, childWaits)
	cli := request("usage_cost")
	cli.Trigger = launcher.TriggerCLI
	run := b.launch(cli)
	b.started()
	other := b.another(childWaits, service)
	if err := other.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if same, existing, err := other.Launch(t.Context(), cli); err != nil || !existing || same.ID != run.ID {
		t.Errorf("the same command: %s, %t, %v", same.ID, existing, err)
	}
	if r := b.get(run.ID); r.State != launcher.Running {
		t.Errorf("the living run is %s", r.State)
	}
}

func TestEndThatWasRecordedAndNotToldIsToldLater(t *testing.T) {
	rec := &recorder{}
	b := newBench(t, childCompletes, service, rec.use)
	dead, _ := dying(b, childCompletes, service, func(c *launcher.Config) {
		rec.use(c)
		c.Register = &refusing{c.Register.(*memory)}
	})
	run := dead.launch(request("usage_cost"))
	dead.end(run.ID)
	if _, released, ended, _ := rec.counts(); ended != 0 || released != 1 {
		t.Fatalf("%d given back, %d told", released, ended)
	}
	for range 2 {
		if err := b.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.settled(run.ID)
	if _, _, ended, _ := rec.counts(); ended != 1 {
		t.Errorf("told %d times", ended)
	}
}

// unprojected is a store whose process dies between the end of a run and its projection.
type unprojected struct{ *memory }

func (unprojected) Project(context.Context, ...launcher.Run) error { return errDown }

func TestEndThatWasRecordedAndNotProjectedIsProjectedByTheNextCommand(t *testing.T) {
	b := newBench(t, childCompletes)
	gone := procid.New()
	gone.Start = "1"
	dead := b.another(childCompletes, func(c *launcher.Config) { c.Store, c.Owner = unprojected{b.store}, gone })
	cli := request("usage_cost")
	cli.Trigger = launcher.TriggerCLI
	run := dead.launch(cli)
	dead.end(run.ID)
	dead.Close()
	if r := b.get(run.ID); r.State != launcher.Completed || r.Settled {
		t.Fatalf("the run is %s, settled: %t", r.State, r.Settled)
	}
	b.end(b.launch(cli).ID)
	if p, _ := b.store.projection(run.ID); p.State != launcher.Completed {
		t.Errorf("the next command leaves the run as %q in the tables that others read", p.State)
	}
	b.settled(run.ID)
}
