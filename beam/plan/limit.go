package plan

import (
	"strconv"
	"strings"

	"github.com/cloudact/convergence/configs"
)

// limitOf returns how many rows the outermost LIMIT of a statement lets through; 0 when
// there is none or it is neither a number nor a parameter.
func limitOf(statement *configs.Statement) int64 {
	offset, ok := statement.OutermostLimit()
	if !ok {
		return 0
	}
	words := strings.Fields(statement.SQL[offset+len("LIMIT"):])
	if len(words) == 0 {
		return 0
	}
	text := strings.TrimRight(words[0], ";")
	for _, p := range statement.Params {
		if "@"+p.Name == text {
			text = p.Value
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
