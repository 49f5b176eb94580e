package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = "dev"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  convergence version --output json", Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			info := map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			if build, ok := debug.ReadBuildInfo(); ok {
				for _, dep := range build.Deps {
					if dep.Path == "github.com/apache/beam/sdks/v2" {
						info["beam"] = dep.Version
					}
				}
			}
			if a.output == outputJSON {
				return json.NewEncoder(a.out).Encode(info)
			}
			fmt.Fprintf(a.out, "convergence %s (%s, %s, Beam %s)\n", info["version"], info["go"], info["platform"], info["beam"])
			return nil
		},
	}
}
