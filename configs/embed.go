package configs

import (
	"embed"
	"io/fs"
)

//go:embed anthropic example gcp notify_systems openai organizations pricing system
var shipped embed.FS

// Shipped returns the documents, schemas, providers and tables that belong to the
// product, rooted where paths start with a provider, system or organizations.
func Shipped() fs.FS { return shipped }
