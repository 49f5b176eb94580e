//go:build !noembedded

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/launcher/credentials"
	"github.com/cloudact/convergence/local/daemon"
)

// embedded says whether this binary holds the embedded cloud.
const embedded = true

func (a *app) localCommand() *cobra.Command {
	var addr, kmsAddr string
	var asDaemon bool
	c := &cobra.Command{
		Use:     "local",
		Short:   "Run only the embedded BigQuery and KMS, for any other client",
		Long:    "Serves the BigQuery REST API and Cloud KMS (gRPC) from --data-dir on the loopback interface.\nPoint any client at it: the addresses are printed, and stand in server.json in the data directory.",
		Example: "  convergence local --addr 127.0.0.1:9050\n  bq --api=http://127.0.0.1:9050 --project_id=local-dev-project query --use_legacy_sql=false 'SELECT 1'",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if !asDaemon {
				fmt.Fprintf(a.out, "embedded BigQuery and KMS for %s; Ctrl-C ends them\n", a.dataDir)
			}
			return daemon.Serve(c.Context(), daemon.ServeOptions{
				Dir: a.dataDir, Addr: addr, KMSAddr: kmsAddr, Stay: !asDaemon, Environment: a.env.Name,
				Keys: []string{credentials.DefaultKeyName(a.env.Project)},
				Log:  a.serviceLogger(),
			})
		},
	}
	c.Flags().StringVar(&addr, "addr", "", "address of BigQuery; empty = the previous or a free port on 127.0.0.1")
	c.Flags().StringVar(&kmsAddr, "kms-addr", "", "address of KMS; empty = the previous or a free port on 127.0.0.1")
	c.Flags().BoolVar(&asDaemon, "daemon", false, "leave when no command has used the directory for a minute")
	_ = c.Flags().MarkHidden("daemon")
	return c
}
