package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudact/convergence/templates"
)

var pipelineName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]*$`)

func (a *app) initCommand() *cobra.Command {
	var template string
	c := &cobra.Command{
		Use:     "init NAME",
		Short:   "Write NAME.yml, a pipeline to start from",
		Example: "  convergence init my_usage\n  convergence init my_cost --template openai",
		Args:    exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !pipelineName.MatchString(args[0]) {
				return usageError{fmt.Errorf("NAME is %q; it starts with a letter and holds letters, digits, - and _", args[0])}
			}
			text, err := templates.Pipeline(template, args[0])
			if err != nil {
				return usageError{err}
			}
			return a.writeNew(args[0]+".yml", text)
		},
	}
	c.Flags().StringVar(&template, "template", "api", strings.Join(templates.Names(), ", "))
	return c
}

// writeNew writes a file that must not be there yet.
func (a *app) writeNew(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; choose another name", name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	fmt.Fprintf(a.out, "%s\n", name)
	return nil
}
