package wiring

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"
	transport "google.golang.org/api/transport/http"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cloudact/convergence/launcher/credentials"
)

// CentralDataset holds the tables that are shared by all orgs.
const CentralDataset = "organizations"

// Clients are the connections of a process. Close them once.
type Clients struct {
	BigQuery    *bigquery.Client
	KMS         *kms.KeyManagementClient
	Credentials *credentials.Store
}

// Connect makes the clients. Nothing is dialled before it is used.
func (e Environment) Connect(ctx context.Context) (*Clients, error) {
	warehouse, err := e.warehouse(ctx)
	if err != nil {
		return nil, fmt.Errorf("make BigQuery client: %w", err)
	}
	keys, err := e.keys(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make KMS client: %w", err), warehouse.Close())
	}
	key := e.KMSKey
	if key == "" {
		key = credentials.DefaultKeyName(e.Project)
	}
	store := credentials.New(credentials.Config{
		BigQuery: warehouse, KMS: keys, KeyName: key, Dataset: CentralDataset,
		Aliases: map[string]string{"claude": "ANTHROPIC", "gcp": "GCP_SA"}, Clock: time.Now,
	})
	return &Clients{BigQuery: warehouse, KMS: keys, Credentials: store}, nil
}

func (e Environment) warehouse(ctx context.Context) (*bigquery.Client, error) {
	var options []option.ClientOption
	web := &http.Client{}
	switch {
	case e.BigQueryEndpoint != "":
		options = append(options, option.WithEndpoint(strings.TrimSuffix(e.BigQueryEndpoint, "/")+"/bigquery/v2/"))
	case e.Calls != nil:
		var err error
		if web, _, err = transport.NewClient(ctx, option.WithScopes(bigquery.Scope)); err != nil {
			return nil, err
		}
	default:
		web = nil // the library makes its own
	}
	if web != nil {
		web.Transport = e.Calls.of(web.Transport)
		options = append(options, option.WithHTTPClient(web))
	}
	client, err := bigquery.NewClient(ctx, e.Project, options...)
	if err != nil {
		return nil, err
	}
	client.Location = e.Location
	return client, nil
}

func (e Environment) keys(ctx context.Context) (*kms.KeyManagementClient, error) {
	if e.KMSEndpoint == "" {
		if e.BigQueryEndpoint != "" {
			return nil, fmt.Errorf("%s is set but %s is not: set both or neither", envBigQueryEndpoint, envKMSEndpoint)
		}
		return kms.NewKeyManagementClient(ctx)
	}
	return kms.NewKeyManagementClient(ctx, option.WithEndpoint(e.KMSEndpoint), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
}

// Close closes the connections.
func (c *Clients) Close() error { return errors.Join(c.BigQuery.Close(), c.KMS.Close()) }

// Client implements sink.Warehouse.
func (c *Clients) Client(_ context.Context, project string) (*bigquery.Client, error) {
	if project != "" && project != c.BigQuery.Project() {
		return nil, fmt.Errorf("the warehouse client is of project %s, not of %s", c.BigQuery.Project(), project)
	}
	return c.BigQuery, nil
}
