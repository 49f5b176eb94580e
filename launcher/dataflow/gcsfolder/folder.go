// Package gcsfolder is the contract between a launcher and a job that runs on machines of
// a service: what launcher/runfolder is on one machine, as objects below one prefix of
// Cloud Storage. The launcher writes spec.json; the process that builds the graph writes
// plan.json; workers leave how steps ended below steps/. How the job ended is for the
// service to say.
//
// It knows neither Beam nor the service, and it never holds a secret.
package gcsfolder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/cloudact/convergence/launcher/runfolder"
)

// Names below the prefix of a folder.
const (
	SpecFile = "spec.json"
	PlanFile = "plan.json"
	stepsDir = "steps"
)

// maxObject is more than any of these files ever is.
const maxObject = 16 << 20

// Plan is what a launcher must know to judge a job by the outcomes of its steps.
type Plan struct {
	Steps []Step `json:"steps"`
}

// Step is a step of the plan. MayFail says that its failure is not the run's.
type Step struct {
	ID      string `json:"id"`
	MayFail bool   `json:"may_fail,omitempty"`
}

// Folder is a folder of one run's attempt.
type Folder struct {
	bucket *storage.BucketHandle
	name   string
	prefix string
}

// NewClient makes a client of Cloud Storage that reads through the same API as it writes.
func NewClient(ctx context.Context, options ...option.ClientOption) (*storage.Client, error) {
	client, err := storage.NewClient(ctx, append([]option.ClientOption{storage.WithJSONReads()}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to Cloud Storage: %w", err)
	}
	return client, nil
}

// Open returns the folder at an address such as gs://bucket/runs/1; it need not exist.
func Open(client *storage.Client, address string) (*Folder, error) {
	bucket, prefix, ok := strings.Cut(strings.TrimPrefix(address, "gs://"), "/")
	prefix = strings.Trim(prefix, "/")
	if !ok || !strings.HasPrefix(address, "gs://") || bucket == "" || prefix == "" {
		return nil, fmt.Errorf("%q is no folder of Cloud Storage; it must be gs://bucket/folder", address)
	}
	return &Folder{bucket: client.Bucket(bucket), name: bucket, prefix: prefix}, nil
}

// Of returns the folder that holds a spec, by the address of the spec.
func Of(client *storage.Client, spec string) (*Folder, error) {
	dir, ok := strings.CutSuffix(spec, "/"+SpecFile)
	if !ok {
		return nil, fmt.Errorf("%q does not name the %s of a run's folder", spec, SpecFile)
	}
	return Open(client, dir)
}

// Address is the gs:// address of a file in the folder.
func (f *Folder) Address(file string) string {
	return "gs://" + f.name + "/" + path.Join(f.prefix, file)
}

// WriteSpec writes the spec.
func (f *Folder) WriteSpec(ctx context.Context, s runfolder.Spec) error {
	return f.write(ctx, SpecFile, s, false)
}

// ReadSpec reads the spec.
func (f *Folder) ReadSpec(ctx context.Context) (s runfolder.Spec, err error) {
	return s, f.read(ctx, SpecFile, &s)
}

// WritePlan writes the plan.
func (f *Folder) WritePlan(ctx context.Context, p Plan) error {
	return f.write(ctx, PlanFile, p, false)
}

// ReadPlan reads the plan; fs.ErrNotExist if the graph was never built.
func (f *Folder) ReadPlan(ctx context.Context) (p Plan, err error) {
	return p, f.read(ctx, PlanFile, &p)
}

// WriteStep leaves the outcome of a step. A bundle that is executed twice may tell twice,
// and differently: each outcome is an object of its own, and none replaces another.
func (f *Folder) WriteStep(ctx context.Context, r runfolder.StepResult) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode outcome of step %s: %w", r.Step, err)
	}
	sum := sha256.Sum256(b)
	return f.write(ctx, path.Join(stepsDir, fmt.Sprintf("%03d-%s-%s.json", r.Index, r.Step, hex.EncodeToString(sum[:8]))), r, true)
}

// ReadSteps returns one outcome per step, in the order of the document. Of several, a
// completion counts: what committed has committed, whatever an execution of the same
// bundle met that came too late. Among equals the first to end counts.
func (f *Folder) ReadSteps(ctx context.Context) ([]runfolder.StepResult, error) {
	best := map[string]runfolder.StepResult{}
	it := f.bucket.Objects(ctx, &storage.Query{Prefix: path.Join(f.prefix, stepsDir) + "/"})
	for {
		object, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list outcomes of steps in gs://%s/%s: %w", f.name, f.prefix, err)
		}
		var r runfolder.StepResult
		if err := f.read(ctx, strings.TrimPrefix(object.Name, f.prefix+"/"), &r); err != nil {
			return nil, err
		}
		if old, told := best[r.Step]; !told || better(r, old) {
			best[r.Step] = r
		}
	}
	out := make([]runfolder.StepResult, 0, len(best))
	for _, r := range best {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b runfolder.StepResult) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

var ranks = map[string]int{runfolder.StepCompleted: 3, runfolder.StepFailed: 2, runfolder.StepSkipped: 1}

func better(a, b runfolder.StepResult) bool {
	if ranks[a.State] != ranks[b.State] {
		return ranks[a.State] > ranks[b.State]
	}
	return a.End.Before(b.End)
}

// write writes a file; one that exists is kept if once is set.
func (f *Folder) write(ctx context.Context, file string, v any, once bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", file, err)
	}
	object := f.bucket.Object(path.Join(f.prefix, file)).Retryer(storage.WithPolicy(storage.RetryAlways)) // equal bytes each time
	if once {
		object = object.If(storage.Conditions{DoesNotExist: true})
	}
	w := object.NewWriter(ctx)
	w.ContentType, w.ChunkSize = "application/json", 0 // one request: these files are small
	_, err = w.Write(b)
	err = errors.Join(err, w.Close())
	var answer *googleapi.Error
	if once && errors.As(err, &answer) && answer.Code == http.StatusPreconditionFailed {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Address(file), err)
	}
	return nil
}

func (f *Folder) read(ctx context.Context, file string, into any) error {
	r, err := f.bucket.Object(path.Join(f.prefix, file)).NewReader(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) {
		return fmt.Errorf("read %s: %w", f.Address(file), fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Address(file), err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxObject))
	if err = errors.Join(err, r.Close()); err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Address(file), err)
	}
	return nil
}
