package sink

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/transforms/row"
)

// stageLife is how long a staging table outlives its last use, so that an interrupted
// run can be resumed after a weekend and an abandoned one cleans up after itself.
const stageLife = 7 * 24 * time.Hour

// ensureStage makes the staging table of a unit's generation, or renews its expiry, and
// returns when it was made. Loads never create it: a load that comes too late must fail,
// not start a new table.
func ensureStage(ctx context.Context, c *bigquery.Client, o Options, u row.Unit) (time.Time, error) {
	name := stageName(u)
	t := c.DatasetInProject(o.Table.Project, o.Table.Dataset).Table(name)
	expiry := time.Now().Add(stageLife)
	err := persist(ctx, func() error {
		return t.Create(ctx, &bigquery.TableMetadata{
			Schema:         stageSchema(o.Table.Schema),
			ExpirationTime: expiry,
			Description:    fmt.Sprintf("Staging of step %s for %s", o.Step, o.Table.Name),
		})
	})
	var md *bigquery.TableMetadata
	switch {
	case err == nil:
		md, err = t.Metadata(ctx)
	case hasStatus(err, http.StatusConflict):
		err = persist(ctx, func() (err error) {
			md, err = t.Update(ctx, bigquery.TableMetadataToUpdate{ExpirationTime: expiry}, "")
			return err
		})
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("make staging table %s.%s: %w", o.Table.Dataset, name, err)
	}
	return md.CreationTime, nil
}

// persist sends a request again while it is unknown whether it arrived, which must be
// harmless.
func persist(ctx context.Context, send func() error) error {
	pauses := newPauses(ctx)
	for {
		err := send()
		if err == nil || !isUncertain(err) {
			return err
		}
		if err := pauses.wait(ctx, err); err != nil {
			return err
		}
	}
}
