package pricing

import (
	"fmt"
	"io/fs"
	"strings"
)

// ParseFS parses the price files of a directory: every *.json but the *.schema.json
// beside them. A directory without one is an error.
func ParseFS(dir fs.FS) (*Table, error) {
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, fmt.Errorf("list price files: %w", err)
	}
	var files []File
	for _, name := range names {
		if strings.HasSuffix(name, ".schema.json") {
			continue
		}
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("read price file: %w", err)
		}
		files = append(files, File{Name: name, Data: data})
	}
	return Parse(files...)
}
