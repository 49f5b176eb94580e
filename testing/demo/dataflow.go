package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	template "github.com/cloudact/convergence/templates/dataflow"
	"github.com/cloudact/convergence/testing/dataflowsim"
)

const (
	onPrism    = "prism"
	onDataflow = "dataflow"
	bucket     = "convergence-demo"
	region     = "europe-west1"
)

// simulated starts the embedded cloud, and a Dataflow whose machines are processes of this
// machine that reach it. The service finds both.
func (d *demo) simulated(ctx context.Context) error {
	if d.runner != onDataflow {
		return nil
	}
	warehouse, keys, err := d.cloud(ctx)
	if err != nil {
		return err
	}
	d.dataflow, err = dataflowsim.New(dataflowsim.Options{
		Launcher: d.job, Bucket: bucket,
		Env: []string{"CONVERGENCE_BIGQUERY_ENDPOINT=" + warehouse, "CONVERGENCE_KMS_ENDPOINT=" + keys, "OPENAI_API_BASE_URL=" + d.baseURL},
	})
	if err != nil {
		return err
	}
	spec, err := template.Spec("registry.example/convergence-job:demo")
	if err != nil {
		return err
	}
	d.settings = []string{
		"CONVERGENCE_RUNNER=" + onDataflow, "CONVERGENCE_DATAFLOW_REGION=" + region,
		"CONVERGENCE_DATAFLOW_TEMPLATE=" + d.dataflow.Put("templates/convergence.json", spec),
		"CONVERGENCE_DATAFLOW_FOLDER=gs://" + bucket + "/runs", "CONVERGENCE_DATAFLOW_POLL_SECONDS=1",
		"CONVERGENCE_DATAFLOW_ENDPOINT=" + d.dataflow.Endpoint(), "CONVERGENCE_STORAGE_ENDPOINT=http://" + d.dataflow.StorageHost(),
	}
	fmt.Println("Dataflow simulator: launches run", filepath.Base(d.job), "and its workers as processes of this machine")
	return nil
}

// cloud starts the embedded cloud of the data directory and returns where its warehouse
// and its key service are.
func (d *demo) cloud(ctx context.Context) (warehouse, keys string, err error) {
	cmd := d.command(context.WithoutCancel(ctx), "local")
	cmd.Env = append(cmd.Env, "LOG_LEVEL=WARN")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", "", fmt.Errorf("start the embedded cloud: %w", err)
	}
	d.embedded = cmd
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		var at struct {
			BigQuery string `json:"bigquery_url"`
			KMS      string `json:"kms_addr"`
		}
		b, err := os.ReadFile(filepath.Join(d.dir, "server.json"))
		if err == nil {
			err = json.Unmarshal(b, &at)
		}
		if err == nil {
			return at.BigQuery, at.KMS, nil
		}
		if stop := pause(ctx, pollEvery); stop != nil {
			return "", "", fmt.Errorf("the embedded cloud did not say where it is: %w", errors.Join(stop, err))
		}
	}
}

// stopSimulated ends what simulated has started.
func (d *demo) stopSimulated() {
	if d.dataflow != nil {
		d.dataflow.Close()
	}
	if d.embedded != nil {
		_ = d.embedded.Process.Signal(syscall.SIGTERM)
		_ = d.embedded.Wait()
	}
}

// launches checks that every run so far was a job of Dataflow that has ended well.
func (d *demo) launches(want int) error {
	jobs := d.dataflow.Jobs()
	for _, j := range jobs {
		if j.CurrentState != dataflowsim.Done || !strings.HasPrefix(j.Name, "convergence-") {
			return fmt.Errorf("Dataflow job %s is %s", j.Name, j.CurrentState) //nolint:staticcheck // a name
		}
	}
	if len(jobs) != want {
		return fmt.Errorf("there are %d Dataflow jobs, not %d", len(jobs), want)
	}
	fmt.Printf("\n%d Dataflow jobs, all DONE\n", len(jobs))
	return nil
}

// compare runs the same days on this machine, and holds the tables against those that
// Dataflow filled.
func (d *demo) compare(ctx context.Context) error {
	if d.runner != onDataflow {
		return nil
	}
	if err := d.launches(2 * len(organisations)); err != nil {
		return err
	}
	fmt.Println("The same days on this machine")
	for _, org := range organisations {
		if _, err := d.output(ctx, "run", pipeline, "--org", org.Name, "--from", d.first(), "--to", d.last(), "--runner", onPrism); err != nil {
			return err
		}
		here, err := d.snapshot(ctx, org.Name)
		if err != nil {
			return err
		}
		if err := here.sameRowsAs(d.before[org.Name]); err != nil {
			return fmt.Errorf("%s, run on this machine and on Dataflow: %w", org.Name, err)
		}
		fmt.Printf("  %-7s %d rows of %d tables, equal to those of Dataflow in every column but %s\n",
			org.Name, here.rows(), len(here), strings.Join(volatile, ", "))
	}
	return nil
}
