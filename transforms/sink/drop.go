package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/cloudact/convergence/transforms/row"
)

// DropStages deletes the staging tables of units whose step has durably completed, or
// whose run was cancelled or discarded. A stage that is already gone is no error.
func DropStages(ctx context.Context, c *bigquery.Client, dataset string, units []row.Unit) error {
	var errs []error
	for _, u := range units {
		name := stageName(u)
		err := c.Dataset(dataset).Table(name).Delete(ctx)
		if err != nil && !hasStatus(err, http.StatusNotFound) {
			errs = append(errs, fmt.Errorf("drop staging table %s.%s: %w", dataset, name, err))
		}
	}
	return errors.Join(errs...)
}

func hasStatus(err error, code int) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code == code
}
