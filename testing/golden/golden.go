// Package golden compares what code prints with what was accepted before. A test that
// imports it has the flag -update, which accepts the present output; look at the diff
// before you commit it.
//
// It is a leaf for tests; it must not know what it compares.
package golden

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "accept the present output as golden")

// TB is what Equal needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Equal reports a test failure unless the file holds exactly got. A missing file is a
// failure too. With -update the file, and its folder, are written instead.
func Equal(t TB, file, got string) {
	t.Helper()
	if *update {
		if err := write(file, got); err != nil {
			t.Fatalf("update golden file: %v", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is no %s: run this test with -update and look at what it wrote", file)
		return
	}
	if err != nil {
		t.Fatalf("read golden file: %v", err)
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-accepted +present); -update accepts it:\n%s", file, diff)
	}
}

func write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o600)
}
