package wiring

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/cloudact/convergence/configs"
)

// layers are the shipped documents and those of the configs folder, which win.
func (e Environment) layers() ([]fs.FS, error) {
	out := []fs.FS{configs.Shipped()}
	if e.ConfigsDir == "" {
		return out, nil
	}
	info, err := os.Stat(e.ConfigsDir)
	if err != nil {
		return nil, fmt.Errorf("open the configs folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open the configs folder: %s is no folder", e.ConfigsDir)
	}
	return append(out, os.DirFS(e.ConfigsDir)), nil
}

// Catalog reads the documents as they are now.
func (e Environment) Catalog() (*configs.Catalog, error) {
	layers, err := e.layers()
	if err != nil {
		return nil, err
	}
	return configs.Open(layers...)
}

// Library reads the documents, and reads them again when files of the configs folder
// change.
func (e Environment) Library() (*configs.Library, error) {
	layers, err := e.layers()
	if err != nil {
		return nil, err
	}
	return configs.NewLibrary(nil, layers...)
}
