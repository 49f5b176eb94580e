package launcher

import "github.com/cloudact/convergence/launcher/runfolder"

// Remote is a Runner some of whose jobs go on without any launcher. A service that closes
// leaves those to the next one, which adopts them, instead of stopping them.
type Remote interface {
	// IsRemote reports whether jobs of this engine are such.
	IsRemote(engine string) bool
	// Detach ends the following of a job, whose Wait returns then, and leaves it alone.
	Detach(p Process)
}

// remote returns the runner if the attempt is to be left alone by a service that closes.
func (f *follower) remote() (Remote, bool) {
	r, ok := f.l.cfg.Runner.(Remote)
	return r, ok && f.l.cfg.Service && f.base.Trigger != TriggerCLI && r.IsRemote(f.engine)
}

// end asks a job to end, or leaves it alone if it goes on without this launcher.
func (f *follower) end(p Process, why ending) {
	if r, ok := f.remote(); ok && why == interrupted {
		r.Detach(p)
		return
	}
	p.Stop()
}

// left reports whether the job of the attempt was left to the next launcher. Nothing is
// recorded of it then, and its claims are kept: it is as if this process had been killed,
// but that the job is alive and its launch, if its answer is not known, is looked for.
func (f *follower) left() bool {
	_, ok := f.remote()
	return ok && f.reason() == interrupted
}

// inherited is the spec of the job that a launcher which is gone may have started. One that
// was another machine's has left no folder: a remote job is then known by the generations
// that were opened for the attempt, which are its work.
func (f *follower) inherited(folder *runfolder.Folder) (runfolder.Spec, error) {
	spec, err := folder.ReadSpec()
	remote, ok := f.l.cfg.Runner.(Remote)
	if err == nil && spec.RunID == f.base.ID && spec.Attempt == f.base.Attempt || !ok || !remote.IsRemote(f.engine) {
		return spec, err
	}
	generations := map[string]int{}
	f.mu.Lock()
	for _, e := range f.events {
		if e.Kind == kindGeneration && e.Attempt == f.base.Attempt {
			generations[e.Step] = max(generations[e.Step], int(e.Seq))
		}
	}
	f.mu.Unlock()
	for _, u := range f.plan.Units {
		if generations[u.ID] == 0 { // it had not come to its launch
			return spec, err
		}
	}
	if err := folder.Clear(); err != nil {
		return spec, err
	}
	spec = f.spec(generations)
	return spec, folder.WriteSpec(spec)
}
