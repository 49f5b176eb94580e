package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudact/convergence/beam/plan"
	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/notify"
	"github.com/cloudact/convergence/transforms/pricing"
)

// validation validates documents of every kind.
type validation struct {
	plans   *plan.Planner
	catalog *configs.Catalog
}

// document validates one document by the rules of its kind.
func (v validation) document(ctx context.Context, f configs.File) configs.Problems {
	if f.ID != "" && !strings.HasSuffix(f.Name, ".json") {
		return v.plans.With(v.catalog.For(f.Org)).Validate(ctx, f)
	}
	kind, tree, problems := configs.Recognise(f)
	switch kind {
	case configs.KindUnknown:
		if !strings.HasSuffix(f.Name, ".json") && !inConfigs(f.Name) {
			return v.plans.Validate(ctx, f) // on its own it can only be meant as a pipeline
		}
		return problems
	case configs.KindPipeline:
		if below, ok := belowConfigs(f.Name); ok {
			f.Org = v.catalog.OwnFile(f, below).Org
		}
		return v.plans.With(v.catalog.For(f.Org)).Validate(ctx, f)
	case configs.KindPrices:
		return prices(f)
	case configs.KindSettings:
		if _, err := notify.ParseSettings(f.Text); err != nil {
			return configs.Problems{{File: f.Name, Line: 1, Col: 1, Message: err.Error()}}
		}
		return nil
	default:
		return configs.CheckDocument(kind, tree)
	}
}

// prices validates a price file together with the models that it adds tiers to.
func prices(f configs.File) configs.Problems {
	files := []pricing.File{{Name: f.Name, Data: f.Text}}
	_, err := pricing.Parse(files...)
	if err != nil && strings.HasSuffix(f.Name, "_tiers.json") {
		const models = "genai-prices.json"
		text, readErr := os.ReadFile(filepath.Join(filepath.Dir(f.Name), models))
		if readErr != nil {
			text, readErr = fs.ReadFile(configs.Shipped(), "pricing/"+models)
		}
		if readErr == nil {
			_, err = pricing.Parse(append(files, pricing.File{Name: models, Data: text})...)
		}
	}
	if err == nil {
		return nil
	}
	return configs.Problems{{File: f.Name, Line: 1, Col: 1, Message: strings.TrimPrefix(err.Error(), "price file "+f.Name+": ")}}
}

// belowConfigs returns the path of a file below its configs folder.
func belowConfigs(name string) (string, bool) {
	parts := strings.Split(filepath.ToSlash(name), "/")
	i := slices.Index(parts, "configs")
	if i < 0 || i == len(parts)-1 {
		return "", false
	}
	return strings.Join(parts[i+1:], "/"), true
}

func inConfigs(name string) bool {
	_, ok := belowConfigs(name)
	return ok
}

// withFolder adds what a configs folder declares to the catalogue, so that its documents
// are checked against its schemas. One that cannot be read as a whole adds nothing: its
// documents say why.
func withFolder(catalog *configs.Catalog, arg string) *configs.Catalog {
	absolute, err := filepath.Abs(arg)
	if err != nil {
		return catalog
	}
	parts := strings.Split(filepath.ToSlash(absolute), "/")
	i := slices.Index(parts, "configs")
	if i < 0 {
		return catalog
	}
	root := filepath.FromSlash(strings.Join(parts[:i+1], "/"))
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return catalog
	}
	own, err := configs.Open(configs.Shipped(), os.DirFS(root))
	if err != nil {
		return catalog
	}
	return own
}

// documents finds what an argument names.
func documents(catalog *configs.Catalog, arg string) ([]configs.File, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && !info.IsDir():
		text, err := os.ReadFile(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		return []configs.File{{Name: arg, Text: text}}, nil
	case err == nil:
		return documentsBelow(arg)
	}
	if file, ok := catalog.ByPath(filepath.ToSlash(arg)); ok {
		return []configs.File{file}, nil
	}
	return nil, fmt.Errorf("%s: no such file or folder, and no shipped pipeline of that name", arg)
}

// documentEnds are the ends of names of documents.
var documentEnds = []string{".yml", ".yaml", ".json"}

func documentsBelow(dir string) ([]configs.File, error) {
	var files []configs.File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains(documentEnds, filepath.Ext(path)) {
			return err
		}
		text, err := os.ReadFile(path)
		files = append(files, configs.File{Name: path, Text: text})
		return err
	})
	if err == nil && len(files) == 0 {
		err = errors.New(dir + ": no .yml, .yaml or .json file below it")
	}
	return files, err
}
