package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/transforms/row"
)

// loadsInFlight bounds the memory of a stage.
const loadsInFlight = 4

// batch is the chunks that one load job carries.
type batch struct {
	unit   row.Unit
	stage  time.Time // when its staging table was made
	chunks []*chunk
	rows   int64
	bytes  int
	sends  int  // how often its bytes were handed to the client
	reuse  bool // nothing can be reading its bytes any more
}

func (b *batch) add(c *chunk) {
	b.chunks = append(b.chunks, c)
	b.rows += c.ref.RowsIn
	b.bytes += len(c.buf)
}

// loads runs load jobs beside the fetching. Its methods belong to one goroutine; only
// the jobs themselves run in others.
type loads struct {
	client  *bigquery.Client
	options Options
	results chan *batch
	running int
	ended   []ChunkRef // of jobs that have ended
	free    [][]byte   // buffers to use again
}

func newLoads(c *bigquery.Client, o Options) *loads {
	return &loads{client: c, options: o, results: make(chan *batch, loadsInFlight)}
}

// start sends a batch, waiting while too many are under way.
func (l *loads) start(ctx context.Context, b *batch) {
	for l.running >= loadsInFlight {
		l.end(<-l.results)
	}
	l.running++
	b.identify()
	go func() {
		jobID, err := l.load(ctx, b)
		for _, c := range b.chunks {
			c.ref.JobID = jobID
			if err != nil {
				c.ref.Failure = failureOf(err)
			}
		}
		l.results <- b
	}()
}

func (l *loads) end(b *batch) {
	l.running--
	for _, c := range b.chunks {
		c.ended = true
		l.ended = append(l.ended, c.ref)
		if b.reuse && len(l.free) < 2*loadsInFlight {
			l.free = append(l.free, c.buf)
		}
		c.buf = nil // the window of its partition still holds the chunk
	}
}

// buffer returns a buffer that no load uses any more.
func (l *loads) buffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b
	}
	return nil
}

// poll takes the results that are there; drain waits for all.
func (l *loads) poll() []ChunkRef {
	for l.running > 0 {
		select {
		case b := <-l.results:
			l.end(b)
			continue
		default:
		}
		break
	}
	return l.take()
}

// wait waits for one load to end; false if none is running.
func (l *loads) wait() bool {
	if l.running == 0 {
		return false
	}
	l.end(<-l.results)
	return true
}

func (l *loads) drain() []ChunkRef {
	for l.running > 0 {
		l.end(<-l.results)
	}
	return l.take()
}

func (l *loads) take() []ChunkRef {
	refs := l.ended
	l.ended = nil
	return refs
}

// load appends the batch to its staging table once, and returns the job's id.
func (l *loads) load(ctx context.Context, b *batch) (string, error) {
	ids := make([]string, len(b.chunks))
	lines := 0
	for i, c := range b.chunks {
		ids[i] = c.ref.ID
		lines += len(c.gaps)
	}
	slices.Sort(ids)
	t := l.options.Table
	stage := l.client.DatasetInProject(t.Project, t.Dataset).Table(stageName(b.unit))
	d, err := work{
		client: l.client, project: t.Project, location: t.Location, since: b.stage, timeout: l.options.jobTimeout(),
		name: func(ordinal int) string {
			return "load_" + hashHex(labelDigits, append(slices.Clone(ids), strconv.Itoa(ordinal))...)
		},
		send: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			b.sends++
			return loaderOf(stage, id, l.options, b.reader()).Run(ctx)
		},
	}.submit(ctx)
	if err != nil {
		return "", stageGone(b.unit, fmt.Errorf("load into staging table %s: %w", stageName(b.unit), err))
	}
	// A request that was answered early or given up may still be reading the bytes.
	b.reuse = b.sends == 1 && !d.attached
	if s, ok := d.status.Statistics.Details.(*bigquery.LoadStatistics); ok && s.OutputRows != int64(lines) {
		return d.id, coded{CodeCountMismatch, fmt.Errorf("job %s loaded %d of %d lines", d.id, s.OutputRows, lines)}
	}
	return d.id, nil
}

// loaderOf appends newline-delimited JSON to a table that must exist, in one request.
func loaderOf(to *bigquery.Table, id bigquery.JobIDConfig, o Options, lines io.Reader) *bigquery.Loader {
	source := bigquery.NewReaderSource(lines)
	source.SourceFormat = bigquery.JSON
	loader := to.LoaderFrom(source)
	loader.JobIDConfig = id
	loader.CreateDisposition = bigquery.CreateNever
	loader.WriteDisposition = bigquery.WriteAppend
	loader.JobTimeout = o.jobTimeout()
	loader.MediaOptions = []googleapi.MediaOption{googleapi.ChunkSize(0), googleapi.ContentType("application/octet-stream")}
	return loader
}

// identify gives the chunks their ids: the same chunks in one load have the same ones
// whoever makes them, and with any other company they do not.
func (b *batch) identify() {
	hashes := make([]string, len(b.chunks))
	for i, c := range b.chunks {
		hashes[i] = c.ref.ID
	}
	slices.Sort(hashes)
	load := hashHex(idDigits, hashes...)
	for _, c := range b.chunks {
		c.identify(load)
	}
}

func (b *batch) reader() io.Reader {
	parts := make([]io.Reader, len(b.chunks))
	for i, c := range b.chunks {
		parts[i] = bytes.NewReader(c.buf)
	}
	return io.MultiReader(parts...)
}

// coded is an error that knows the code its step fails with.
type coded struct {
	code string
	err  error
}

func (c coded) Error() string { return c.err.Error() }
func (c coded) Unwrap() error { return c.err }

func failureOf(err error) *row.Failure {
	code := CodeWarehouse
	var c coded
	switch {
	case errors.As(err, &c):
		code = c.code
	case errors.Is(err, errSuperseded):
		code = CodeSuperseded
	case errors.Is(err, context.DeadlineExceeded):
		code = CodeTimeout
	}
	return &row.Failure{Code: code, Message: err.Error()}
}
