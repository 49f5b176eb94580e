//go:build noembedded

package main

import (
	"github.com/spf13/cobra"
)

// embedded says whether this binary holds the embedded cloud, which needs cgo.
const embedded = false

// localCommand keeps the command's name, so that it says why it does nothing.
func (a *app) localCommand() *cobra.Command {
	return &cobra.Command{
		Use: "local", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return errNotEmbedded },
	}
}
