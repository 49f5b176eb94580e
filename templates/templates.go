// Package templates holds the pipelines that a new document starts from. {{NAME}} is the
// name of the pipeline and {{TABLE}} the same as a name of a table; everything else is
// the language's own.
//
// The package knows nothing but its files.
package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed *.yml
var files embed.FS

// Names returns the templates, sorted.
func Names() []string {
	names, err := fs.Glob(files, "*.yml")
	if err != nil { // the pattern is well formed
		panic("templates: " + err.Error())
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, path.Ext(name))
	}
	return names
}

// Pipeline returns the text of a template for a pipeline of the given name, which must
// start with a letter and hold letters, digits, - and _ only.
func Pipeline(template, name string) ([]byte, error) {
	text, err := files.ReadFile(template + ".yml")
	if err != nil {
		return nil, fmt.Errorf("there is no template %q; there are %s", template, strings.Join(Names(), ", "))
	}
	table := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	return []byte(strings.NewReplacer("{{NAME}}", name, "{{TABLE}}", table).Replace(string(text))), nil
}
