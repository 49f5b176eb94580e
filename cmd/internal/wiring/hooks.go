package wiring

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/process"
	"github.com/cloudact/convergence/transforms/sink"
	"github.com/cloudact/convergence/transforms/source"
)

// Static sets what transforms need while a graph is built: names and origins, nothing
// that connects anywhere.
func (e Environment) Static(catalog *configs.Catalog) {
	providers := catalog.Providers()
	overrides := map[string]string{}
	for _, name := range providers.Names() {
		if p, ok := providers.Lookup(name); ok && p.Origin != "" {
			overrides[p.Origin] = e.origin(p)
		}
	}
	source.UseOrigins(func(name string) string {
		p, ok := providers.Lookup(name)
		if !ok {
			return ""
		}
		return e.origin(p)
	})
	source.UseOriginOverrides(overrides)
	source.UseContextKeys(func(key string) string {
		p, _ := providers.ByContextKey(key)
		return p.Name
	})
	source.UseGuard(source.Guard{AllowLoopback: e.Name == "development"})
	process.UsePrices(sync.OnceValues(shippedPrices))
}

// Hooks sets everything that a job needs. Call it before beam.Init.
func (e Environment) Hooks(catalog *configs.Catalog, clients *Clients) {
	e.Static(catalog)
	source.UseSecrets(credentials.Plain{Store: clients.Credentials})
	sink.UseWarehouse(clients)
	sink.UseFiles(e.fileFolder)
	process.UseOwnPrices(e.ownPrices(catalog, clients))
}

// fileFolder is the only folder that steps of an org may write files into.
func (e Environment) fileFolder(org string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(e.DataDir, "files", org))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o750)
}

func shippedPrices() (*pricing.Table, error) {
	var files []pricing.File
	for _, name := range []string{"pricing/genai-prices.json", "pricing/openai_tiers.json"} {
		b, err := fs.ReadFile(configs.Shipped(), name)
		if err != nil {
			return nil, fmt.Errorf("read prices: %w", err)
		}
		files = append(files, pricing.File{Name: name, Data: b})
	}
	return pricing.Parse(files...)
}
