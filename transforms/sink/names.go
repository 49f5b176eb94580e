package sink

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudact/convergence/transforms/row"
)

const (
	idDigits    = 32 // hex digits of a chunk id and of a _row_id
	labelDigits = 40
)

var (
	projectPattern = regexp.MustCompile(`^[a-z][a-z0-9.:-]{1,99}$`)
	datasetPattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,900}$`)
	tablePattern   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,900}$`)
	columnPattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)
	unitPattern    = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)
	paramPattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

func stageName(u row.Unit) string { return fmt.Sprintf("_stg_%s_%d", u.ID, u.Generation) }

// unitKey is the part of a job id that names a unit and its generation.
func unitKey(u row.Unit) string { return u.ID + "_" + strconv.Itoa(u.Generation) }

// hashHex is SHA-256 over the parts, each with its length, cut to so many hex digits.
func hashHex(digits int, parts ...string) string { return hashBytes(digits, nil, parts...) }

// hashBytes is hashHex with a last part that is not copied.
func hashBytes(digits int, last []byte, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	h.Write(last)
	return hex.EncodeToString(h.Sum(nil))[:digits]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// quoted returns a name as a quoted SQL identifier; names were validated before.
func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "") + "`" }

// path returns a table as a quoted SQL path.
func (t Table) path(name string) string {
	return quoted(t.Project + "." + t.Dataset + "." + name)
}
