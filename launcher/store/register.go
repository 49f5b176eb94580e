package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/cenkalti/backoff/v5"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/store/patience"
)

const (
	ownerLabel = "owner"
	valueLabel = "value"

	registerPatience = 20 * time.Second
)

func registerID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "reg_" + hex.EncodeToString(sum[:])[:40]
}

// Look reads who holds a name without creating it. Won is never set.
func (s *Store) Look(ctx context.Context, name string) (claim launcher.Claim, held bool, err error) {
	claim, err = s.holder(ctx, name, registerID(name), "")
	if isStatus(err, http.StatusNotFound) {
		return launcher.Claim{}, false, nil
	}
	claim.Won = false
	return claim, err == nil, err
}

// Acquire creates the name as a job of that id: a second jobs.insert with the same id in
// the same project and location is refused, so that exactly one caller wins. Owner and
// value are labels: lower-case letters, digits, dashes, at most 63.
func (s *Store) Acquire(ctx context.Context, name, owner, value string) (launcher.Claim, error) {
	id := registerID(name)
	return backoff.Retry(ctx, func() (launcher.Claim, error) {
		created, err := s.createName(ctx, id, owner, value)
		if err == nil {
			return launcher.Claim{Won: true, Owner: owner, Value: value, At: created}, nil
		}
		if isStatus(err, http.StatusConflict) {
			return s.holder(ctx, name, id, owner)
		}
		err = fmt.Errorf("acquire %s: %w", name, err)
		if patience.Refused(err) {
			err = backoff.Permanent(err)
		}
		return launcher.Claim{}, err // the answer was lost: asking again tells who holds the name
	}, backoff.WithMaxElapsedTime(registerPatience), backoff.WithBackOff(patience.Pause()))
}

func (s *Store) createName(ctx context.Context, id, owner, value string) (time.Time, error) {
	q, err := s.query("one.sql")
	if err != nil {
		return time.Time{}, err
	}
	q.JobIDConfig = bigquery.JobIDConfig{JobID: id, Location: s.cfg.Location}
	q.Labels = map[string]string{ownerLabel: owner, valueLabel: value}
	job, err := q.Run(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return creationTime(job), nil
}

func creationTime(job *bigquery.Job) time.Time {
	if status := job.LastStatus(); status != nil && status.Statistics != nil {
		return status.Statistics.CreationTime.UTC()
	}
	return time.Time{}
}

// holder reads who created the name. The client retries an insert whose answer was lost
// and is then told that the job exists: a job that carries our own owner is ours.
func (s *Store) holder(ctx context.Context, name, id, owner string) (launcher.Claim, error) {
	job, err := s.cfg.Client.JobFromIDLocation(ctx, id, s.cfg.Location)
	if err != nil {
		return launcher.Claim{}, fmt.Errorf("read holder of %s: %w", name, err)
	}
	config, err := job.Config()
	if err != nil {
		return launcher.Claim{}, fmt.Errorf("read holder of %s: %w", name, err)
	}
	q, ok := config.(*bigquery.QueryConfig)
	if !ok {
		return launcher.Claim{}, fmt.Errorf("read holder of %s: job %s is not a query", name, id)
	}
	claim := launcher.Claim{Owner: q.Labels[ownerLabel], Value: q.Labels[valueLabel], At: creationTime(job)}
	claim.Won = claim.Owner == owner
	return claim, nil
}
