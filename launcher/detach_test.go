package launcher_test

import (
	"context"
	"sync"
	"testing"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/local"
	"github.com/cloudact/convergence/launcher/procid"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// remote is a runner whose jobs are left alone when they are detached.
type remote struct{ *local.Runner }

type leavable struct {
	launcher.Process
	once sync.Once
	left chan struct{}
}

func (r remote) Start(ctx context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	p, err := r.Runner.Start(ctx, folder)
	if err != nil {
		return nil, err
	}
	return &leavable{Process: p, left: make(chan struct{})}, nil
}

func (p *leavable) Wait() error {
	gone := make(chan error, 1)
	go func() { gone <- p.Process.Wait() }()
	select {
	case err := <-gone:
		return err
	case <-p.left:
		return context.Canceled
	}
}

func (remote) IsRemote(string) bool { return true }

func (remote) Detach(p launcher.Process) {
	one := p.(*leavable)
	one.once.Do(func() { close(one.left) })
}

func TestServiceThatStopsLeavesJobsThatGoOnWithoutIt(t *testing.T) {
	ends := procid.New() // of a process that is gone, as the service's is once it has closed
	ends.Start = "1"
	b := newBench(t, childLate, service, func(c *launcher.Config) {
		c.Runner, c.Owner = remote{c.Runner.(*local.Runner)}, ends
	})
	run := b.launch(request("usage_cost"))
	b.started()
	b.Close()
	if r := b.get(run.ID); r.State != launcher.Running || r.Epoch != 1 {
		t.Fatalf("after the service stopped the run is %s of epoch %d", r.State, r.Epoch)
	}
	if _, err := runResult(b, run.ID); err == nil {
		t.Fatal("the job was stopped")
	}
	next := b.another(childCompletes, service)
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	next.until(run.ID, func(r launcher.Run) bool { return r.Epoch == 2 && r.State == launcher.Running })
	if spec, err := next.spec(run.ID); err != nil || spec.Epoch != 1 {
		t.Fatalf("another job was started: epoch %d, %v", spec.Epoch, err)
	}
	next.Stop(run.ID) // it completes all the same
	if r := next.end(run.ID); r.State != launcher.Completed {
		t.Errorf("the run ended as %+v", r)
	}
}

func runResult(b *bench, id string) (runfolder.Result, error) {
	folder, err := runfolder.Open(b.dir + "/runs/" + id)
	if err != nil {
		return runfolder.Result{}, err
	}
	return folder.ReadResult()
}
