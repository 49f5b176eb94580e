package sink

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/cloudact/convergence/transforms/row"
)

func init() {
	register.DoFn3x1[context.Context, row.Page, func(ChunkRef), error](&spoolFn{})
	register.DoFn6x1[context.Context, int, func(*[]byte) bool, func(*ChunkRef) bool, func(*StepResult) bool, func(StepResult), error](&fileFn{})
}

// File is a destination on the machine that runs the job. It is there whole or not at
// all: rows are kept beside it and the file is renamed once every unit is complete. Rows
// stand in the order of units, partitions and pages, however they came.
type File struct {
	Path   string `json:"path"`
	Format string `json:"format"` // jsonl, csv or parquet
}

// fileRange is where the rows and rejects of consecutive pages stand in a spool.
type fileRange struct {
	Spool       string `json:"spool"` // within the folder
	At          int64  `json:"at"`
	Size        int64  `json:"size"`
	RejectsAt   int64  `json:"rejects_at,omitempty"`
	RejectsSize int64  `json:"rejects_size,omitempty"`
}

const (
	spoolSuffix   = ".part"
	rejectsSuffix = ".rejects"
	spoolAge      = 24 * time.Hour // of what a killed job left
	rangeRows     = 100_000        // rejected rows of more pages are not held together
)

var files struct {
	sync.RWMutex
	folder func(org string) (string, error)
}

// UseFiles says below which folder the files of an org may be written. A main calls it
// before beam.Init; where nobody did, a step with a file as its destination fails.
func UseFiles(folder func(org string) (string, error)) {
	files.Lock()
	defer files.Unlock()
	files.folder = folder
}

// openFolder opens the org's folder, which nothing that is opened through it can leave,
// and returns the path of the file within it.
func (o Options) openFolder() (*os.Root, string, error) {
	files.RLock()
	folder := files.folder
	files.RUnlock()
	if folder == nil {
		return nil, "", errors.New("this process may not write files: name a table as the destination")
	}
	dir, err := folder(o.Org)
	if err != nil {
		return nil, "", fmt.Errorf("find the folder for files: %w", err)
	}
	name := o.File.Path
	if filepath.IsAbs(name) {
		if name, err = filepath.Rel(dir, name); err != nil {
			return nil, "", fmt.Errorf("destination.path %s: %w", o.File.Path, err)
		}
	}
	if name = filepath.Clean(name); !filepath.IsLocal(name) || name == "." {
		return nil, "", fmt.Errorf("destination.path %s is outside %s, the only folder that files may be written to", o.File.Path, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "", fmt.Errorf("open the folder for files: %w", err)
	}
	return root, name, nil
}

func (o Options) validateFile() error {
	errs := []error{o.validateUnits(), o.validateNames()}
	if formats[o.File.Format] == nil {
		errs = append(errs, fmt.Errorf("format %q is not supported: use one of %s", o.File.Format, strings.Join(sortedKeys(formats), ", ")))
	}
	if len(o.Table.Schema) == 0 {
		errs = append(errs, fmt.Errorf("the columns of %s are not known: declare a schema", o.File.Path))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("step %s: %w", o.Step, err)
	}
	return nil
}

func writeFile(s beam.Scope, in Input, o Options) (beam.PCollection, error) {
	if err := o.validateFile(); err != nil {
		return beam.PCollection{}, err
	}
	o.WriteMode, o.KeyFields = "", nil
	stage, ends := s.Scope("Stage"), s.Scope("Publish")
	chunks := beam.ParDo(stage, &spoolFn{Options: o}, in.Pages)
	return told(ends, beam.ParDo(ends, &fileFn{Options: o}, gathered(ends, chunks, gateOf(s, in.Gates)))), nil
}

// spoolFn keeps pages beside the file and emits where they stand.
type spoolFn struct {
	Options Options

	root           *os.Root
	name           string // of the file within root
	format         fileFormat
	check          checker
	spool          *spool
	rows, rejected beam.Counter
}

// Setup opens the folder.
func (f *spoolFn) Setup(context.Context) error {
	f.format, f.check = formats[f.Options.File.Format], newChecker(f.Options)
	f.rows, f.rejected = beam.NewCounter(f.Options.Step, "rows"), beam.NewCounter(f.Options.Step, "rejected")
	return nil
}

// Teardown closes the folder.
func (f *spoolFn) Teardown() {
	if f.root != nil {
		_ = f.root.Close()
	}
}

// ProcessElement appends a page to the spool of the bundle.
func (f *spoolFn) ProcessElement(ctx context.Context, p row.Page, emit func(ChunkRef)) error {
	f.rows.Inc(ctx, int64(len(p.Rows)+len(p.Rejects)))
	u, problem := f.Options.placed(p)
	if problem == nil {
		problem = fileFailure(f.add(ctx, u, p, emit))
	}
	if problem != nil {
		emit(ChunkRef{Unit: p.Unit, Partition: p.Partition, Pass: p.Pass, Index: p.Index, Start: time.Now().UnixMicro(), Failure: problem})
	}
	return nil
}

// FinishBundle makes the spool durable.
func (f *spoolFn) FinishBundle(_ context.Context, emit func(ChunkRef)) error {
	if f.spool == nil {
		return nil
	}
	f.spool.end(emit)
	if problem := fileFailure(f.spool.close()); problem != nil {
		for _, u := range f.Options.Units {
			emit(ChunkRef{Unit: u.ID, Failure: problem})
		}
	}
	f.spool = nil
	return nil
}

func fileFailure(err error) *row.Failure {
	if err == nil {
		return nil
	}
	f := failureOf(err)
	if f.Code == CodeWarehouse {
		f.Code = CodeFile
	}
	return f
}

func (f *spoolFn) add(ctx context.Context, u row.Unit, p row.Page, emit func(ChunkRef)) error {
	if f.spool == nil {
		var err error
		if f.spool, err = f.begin(); err != nil {
			return err
		}
	}
	s, o := f.spool, f.Options
	s.continueAt(p.Position, emit)
	before := len(s.rejects)
	kept := p.Rows[:0:0]
	for i, r := range p.Rows {
		if code, reason := f.check.check(u, r); code != "" {
			s.rejects = append(s.rejects, row.Reject{Code: code, Step: o.Step, Reason: reason, Payload: string(o.Table.Schema.AppendJSON(nil, r)), Index: int64(i)})
			continue
		}
		kept = append(kept, r)
	}
	s.rejects = append(s.rejects, p.Rejects...)
	f.rejected.Inc(ctx, int64(len(s.rejects)-before))
	r := &s.ref
	r.RowsIn += int64(len(p.Rows) + len(p.Rejects))
	r.RowsOut += int64(len(kept))
	r.Rejected += int64(len(s.rejects) - before)
	r.Pages++
	r.Requests += p.Requests
	r.Next, r.Last = p.Next, p.Last
	s.line = s.line[:0]
	for _, cells := range kept {
		var err error
		if s.line, err = f.format.appendRow(s.line, o.Table.Schema, cells); err != nil {
			return fmt.Errorf("encode a row of %s: %w", o.File.Path, err)
		}
	}
	return s.write(s.line)
}

// begin makes a spool beside the file, and takes away what killed jobs left long ago.
func (f *spoolFn) begin() (*spool, error) {
	if f.root == nil {
		var err error
		if f.root, f.name, err = f.Options.openFolder(); err != nil {
			return nil, err
		}
	}
	dir, base := filepath.Split(f.name)
	if dir != "" {
		if err := f.root.MkdirAll(filepath.Clean(dir), 0o750); err != nil {
			return nil, fmt.Errorf("make the folder of %s: %w", f.Options.File.Path, err)
		}
	}
	prefix := "." + base + "."
	f.sweep(dir, prefix)
	at := filepath.Join(dir, prefix+strings.ToLower(rand.Text()[:12])+spoolSuffix)
	rows, err := f.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("write beside %s: %w", f.Options.File.Path, err)
	}
	rejects, err := f.root.OpenFile(at+rejectsSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write beside %s: %w", f.Options.File.Path, err), rows.Close())
	}
	return &spool{name: at, rows: newTally(rows), letters: newTally(rejects)}, nil
}

