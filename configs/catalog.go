package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

const (
	centralFolder = "organizations"
	providersFile = "system/providers.yml"
	reportsFolder = "system/reports"
)

// notPipelines are top-level folders whose .yml files are no pipelines.
var notPipelines = map[string]bool{"system": true, centralFolder: true, "pricing": true, "orgs": true, "notify_systems": true}

// Catalog is what one or more layers of configuration hold, read once. It never changes
// and is safe for concurrent use.
type Catalog struct {
	orgs      map[string]*Catalog // what belongs to one org alone: pipelines and tables
	pipelines map[string]File
	tables    map[string]TableSchema
	aliases   map[string]string // of tables
	central   map[string]CentralTable
	reports   map[string]Report
	providers Providers
}

func newCatalog() *Catalog {
	return &Catalog{
		pipelines: map[string]File{}, tables: map[string]TableSchema{}, aliases: map[string]string{},
		central: map[string]CentralTable{}, reports: map[string]Report{},
	}
}

// Open reads layers, each rooted as Shipped is. A later layer wins over an earlier one
// file by file. What is below orgs/{org}, or below a top folder that is the slug of an
// org, is seen through For only.
func Open(layers ...fs.FS) (*Catalog, error) {
	c := newCatalog()
	c.orgs = map[string]*Catalog{}
	if err := c.readProviders(layers); err != nil {
		return nil, fmt.Errorf("read configs: %w", err)
	}
	for _, layer := range layers {
		err := fs.WalkDir(layer, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if org, rest, own := c.owner(name); own {
				return c.org(org).addOwn(layer, name, org, rest)
			}
			return c.add(layer, name)
		})
		if err != nil {
			return nil, fmt.Errorf("read configs: %w", err)
		}
	}
	return c, nil
}

// add reads one file if the catalogue has a use for it.
func (c *Catalog) add(layer fs.FS, name string) error {
	read, known := c.reader(name)
	if !known {
		return nil
	}
	text, err := fs.ReadFile(layer, name)
	if err != nil {
		return err
	}
	return read(text)
}

func (c *Catalog) reader(name string) (read func([]byte) error, known bool) {
	folder, file := path.Split(name)
	folder = strings.TrimSuffix(folder, "/")
	base, ext := strings.TrimSuffix(file, path.Ext(file)), path.Ext(file)
	switch {
	case name == providersFile:
		return func(text []byte) (err error) {
			c.providers, err = parseProviders(text)
			return err
		}, true
	case folder == reportsFolder && ext == ".sql":
		return func(text []byte) error {
			c.reports[base] = newReport(base, "configs/"+name, text)
			return nil
		}, true
	case folder == centralFolder && ext == ".json":
		return func(text []byte) error {
			t := CentralTable{Name: base}
			if err := strictJSON(text, &t); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			c.central[base] = t
			return nil
		}, true
	case path.Base(folder) == "schemas" && ext == ".json":
		ref := path.Join(path.Dir(folder), base)
		return func(text []byte) error {
			tables, err := parseTableSchemas(ref, text)
			for _, t := range tables {
				c.declare(t)
			}
			return err
		}, true
	case ext == ".yml" && isPipelinePath(folder):
		id := path.Join(folder, base)
		return func(text []byte) error {
			c.pipelines[id] = File{Name: "configs/" + name, Text: text, ID: id}
			return nil
		}, true
	}
	return nil, false
}

// declare adds a table. Its name wins over an alias of another one.
func (c *Catalog) declare(t TableSchema) {
	c.tables[t.Ref] = t
	delete(c.aliases, t.Ref)
	for _, alias := range t.Aliases {
		c.aliases[path.Join(path.Dir(t.Ref), alias)] = t.Ref
	}
}

// isPipelinePath accepts {provider} and {provider}/{domain}.
func isPipelinePath(folder string) bool {
	parts := strings.Split(folder, "/")
	return folder != "" && len(parts) <= 2 && !notPipelines[parts[0]]
}

