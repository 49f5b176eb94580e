package run

import (
	"context"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
)

// StartPrism starts the local runner as a service of this process, bound to the loopback
// device, for whoever brings a graph of his own. It ends with the process.
func StartPrism(ctx context.Context) (jobs jobpb.JobServiceClient, endpoint string, err error) {
	s, err := startPrism(ctx)
	if err != nil {
		return nil, "", err
	}
	return s.jobs, s.endpoint, nil
}