func (f *spoolFn) sweep(dir, prefix string) {
	folder, err := f.root.Open(filepath.Join(".", dir))
	if err != nil {
		return
	}
	defer folder.Close()
	entries, _ := folder.ReadDir(-1)
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), prefix) && strings.Contains(e.Name(), spoolSuffix) && time.Since(info.ModTime()) > spoolAge {
			_ = f.root.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// tally is a buffered file that knows its length.
type tally struct {
	file *os.File
	out  *bufio.Writer
	size int64
}

func newTally(f *os.File) *tally { return &tally{file: f, out: bufio.NewWriterSize(f, 1<<18)} }

func (t *tally) Write(b []byte) (int, error) {
	n, err := t.out.Write(b)
	t.size += int64(n)
	return n, err
}

func (t *tally) close() error { return errors.Join(t.out.Flush(), t.file.Close()) }

// spool is the rows and rejects of one bundle, pages of all partitions as they came.
type spool struct {
	name          string
	rows, letters *tally
	ref           ChunkRef // of the pages that are being added; no Unit: none are
	rejects       []row.Reject
	line          []byte
}

// continueAt ends the range in hand unless the page goes on with it.
func (s *spool) continueAt(p row.Position, emit func(ChunkRef)) {
	r := s.ref
	if r.Unit == p.Unit && r.Partition == p.Partition && r.Pass == p.Pass && r.Next == p.First && r.Index+r.Pages == p.Index && len(s.rejects) < rangeRows {
		return
	}
	s.end(emit)
	s.ref = newRef(p, time.Now())
	s.ref.File = &fileRange{Spool: s.name, At: s.rows.size, RejectsAt: s.letters.size}
	s.ref.ID = fmt.Sprintf("%s:%012d", s.name, s.rows.size)
}

func (s *spool) end(emit func(ChunkRef)) {
	if s.ref.Unit == "" {
		return
	}
	for _, r := range s.rejects {
		page, err := row.EncodePage(row.Page{Rejects: []row.Reject{r}})
		if err == nil {
			_, err = s.letters.Write(framed(nil, page))
		}
		if err != nil {
			s.ref.Failure = fileFailure(err)
		}
	}
	f := s.ref.File
	f.Size, f.RejectsSize = s.rows.size-f.At, s.letters.size-f.RejectsAt
	emit(s.ref)
	s.ref, s.rejects = ChunkRef{}, nil
}

func (s *spool) write(b []byte) error {
	if _, err := s.rows.Write(b); err != nil {
		return fmt.Errorf("write %s: %w", s.name, err)
	}
	return nil
}

func (s *spool) close() error { return errors.Join(s.rows.close(), s.letters.close()) }

// framed appends bytes behind their length.
func framed(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// frames calls f for each framed value.
func frames(in *bufio.Reader, f func([]byte) error) error {
	for {
		n, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
	}
}