// ID joins the parts of a pipeline's identity; domain may be empty.
func ID(provider, domain, name string) string { return path.Join(provider, domain, name) }

// WithTables returns the catalogue with further declared tables, by reference, which win
// over its own. A text that declares none is left out: whoever wrote it had read it.
func (c *Catalog) WithTables(texts map[string]json.RawMessage) *Catalog {
	if len(texts) == 0 {
		return c
	}
	out := *c
	out.tables, out.aliases = maps.Clone(c.tables), maps.Clone(c.aliases)
	for ref, text := range texts {
		t, err := parseTableSchema(ref, text)
		if err != nil {
			continue
		}
		out.declare(t)
	}
	return &out
}

// WithProviders returns the catalogue with further providers, as Providers.JSON writes
// them, which win over its own.
func (c *Catalog) WithProviders(text json.RawMessage) (*Catalog, error) {
	if len(text) == 0 {
		return c, nil
	}
	more, err := parseProviders(text)
	if err != nil {
		return nil, err
	}
	out := *c
	out.providers = Providers{byName: maps.Clone(c.providers.byName), aliases: maps.Clone(c.providers.aliases)}
	maps.Copy(out.providers.byName, more.byName)
	maps.Copy(out.providers.aliases, more.aliases)
	return &out, nil
}

// Find returns the pipeline configs/{provider}/{domain}/{name}.yml; domain may be empty.
func (c *Catalog) Find(provider, domain, name string) (File, bool) {
	return c.ByPath(ID(provider, domain, name))
}

// ByPath returns a pipeline by its identity, with or without "configs/" and ".yml".
func (c *Catalog) ByPath(id string) (File, bool) {
	f, ok := c.pipelines[strings.TrimSuffix(strings.TrimPrefix(id, "configs/"), ".yml")]
	return f, ok
}

// NotFound says that there is no such pipeline, with the nearest one that exists.
func (c *Catalog) NotFound(id string) Problem {
	return Problem{File: "configs/" + id + ".yml", Message: "there is no such pipeline", Suggestion: nearest(id, c.List())}
}

// List returns the identities of all pipelines, sorted.
func (c *Catalog) List() []string { return slices.Sorted(maps.Keys(c.pipelines)) }

// Table returns a declared table by its reference "{provider}/{domain}/{name}".
func (c *Catalog) Table(ref string) (TableSchema, bool) {
	file, err := schemaPath(ref)
	if err != nil {
		return TableSchema{}, false
	}
	folder, name := path.Split(strings.TrimSuffix(file, ".json"))
	ref = path.Join(path.Dir(strings.TrimSuffix(folder, "/")), name)
	if full, ok := c.aliases[ref]; ok {
		ref = full
	}
	t, ok := c.tables[ref]
	return t, ok
}

// Tables returns the references of all declared tables, sorted.
func (c *Catalog) Tables() []string { return slices.Sorted(maps.Keys(c.tables)) }

// Central returns the tables of the organizations dataset, by name.
func (c *Catalog) Central() []CentralTable {
	out := make([]CentralTable, 0, len(c.central))
	for _, name := range slices.Sorted(maps.Keys(c.central)) {
		out = append(out, c.central[name])
	}
	return out
}

// Providers returns the providers that the layers declare.
func (c *Catalog) Providers() Providers { return c.providers }

// Report returns a shipped report by name.
func (c *Catalog) Report(name string) (Report, bool) {
	r, ok := c.reports[name]
	return r, ok
}

// Reports returns the names of all reports, sorted.
func (c *Catalog) Reports() []string { return slices.Sorted(maps.Keys(c.reports)) }

// FieldsJSON returns the columns as BigQuery's JSON array of fields.
func (t TableSchema) FieldsJSON() ([]byte, error) {
	b, err := json.Marshal(t.Fields)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("encode schema %s", t.Ref), err)
	}
	return b, nil
}
