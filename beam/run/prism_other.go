//go:build !linux

package run

import (
	"context"
	"errors"
)

// startPrism refuses: here prism's unauthenticated listener cannot be kept to the
// loopback device, and it can run commands for whoever reaches it.
func startPrism(context.Context) (*prismServer, error) {
	return nil, errors.New("runner prism is only available on Linux, where its listener can be bound to the loopback device; use --runner direct")
}
