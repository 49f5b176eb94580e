package configs

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"sync"
	"time"
)

// checkEvery is how long a catalogue is used before its files are looked at again.
const checkEvery = time.Second

// Library is a catalogue over files that may change. It is safe for concurrent use.
type Library struct {
	layers []fs.FS
	now    func() time.Time

	mu      sync.Mutex
	catalog *Catalog
	print   uint64
	checked time.Time
	broken  error
}

// NewLibrary opens layers as Open does, and opens them again when one of their files has
// changed. A nil now is the wall clock.
func NewLibrary(now func() time.Time, layers ...fs.FS) (*Library, error) {
	if now == nil {
		now = time.Now
	}
	l := &Library{layers: layers, now: now}
	print, err := fingerprint(layers)
	if err != nil {
		return nil, err
	}
	if l.catalog, err = Open(layers...); err != nil {
		return nil, err
	}
	l.print, l.checked = print, now()
	return l, nil
}

// Catalog returns the catalogue of the files as they are, or were a moment ago. When they
// cannot be read any more it returns the last one that could, and why.
func (l *Library) Catalog() (*Catalog, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.checked) >= checkEvery {
		l.checked = now
		l.refresh()
	}
	return l.catalog, l.broken
}

func (l *Library) refresh() {
	print, err := fingerprint(l.layers)
	if err == nil && print == l.print && l.broken == nil {
		return
	}
	var next *Catalog
	if err == nil {
		next, err = Open(l.layers...)
	}
	if l.broken = err; err == nil {
		l.catalog, l.print = next, print
	}
}

// fingerprint tells files apart by name, size and time.
func fingerprint(layers []fs.FS) (uint64, error) {
	h := fnv.New64a()
	for _, layer := range layers {
		if layer == Shipped() {
			continue // part of the binary
		}
		err := fs.WalkDir(layer, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("list configs: %w", err)
		}
	}
	return h.Sum64(), nil
}
