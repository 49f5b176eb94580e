package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/cloudact/convergence/transforms/row"
)

// fileFn makes the file out of what was spooled, once all of it is known.
type fileFn struct {
	Options Options

	published beam.Counter
}

// Setup makes the counter.
func (f *fileFn) Setup(context.Context) error {
	f.published = beam.NewCounter(f.Options.Step, "published")
	return nil
}

// ProcessElement emits the one result of the step.
func (f *fileFn) ProcessElement(ctx context.Context, _ int, _ func(*[]byte) bool, chunks func(*ChunkRef) bool, gates func(*StepResult) bool, emit func(StepResult)) error {
	ctx, cancel := withDeadline(ctx, f.Options.Deadline)
	defer cancel()
	o := f.Options
	w := fileWriter{publisher{options: o, clock: time.Now}}
	w.result = StepResult{
		Step: o.Step, Type: o.StepType, Index: o.Index, State: StateCompleted, Table: o.File.Path,
		Continue: o.ContinueOnFailure, Start: time.Now().UTC(),
	}
	refs := all(chunks)
	units := w.byUnit(refs)
	if by := blockers(gates); len(by) > 0 {
		w.result.State, w.result.Code = StateSkipped, CodeDependencyFailed
		w.result.Error = "a step that this one depends on did not complete: " + strings.Join(by, ", ")
	} else {
		w.make(ctx, units)
	}
	w.clean(refs)
	w.result.End = time.Now().UTC()
	f.published.Inc(ctx, w.result.Published)
	emit(w.result)
	return nil
}

// fileWriter is a publisher whose destination is a file.
type fileWriter struct{ publisher }

// make writes all units or nothing.
func (w *fileWriter) make(ctx context.Context, units map[string][]ChunkRef) {
	var chosen []ChunkRef
	for _, u := range w.options.Units {
		chain, failure := w.choose(ctx, u, units[u.ID])
		if failure != nil {
			w.fail(u, failure)
			continue
		}
		w.tally(chain, nil)
		chosen = append(chosen, chain...)
	}
	if w.result.State == StateFailed {
		w.warn(w.options.File.Path + " was left as it was")
		return
	}
	if err := w.write(ctx, chosen); err != nil {
		f := fileFailure(err)
		w.result.State, w.result.Code, w.result.Error = StateFailed, f.Code, f.Message
		return
	}
	w.result.Inserted, w.result.Published = w.result.Staged, w.result.Staged
}

// choose returns the chain of a unit after its rejects are in the dead-letter table.
func (w *fileWriter) choose(ctx context.Context, u row.Unit, refs []ChunkRef) ([]ChunkRef, *row.Failure) {
	for _, r := range refs {
		if r.Failure != nil {
			return nil, r.Failure
		}
	}
	chains := chooseChains(refs)
	if len(refs) == 0 || len(chains.broken) > 0 {
		return nil, incomplete(chains.broken)
	}
	if err := w.bury(ctx, u, chains.chosen); err != nil {
		return nil, failureOf(err)
	}
	if err := w.options.tolerates(totals(chains.chosen)); err != nil {
		return nil, failureOf(err)
	}
	return chains.chosen, nil
}

func (w *fileWriter) bury(ctx context.Context, u row.Unit, chosen []ChunkRef) error {
	if totals(chosen).Rejected == 0 {
		return nil
	}
	o := w.options
	root, _, err := o.openFolder()
	if err != nil {
		return err
	}
	defer root.Close()
	c, err := client(ctx, o.Table.Project)
	if err != nil {
		return err
	}
	o.Table.Name = o.File.Path // what the dead letters name as their source
	for i, r := range chosen {
		var rejects []row.Reject
		err := section(root, r.File.Spool+rejectsSuffix, r.File.RejectsAt, r.File.RejectsSize, func(in *bufio.Reader) error {
			return frames(in, func(b []byte) error {
				page, err := row.DecodePage(b)
				rejects = append(rejects, page.Rejects...)
				return err
			})
		})
		if err != nil {
			return err
		}
		if err := buryDirectly(ctx, c, o, fmt.Sprint(unitKey(u), "/", i), rejects, w.clock()); err != nil {
			return err
		}
	}
	return nil
}

// section reads a part of a file.
func section(root *os.Root, name string, at, size int64, read func(*bufio.Reader) error) error {
	f, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("read what was spooled: %w", err)
	}
	defer f.Close()
	if err := read(bufio.NewReaderSize(io.NewSectionReader(f, at, size), 1<<18)); err != nil {
		return fmt.Errorf("read what was spooled in %s: %w", name, err)
	}
	return nil
}

// write makes the file under another name and renames it.
func (w *fileWriter) write(ctx context.Context, chosen []ChunkRef) (err error) {
	o := w.options
	root, name, err := o.openFolder()
	if err != nil {
		return err
	}
	defer root.Close()
	dir, base := filepath.Split(name)
	if dir != "" {
		if err := root.MkdirAll(filepath.Clean(dir), 0o750); err != nil {
			return fmt.Errorf("make the folder of %s: %w", o.File.Path, err)
		}
	}
	making := filepath.Join(dir, "."+base+"."+o.RunID+".making")
	out, err := root.Create(making)
	if err != nil {
		return fmt.Errorf("write beside %s: %w", o.File.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(making))
		}
	}()
	err = formats[o.File.Format].assemble(out, o.Table.Schema, func(each func(*bufio.Reader) error) error {
		for _, r := range chosen {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := section(root, r.File.Spool, r.File.At, r.File.Size, each); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", o.File.Path, err)
	}
	if err := root.Rename(making, name); err != nil {
		return fmt.Errorf("put %s in its place: %w", o.File.Path, err)
	}
	return nil
}

// clean removes the spools.
func (w *fileWriter) clean(refs []ChunkRef) {
	root, _, err := w.options.openFolder()
	if err != nil {
		return
	}
	defer root.Close()
	var gone []string
	for _, r := range refs {
		if r.File != nil && !slices.Contains(gone, r.File.Spool) {
			gone = append(gone, r.File.Spool)
			_ = root.Remove(r.File.Spool)
			_ = root.Remove(r.File.Spool + rejectsSuffix)
		}
	}
}
