package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a TB that keeps what it is told.
type recorder struct{ errors, fatals []string }

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatals = append(r.fatals, fmt.Sprintf(format, args...))
}

func TestAFileThatIsMissingOrDiffersFailsTheTest(t *testing.T) {
	was := *update
	*update = false
	t.Cleanup(func() { *update = was })
	file := filepath.Join(t.TempDir(), "a.golden")
	var missing recorder
	Equal(&missing, file, "one\n")
	if len(missing.fatals) != 1 || !strings.Contains(missing.fatals[0], "-update") {
		t.Errorf("a missing file says %q", missing.fatals)
	}
	if err := os.WriteFile(file, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var same, other recorder
	Equal(&same, file, "one\n")
	Equal(&other, file, "two\n")
	if len(same.errors)+len(same.fatals) != 0 {
		t.Errorf("an equal file fails: %q %q", same.errors, same.fatals)
	}
	if len(other.errors) != 1 || !strings.Contains(other.errors[0], "two") {
		t.Errorf("a different file says %q", other.errors)
	}
}

func TestUpdateWritesTheFileAndItsFolder(t *testing.T) {
	was := *update
	*update = true
	t.Cleanup(func() { *update = was })
	file := filepath.Join(t.TempDir(), "new", "a.golden")
	Equal(t, file, "one\n")
	*update = false
	Equal(t, file, "one\n")
}
