package runfolder

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Folder is the folder of one run. Its methods are safe for concurrent use by one
// writer process and any number of readers.
type Folder struct {
	dir string

	mu     sync.Mutex
	seq    int64
	events *os.File
}

// Open makes the folder if it is missing and returns it. Close it after writing events.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make run folder: %w", err)
	}
	return &Folder{dir: dir}, nil
}

// Path returns the path of a file in the folder.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// WriteSpec writes spec.json.
func (f *Folder) WriteSpec(s Spec) error { return f.replace(SpecFile, s) }

// ReadSpec reads spec.json.
func (f *Folder) ReadSpec() (Spec, error) {
	var s Spec
	return s, f.read(SpecFile, &s)
}

// WriteResult leaves result.json; it appears whole or not at all.
func (f *Folder) WriteResult(r Result) error { return f.replace(ResultFile, r) }

// ReadResult reads result.json; fs.ErrNotExist while the job has not ended.
func (f *Folder) ReadResult() (Result, error) {
	var r Result
	return r, f.read(ResultFile, &r)
}

// WriteJob writes job.json.
func (f *Folder) WriteJob(j Job) error { return f.replace(JobFile, j) }

// ReadJob reads job.json; fs.ErrNotExist before a job was started.
func (f *Folder) ReadJob() (Job, error) {
	var j Job
	return j, f.read(JobFile, &j)
}

// Clear removes what an earlier job has left, so that it cannot be taken for the next
// one's. The log is kept. Call it when no job works in the folder.
func (f *Folder) Clear() error {
	for _, name := range []string{ResultFile, EventsFile, JobFile} { // the result first: it alone says that a job has ended
		if err := os.Remove(f.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear run folder: %w", err)
		}
	}
	return nil
}

// Append adds one event; it sets Seq.
func (f *Folder) Append(e Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events == nil {
		file, err := openEvents(f.Path(EventsFile))
		if err != nil {
			return fmt.Errorf("open %s: %w", EventsFile, err)
		}
		f.events = file
	}
	f.seq++
	e.Seq = f.seq
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if _, err := f.events.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append to %s: %w", EventsFile, err)
	}
	return nil
}

// openEvents opens the file to append to it. A line that a killed writer left unfinished
// is ended first, so that it cannot spoil the next one.
func openEvents(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	last := []byte{'\n'}
	if err == nil && size > 0 {
		_, err = file.ReadAt(last, size-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = file.Write([]byte{'\n'})
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Close closes the event file. It is safe to call twice.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events == nil {
		return nil
	}
	err := f.events.Close()
	f.events = nil
	return err
}

// Events returns the whole events from byte offset on and the offset to go on from. A
// line that is still being written is left for the next call; a whole line that is no
// event is an error, and the offset is then the one after it.
func (f *Folder) Events(offset int64) ([]Event, int64, error) {
	file, err := os.Open(f.Path(EventsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, offset, nil
	}
	if err != nil {
		return nil, offset, fmt.Errorf("open %s: %w", EventsFile, err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, offset, fmt.Errorf("seek in %s: %w", EventsFile, err)
	}
	var out []Event
	r := bufio.NewReader(file)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil { // io.EOF with or without the start of a line
			return out, offset, nil
		}
		offset += int64(len(line))
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return out, offset, fmt.Errorf("line in %s before byte %d: %w", EventsFile, offset, err)
		}
		out = append(out, e)
	}
}

func (f *Folder) read(name string, into any) error {
	b, err := os.ReadFile(f.Path(name))
	if err != nil {
		return fmt.Errorf("read run folder: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func (f *Folder) replace(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	temp := f.Path(fmt.Sprintf(".%s.%d.%d", name, os.Getpid(), time.Now().UnixNano()))
	if err := writeSynced(temp, b); err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, os.Remove(temp)))
	}
	if err := os.Rename(temp, f.Path(name)); err != nil {
		return fmt.Errorf("put %s into place: %w", name, errors.Join(err, os.Remove(temp)))
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(append(b, '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}
