package process

import "embed"

// examples holds testdata/{processor}.yaml for the documentation.
//
//go:embed testdata/*.yaml
var examples embed.FS
