package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/launcher/runfolder"
)

func (a *app) jobCommand() *cobra.Command {
	var spec string
	c := &cobra.Command{
		Use:     "job --spec FILE",
		Short:   "Run one Beam job in this process (the service starts this as a child)",
		Example: "  convergence job --spec .convergence/runs/3b1f.../spec.json",
		Hidden:  true,
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if spec == "" {
				return usageError{errors.New("--spec is missing: it names the spec.json of a run folder")}
			}
			if err := flag.CommandLine.Parse(nil); err != nil { // Beam's own flags keep their defaults
				return err
			}
			if _, err := os.Stat(spec); err != nil { // opening a run folder makes it
				return fmt.Errorf("read spec: %w", err)
			}
			folder, err := runfolder.Open(filepath.Dir(spec))
			if err != nil {
				return err
			}
			s, err := folder.ReadSpec()
			if err != nil {
				return err
			}
			log := a.serviceLogger()
			result, err := tracedJob(c.Context(), a.env, s, log, func(ctx context.Context) (runfolder.Result, error) {
				return a.env.Job(ctx, s, folder, log)
			})
			if err != nil {
				return err
			}
			if result.State != runfolder.Completed {
				return fmt.Errorf("run %s %s: %s: %s", result.RunID, result.State, result.Code, result.Error)
			}
			return nil
		},
	}
	c.Flags().StringVar(&spec, "spec", "", "spec.json of a run folder")
	return c
}
