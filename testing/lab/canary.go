package lab

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rare is the part of the canary that no other text holds.
const rare = "canary-d1e57b0a9c4f"

// Canary is an admin key that must be seen nowhere but in requests to the provider.
const Canary = "sk-admin-" + rare

// spellings of the rare part: as it is, in hex, and in base64 wherever it begins in a
// group of three bytes, without the characters that its neighbours decide.
var spellings = func() []string {
	out := []string{rare, hex.EncodeToString([]byte(rare))}
	for skip := range 3 {
		whole := rare[skip:]
		out = append(out, base64.StdEncoding.EncodeToString([]byte(whole[:len(whole)/3*3])))
	}
	return out
}()

// Absent wants a text not to hold the canary.
func Absent(t testing.TB, where, text string) {
	t.Helper()
	for _, s := range spellings {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%s holds the credential: ...%q", where, text[max(0, i-80):i])
			return
		}
	}
}

// AbsentBelow wants no file below a folder, of which there are at least so many, to hold
// the canary.
func AbsentBelow(t testing.TB, dir string, least int) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		Absent(t, path, string(text))
		return err
	})
	if err != nil || files < least {
		t.Errorf("searched %d files below %s: %v", files, dir, err)
	}
}

// Text is the answer of a service to a GET as it is, asked with an API key.
func (s *Service) Text(t testing.TB, key, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", key)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("GET %s: %s %v", path, response.Status, err)
	}
	return string(b)
}
