package credentials

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cloudact/convergence/launcher"
)

// CodeDecrypt says that a stored credential cannot be opened, and no more than that: a row
// moved elsewhere, damaged bytes and a disabled key version answer alike, so that nobody
// learns from the answer which of them it was.
const CodeDecrypt launcher.Code = "DECRYPT"

// passing are the codes of a KMS that may open the credential at another time.
var passing = map[codes.Code]bool{
	codes.Unavailable: true, codes.DeadlineExceeded: true, codes.Canceled: true,
	codes.ResourceExhausted: true, codes.Aborted: true,
}

// openError hides why a credential did not open, unless it may open later. The cause goes
// to the log, which only operators read.
func (s *Store) openError(ctx context.Context, org, provider, id string, err error) error {
	if errors.Is(err, errDamaged) || passing[status.Code(err)] || ctx.Err() != nil {
		return fmt.Errorf("opening the credential of %s for %s: %w", provider, org, err)
	}
	s.cfg.Log.WarnContext(ctx, "credential cannot be opened", "org", org, "provider", provider, "credential_id", id, "error", err)
	return &launcher.Error{
		Code:    CodeDecrypt,
		Message: fmt.Sprintf("the stored credential of %s for %s cannot be opened: set the integration up again", provider, org),
	}
}
