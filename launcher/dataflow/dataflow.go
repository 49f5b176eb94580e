// Package dataflow runs jobs on Google Cloud Dataflow, from a Flex Template: it uploads
// the spec of a run, launches the template under a name that is the run's own, follows
// the job by polling, and leaves in the run's folder what a child process would leave.
//
// A job belongs to whom its labels name: one of the same name that is another run's is
// refused, never followed. The package knows neither Beam nor the pipeline language.
package dataflow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/storage"
	df "google.golang.org/api/dataflow/v1b3"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/dataflow/gcsfolder"
	"github.com/cloudact/convergence/launcher/runfolder"
)

// Error codes that only this runner gives, of launches that failed and of Results.
const (
	CodeLaunch  = "DATAFLOW_REFUSED" // the service refuses the launch for good
	CodeUnknown = "DATAFLOW_LAUNCH"  // it could not be found out whether the job exists
	CodeForeign = "JOB_NAME_TAKEN"   // a job of another run has the name
	CodeDrained = "DRAINED"          // the job was drained before all steps had ended
)

// Error codes of a Result that all runners give.
const (
	codeCancelled  = "CANCELLED"
	codeStepFailed = "STEP_FAILED"
	codeRunner     = "RUNNER"
)

// Config makes a Runner. Project, Region, Template, Folder and the two services are
// required.
type Config struct {
	Dataflow *df.Service
	Storage  *storage.Client

	Project  string // of the jobs
	Region   string
	Template string // gs:// address of the container spec
	Folder   string // gs://bucket/prefix below which the folders of runs are

	// Parameters of the template beside the spec, such as environment and kms_key_name.
	Parameters map[string]string
	// Environment of the workers: number and type of machines, service account, network,
	// key, staging. Its AdditionalUserLabels are kept beside ours.
	Environment df.FlexTemplateRuntimeEnvironment

	Poll     time.Duration // between lists of jobs; 0 = 15 s
	Patience time.Duration // how long a launch is tried again, and looked for; 0 = 5 min
	Backoff  time.Duration // first pause of both; 0 = 1 s
	Log      *slog.Logger  // nil keeps nothing
}

const (
	defaultPoll     = 15 * time.Second
	defaultPatience = 5 * time.Minute
	defaultBackoff  = time.Second
	maxBackoff      = 30 * time.Second
)

// Runner launches and follows jobs. Make one with New and Close it; jobs go on without
// it.
type Runner struct {
	cfg Config
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	followed map[*process]bool
	turn     []*process    // whose progress is asked for next
	wake     chan struct{} // asks for a poll before its time
}

var (
	_ launcher.Runner  = (*Runner)(nil)
	_ launcher.Adopter = (*Runner)(nil)
	_ launcher.Remote  = (*Runner)(nil)
)

// New checks the configuration and returns a runner; it asks nobody.
func New(cfg Config) (*Runner, error) {
	var missing []string
	for name, value := range map[string]string{
		"project": cfg.Project, "region": cfg.Region, "template": cfg.Template, "folder": cfg.Folder,
	} {
		if value == "" {
			missing = append(missing, name)
		}
	}
	switch {
	case len(missing) > 0:
		return nil, fmt.Errorf("configure Dataflow: %s must be set", strings.Join(sorted(missing), ", "))
	case cfg.Dataflow == nil || cfg.Storage == nil:
		return nil, errors.New("configure Dataflow: the clients of Dataflow and Cloud Storage must be set")
	case !strings.HasPrefix(cfg.Template, "gs://"):
		return nil, fmt.Errorf("configure Dataflow: the template is %q; it must be the gs:// address of a container spec", cfg.Template)
	}
	if _, err := gcsfolder.Open(cfg.Storage, cfg.Folder); err != nil {
		return nil, fmt.Errorf("configure Dataflow: %w", err)
	}
	cfg.Poll, cfg.Patience, cfg.Backoff = cmp.Or(cfg.Poll, defaultPoll), cmp.Or(cfg.Patience, defaultPatience), cmp.Or(cfg.Backoff, defaultBackoff)
	r := &Runner{cfg: cfg, log: cfg.Log, followed: map[*process]bool{}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.wake = make(chan struct{}, 1)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.poll)
	return r, nil
}

// Close stops following. Jobs go on; Adopt finds them again.
func (r *Runner) Close() {
	r.cancel()
	r.wg.Wait()
}

// Start starts the job of a run folder, or takes over the one that an earlier launcher
// started for the same attempt. The answer that the service gave to that launcher may
// have been lost, so a job is looked for before one is launched, in every state.
func (r *Runner) Start(ctx context.Context, folder *runfolder.Folder) (launcher.Process, error) {
	spec, err := folder.ReadSpec()
	if err != nil {
		return nil, err
	}
	id := identityOf(spec)
	job, err := r.find(ctx, id)
	if err != nil {
		return nil, r.refused(err)
	}
	if job == nil || !id.goesOn(job) {
		if job, err = r.launch(ctx, id, spec); err != nil {
			return nil, r.refused(err)
		}
	}
	return r.follow(folder, spec, job)
}

