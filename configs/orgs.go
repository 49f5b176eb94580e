package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const orgsFolder = "orgs"

// orgSlug is what can be the slug of an org. A folder that is none, such as my-api, is
// shared by all of them.
var orgSlug = regexp.MustCompile(`^[a-z0-9_]{3,50}$`)

// shippedFolders are the top folders of the product, which no org can own.
var shippedFolders = sync.OnceValue(func() map[string]bool {
	out := maps.Clone(notPipelines)
	entries, err := fs.ReadDir(shipped, ".")
	if err != nil {
		panic("configs: the embedded set cannot be listed: " + err.Error())
	}
	for _, e := range entries {
		out[e.Name()] = true
	}
	return out
})

// readProviders reads the providers of the last layer that has any, because their names
// tell which folders belong to an org.
func (c *Catalog) readProviders(layers []fs.FS) error {
	for i := len(layers) - 1; i >= 0; i-- {
		text, err := fs.ReadFile(layers[i], providersFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		c.providers, err = parseProviders(text)
		return err
	}
	return nil
}

// owner returns the org that a file belongs to and its path below the org's folder.
func (c *Catalog) owner(name string) (org, rest string, own bool) {
	top, rest, nested := strings.Cut(name, "/")
	if !nested {
		return "", "", false
	}
	if top == orgsFolder {
		org, rest, nested = strings.Cut(rest, "/")
		return org, rest, nested && orgSlug.MatchString(org)
	}
	if _, provider := c.providers.Lookup(top); provider || shippedFolders()[top] || !orgSlug.MatchString(top) {
		return "", "", false
	}
	return top, rest, true
}

func (c *Catalog) org(slug string) *Catalog {
	if c.orgs[slug] == nil {
		c.orgs[slug] = newCatalog()
	}
	return c.orgs[slug]
}

// addOwn reads a pipeline or schema of an org; an org has no other documents. Of two
// files of one identity that in orgs/ wins.
func (c *Catalog) addOwn(layer fs.FS, name, org, rest string) error {
	text, err := fs.ReadFile(layer, name)
	if err != nil {
		return err
	}
	folder := strings.TrimSuffix(path.Dir(rest), "/")
	switch {
	case path.Base(folder) == "schemas" && path.Ext(rest) == ".json":
		read, _ := c.reader(rest)
		return read(text)
	case path.Ext(rest) == ".yml" && isPipelinePath(folder):
		id := strings.TrimSuffix(rest, ".yml")
		if before, ok := c.pipelines[id]; ok && strings.HasPrefix(before.Name, "configs/"+orgsFolder+"/") && !strings.HasPrefix(name, orgsFolder+"/") {
			return nil
		}
		c.pipelines[id] = File{Name: "configs/" + name, Text: text, ID: id, Org: org}
	}
	return nil
}

// For returns the catalogue as an org sees it: what all share, and its own documents,
// which win over a shared one of the same path. No other org's documents are in it.
func (c *Catalog) For(org string) *Catalog {
	own := c.orgs[org]
	if own == nil {
		return c
	}
	out := *c
	out.pipelines, out.tables, out.aliases = maps.Clone(c.pipelines), maps.Clone(c.tables), maps.Clone(c.aliases)
	maps.Copy(out.pipelines, own.pipelines)
	maps.Copy(out.tables, own.tables)
	maps.Copy(out.aliases, own.aliases)
	return &out
}

// Orgs returns the orgs that have documents of their own.
func (c *Catalog) Orgs() []string {
	return slices.Sorted(maps.Keys(c.orgs))
}

// OwnFile gives a file its identity from its path below a configs folder: whose it is,
// and which pipeline. Paths are as the user gave them.
func (c *Catalog) OwnFile(f File, below string) File {
	if org, rest, own := c.owner(below); own {
		f.Org, below = org, rest
	}
	if strings.HasSuffix(below, ".yml") && isPipelinePath(strings.TrimSuffix(path.Dir(below), "/")) {
		f.ID = strings.TrimSuffix(below, ".yml")
	}
	return f
}

// Foreign says that a document of an org reads a table that is not the org's, "" when it
// may. The table is a dotted path with variables resolved.
func (f File) Foreign(table, project, dataset string) string {
	parts := strings.Split(table, ".")
	switch {
	case f.Org == "" || len(parts) == 1:
		return ""
	case len(parts) == 2 && parts[0] == dataset:
		return ""
	case len(parts) == 3 && parts[0] == project && parts[1] == dataset:
		return ""
	default:
		return fmt.Sprintf("the table %s is not in the organization's dataset; a document of an organization reads no other", table)
	}
}
