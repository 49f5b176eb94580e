// Package templates holds texts: the pipelines that a new document starts from, and what
// notifications of runs look like.
//
// In a pipeline, {{NAME}} is its name and {{TABLE}} the same as a name of a table;
// everything else is the language's own.
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

//go:embed notifications
var notifications embed.FS

// Notifications returns run.txt (text/template) and run.html (html/template), which
// package notify fills in.
func Notifications() fs.FS {
	sub, err := fs.Sub(notifications, "notifications")
	if err != nil { // the folder is part of the program
		panic("templates: " + err.Error())
	}
	return sub
}

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
