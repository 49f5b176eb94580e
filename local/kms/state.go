package kms

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// formatVersion is the layout of the key file; a file of any other is refused.
	formatVersion = 1

	defaultDestroyAfter = 30 * 24 * time.Hour

	materialSize    = 32
	fingerprintSize = 8
)

// state is everything the key file holds, by resource name.
type state struct {
	FormatVersion int                `json:"format_version"`
	KeyRings      map[string]keyRing `json:"key_rings"`
	Keys          map[string]key     `json:"keys"`
}

type keyRing struct {
	Created time.Time `json:"created"`
}

type key struct {
	Created      time.Time         `json:"created"`
	Labels       map[string]string `json:"labels,omitempty"`
	DestroyAfter time.Duration     `json:"destroy_after_ns"`
	Primary      int               `json:"primary,omitempty"` // version number; 0 is none
	Versions     []version         `json:"versions"`          // number n is at n-1
}

type version struct {
	Created     time.Time  `json:"created"`
	Disabled    bool       `json:"disabled,omitempty"`
	DestroyAt   *time.Time `json:"destroy_at,omitempty"`
	DestroyedAt *time.Time `json:"destroyed_at,omitempty"`
	Fingerprint []byte     `json:"fingerprint"`            // names the version inside a ciphertext
	KeyMaterial []byte     `json:"key_material,omitempty"` // nil once destroyed
}

func newState() *state {
	return &state{FormatVersion: formatVersion, KeyRings: map[string]keyRing{}, Keys: map[string]key{}}
}

func newVersion(now time.Time) version {
	return version{Created: now.UTC(), Fingerprint: randomBytes(fingerprintSize), KeyMaterial: randomBytes(materialSize)}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: the runtime ends the process instead
	return b
}

func (st *state) clone() *state {
	c := &state{FormatVersion: st.FormatVersion, KeyRings: maps.Clone(st.KeyRings), Keys: maps.Clone(st.Keys)}
	for name, k := range c.Keys {
		k.Versions = slices.Clone(k.Versions)
		c.Keys[name] = k
	}
	return c
}

// view returns the current state, which the caller only reads.
func (s *Server) view() *state {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state
}

// update applies change to a copy of the state and makes it current once it is on disk,
// so that nothing is acknowledged that a crash could take back and a failed write changes nothing.
func (s *Server) update(change func(*state) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.clone()
	if err := change(next); err != nil {
		return err
	}
	if err := writeState(s.path, next); err != nil {
		return status.Errorf(codes.Internal, "storing keys: %v", err)
	}
	s.state = next
	return nil
}

// wipeDestroyed erases the material of versions whose time of destruction has come.
func (s *Server) wipeDestroyed() error {
	due := false
	for _, k := range s.view().Keys {
		due = due || slices.ContainsFunc(k.Versions, s.isDue)
	}
	if !due {
		return nil
	}
	return s.update(func(st *state) error {
		for name, k := range st.Keys {
			for i, v := range k.Versions {
				if s.isDue(v) {
					v.KeyMaterial, v.DestroyedAt, v.DestroyAt = nil, v.DestroyAt, nil
					k.Versions[i] = v
				}
			}
			st.Keys[name] = k
		}
		return nil
	})
}

func (s *Server) isDue(v version) bool {
	return v.DestroyAt != nil && !s.now().Before(*v.DestroyAt)
}

func readState(path string) (*state, error) {
	if path == "" {
		return newState(), nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("opening key file %s: other users can read it (mode %#o); run chmod 600 on it", path, info.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading key file: %w", err)
	}
	st := newState()
	st.FormatVersion = 0
	if err := decodeState(raw, st); err != nil {
		return nil, fmt.Errorf("reading key file %s: %w; restore it from a backup", path, err)
	}
	if st.FormatVersion != formatVersion {
		return nil, fmt.Errorf("key file %s has format version %d, this program reads %d: use the release that wrote it", path, st.FormatVersion, formatVersion)
	}
	return st, nil
}

// decodeState keeps the decoder's own errors out of the result: some quote the input, which holds keys.
func decodeState(raw []byte, st *state) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(st); err != nil {
		return errors.New("it is damaged")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it is damaged: data follows the keys")
	}
	for name, k := range st.Keys {
		if k.Primary < 0 || k.Primary > len(k.Versions) {
			return fmt.Errorf("it is damaged: primary version of %s", name)
		}
		for i, v := range k.Versions {
			if len(v.Fingerprint) != fingerprintSize || (v.DestroyedAt == nil && len(v.KeyMaterial) != materialSize) {
				return fmt.Errorf("it is damaged: %s", versionName(name, i+1))
			}
		}
	}
	return nil
}

func writeState(path string, st *state) error {
	if path == "" {
		return nil
	}
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding key file: %w", err)
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".kms-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing key file: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once renamed, which is wanted
	_, err = tmp.Write(raw)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("writing key file: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("replacing key file: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing directory of key file: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing directory of key file: %w", err)
	}
	return nil
}
