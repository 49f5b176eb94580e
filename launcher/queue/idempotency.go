package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloudact/convergence/launcher"
)

const (
	onceFor    = 24 * time.Hour
	maxKey     = 255 // bytes of an Idempotency-Key
	bodyDigits = 24  // of the hash of a body
	forgotten  = "void"
)

// Once returns the run that a request under an Idempotency-Key makes: the same for 24
// hours of the register's clock, however many requests carry the key and whichever
// process answers them. seen says that the key has been used: the run may have been
// recorded already. The key with another body is refused with CodeIdempotencyConflict.
//
// Submitting the run under its id twice makes one run, so a request whose answer was
// lost, or that is still in flight elsewhere, is simply submitted again.
func (a *Admission) Once(ctx context.Context, org, key string, body []byte) (runID string, seen bool, err error) {
	if key == "" || len(key) > maxKey {
		return "", false, &launcher.Error{Code: launcher.CodeInvalidParameter, Message: fmt.Sprintf("an Idempotency-Key has between 1 and %d bytes", maxKey)}
	}
	prefix, digest := idempotencyName(org, key), bodyHash(body)
	n, newest, err := a.newestUse(ctx, prefix)
	if err != nil {
		return "", false, a.readable(err)
	}
	for {
		if n > 0 {
			runID, seen, err = a.standing(ctx, org, newest, digest)
			if err != nil || seen {
				return runID, seen, err
			}
		}
		runID = uuid.NewString()
		n++
		claim, err := a.cfg.Register.Acquire(ctx, fmt.Sprintf("%s/%d", prefix, n), a.cfg.Owner, digest+"-"+compact(runID))
		if err != nil {
			return "", false, a.readable(fmt.Errorf("keep an idempotency key: %w", err))
		}
		if claim.Won && claim.Value == digest+"-"+compact(runID) {
			return runID, false, nil
		}
		newest = claim
	}
}

// Forget frees the key of a request that was refused, so that it can be made again with
// another body. A key whose run was recorded meanwhile stays.
func (a *Admission) Forget(ctx context.Context, org, key, runID string) error {
	prefix := idempotencyName(org, key)
	n, newest, err := a.newestUse(ctx, prefix)
	if err != nil || n == 0 || !strings.HasSuffix(newest.Value, "-"+compact(runID)) || strings.HasPrefix(newest.Value, forgotten) {
		return err
	}
	_, err = a.cfg.Register.Acquire(ctx, fmt.Sprintf("%s/%d", prefix, n+1), a.cfg.Owner, forgotten+"-"+compact(runID))
	return err
}

// newestUse walks to the newest use of a key; most keys are used once.
func (a *Admission) newestUse(ctx context.Context, prefix string) (int, launcher.Claim, error) {
	var newest launcher.Claim
	for n := 0; ; n++ {
		claim, held, err := a.cfg.Register.Look(ctx, fmt.Sprintf("%s/%d", prefix, n+1))
		if err != nil {
			return 0, newest, fmt.Errorf("read an idempotency key: %w", err)
		}
		if !held {
			return n, newest, nil
		}
		newest = claim
	}
}

// standing judges the newest use of a key: whether it still holds, and for this body.
func (a *Admission) standing(ctx context.Context, org string, use launcher.Claim, digest string) (runID string, holds bool, err error) {
	now, err := a.cfg.ServerNow(ctx)
	if err != nil {
		return "", false, a.readable(fmt.Errorf("read the register's clock: %w", err))
	}
	if now.Sub(use.At) >= onceFor {
		return "", false, nil
	}
	first, id, _ := strings.Cut(use.Value, "-")
	parsed, err := uuid.Parse(id)
	if err != nil {
		return "", false, a.readable(fmt.Errorf("idempotency key holds %q", use.Value))
	}
	runID = parsed.String()
	if first == forgotten {
		runs, err := a.cfg.Runs.Runs(ctx, org, []string{runID})
		if err != nil {
			return "", false, a.readable(fmt.Errorf("read run %s: %w", runID, err))
		}
		_, recorded := runs[runID] // by a request of the same key that was in flight
		return runID, recorded, nil
	}
	if first != digest {
		return "", false, &launcher.Error{
			Code:    launcher.CodeIdempotencyConflict,
			Message: "this Idempotency-Key was used with another body within the last 24 hours; use a new key",
		}
	}
	return runID, true, nil
}

func idempotencyName(org, key string) string {
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("idem/%s/%s", org, hex.EncodeToString(sum[:]))
}

func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])[:bodyDigits]
}

func compact(id string) string { return strings.ReplaceAll(id, "-", "") }