// goesOn reports whether a job of ours is to be followed, and not another one launched:
// an active one always, for two would only fence each other off; one that has ended only
// if it did this very work. A cancelled one did not: its work is resumed by the next.
func (id identity) goesOn(j *df.Job) bool {
	return !terminal(j.CurrentState) || j.CurrentState != stateCancelled && j.Labels[labelWork] == id.labels[labelWork]
}

// Adopt implements launcher.Adopter. Of a job that has ended it leaves the result in the
// folder and says that none lives.
func (r *Runner) Adopt(ctx context.Context, folder *runfolder.Folder) (launcher.Process, bool, error) {
	spec, err := folder.ReadSpec()
	if err != nil {
		return nil, false, err
	}
	id := identityOf(spec)
	job, err := r.find(ctx, id)
	if err != nil || job == nil || !id.goesOn(job) {
		return nil, false, err
	}
	if terminal(job.CurrentState) && job.ReplacedByJobId == "" {
		p, err := r.process(folder, spec, job)
		if err != nil {
			return nil, false, err
		}
		return nil, false, errors.Join(p.finish(ctx, job), folder.Close())
	}
	p, err := r.follow(folder, spec, job)
	return p, err == nil, err
}

// refused words an error for the user.
func (r *Runner) refused(err error) error {
	var coded *launcher.Error
	if errors.As(err, &coded) || errors.Is(err, context.Canceled) {
		return err
	}
	return &launcher.Error{Code: CodeUnknown, Message: "Dataflow could not be asked for the job of the run; try again", Err: err}
}

// identity is what a job of a run is known by.
type identity struct {
	name   string
	labels map[string]string
}

// Names of labels. Epoch and pipeline do not tell whose a job is: a launcher that takes
// a run over goes on with the job of the one before.
const (
	labelOrg      = "convergence-org"
	labelRun      = "convergence-run"
	labelAttempt  = "convergence-attempt"
	labelEpoch    = "convergence-epoch"
	labelPipeline = "convergence-pipeline"
	labelWork     = "convergence-work"   // hash of what is to be done
	labelFolder   = "convergence-folder" // where the launch put the spec
)

var owning = []string{labelOrg, labelRun, labelAttempt}

// identityOf makes the name of a run's job. It holds org, run and attempt, so that no
// two of them ever share one; slugs have no hyphen, so that replacing underscores keeps
// them apart.
func identityOf(s runfolder.Spec) identity {
	return identity{
		name: fmt.Sprintf("convergence-%s-%s-a%d", strings.ReplaceAll(s.Org, "_", "-"), strings.ToLower(s.RunID), s.Attempt),
		labels: map[string]string{
			labelOrg: labelValue(s.Org), labelRun: labelValue(s.RunID), labelAttempt: strconv.Itoa(s.Attempt),
			labelEpoch: strconv.Itoa(s.Epoch), labelPipeline: labelValue(s.Pipeline), labelWork: workOf(s),
		},
	}
}

const longestLabel = 63

// labelValue makes a text fit: lower-case letters, digits, hyphens and underscores.
func labelValue(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			return c
		default:
			return '_'
		}
	}, strings.ToLower(s))
	return s[:min(len(s), longestLabel)]
}

// ownership says whose a job is, as far as it is known.
type ownership int

const (
	unknown ownership = iota // it has no labels yet: those of a launch appear with its graph
	ours
	foreign
)

func (id identity) of(j *df.Job) ownership {
	if j.Name != id.name {
		return foreign
	}
	known := 0
	for _, name := range owning {
		value, ok := j.Labels[name]
		if ok && value != id.labels[name] {
			return foreign
		}
		if ok {
			known++
		}
	}
	switch {
	case known == len(owning):
		return ours
	case len(j.Labels) == 0 && !terminal(j.CurrentState) && j.CurrentState != stateRunning:
		return unknown
	default:
		return foreign // a job that runs without our labels was never ours
	}
}

// workOf is a hash of what a spec wants done, which two launchers of one attempt agree
// about unless generations were given up in between.
func workOf(s runfolder.Spec) string {
	b, _ := json.Marshal([]any{s.Pipeline, s.Document, s.Params, s.StartDate, s.EndDate, s.Generations}) // plain data
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// folder is where the job of a spec finds its spec and leaves outcomes. Every launch has
// one of its own, which the job's label names, so that outcomes of two jobs never meet.
func (r *Runner) folder(s runfolder.Spec, launch string) (*gcsfolder.Folder, error) {
	if launch == "" {
		return nil, fmt.Errorf("the job of run %s does not say where its folder is", s.RunID)
	}
	return gcsfolder.Open(r.cfg.Storage, fmt.Sprintf("%s/%s/%s/a%d-%s", strings.TrimSuffix(r.cfg.Folder, "/"), s.Org, s.RunID, s.Attempt, launch))
}

func (r *Runner) labels(id identity) map[string]string {
	labels := maps.Clone(r.cfg.Environment.AdditionalUserLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, id.labels)
	return labels
}
