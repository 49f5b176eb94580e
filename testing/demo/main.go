// Command demo is `make demo`: it starts a simulator of OpenAI's organisation API fed by
// real request traces and the real service with the embedded cloud in a fresh directory.
// Through the REST API it stores the credentials of two organisations, runs the usage and
// cost pipeline, prints what the calls cost, holds the totals against the simulator's own
// bill, runs the same days again to show that nothing changes, and fires a schedule.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"cloud.google.com/go/civil"

	"github.com/cloudact/convergence/testing/dataflowsim"
	"github.com/cloudact/convergence/testing/providers/openai"
)

const (
	seed     = 20260819
	pipeline = "openai/cost/usage_cost"
	most     = 28 // days over which the traces may be spread
)

// organisations of the demo; the admin keys are the simulator's own.
var organisations = []openai.Org{
	{Name: "acme", AdminKey: "sk-admin-demo-acme-4f1c0a", Share: 3},
	{Name: "globex", AdminKey: "sk-admin-demo-globex-9b27e3", Share: 1},
}

func main() {
	bin := flag.String("bin", "bin/convergence", "the product's binary")
	job := flag.String("job", "bin/convergence-job", "the binary of the Flex Template, for -runner dataflow")
	runner := flag.String("runner", onPrism, "where the service's runs run: prism, or dataflow, which is simulated")
	keep := flag.Bool("keep", false, "keep the data directory")
	days := flag.Int("days", 5, "days over which the requests are spread")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, options{bin: *bin, job: *job, runner: *runner, keep: *keep, days: *days})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type options struct {
	bin    string
	job    string
	runner string
	keep   bool
	days   int
}

func run(ctx context.Context, o options) error {
	start := time.Now()
	if o.days < 1 || o.days > most {
		return fmt.Errorf("-days is %d; it must be 1 to %d", o.days, most)
	}
	if o.runner != onPrism && o.runner != onDataflow {
		return fmt.Errorf("-runner is %q; it must be %s or %s", o.runner, onPrism, onDataflow)
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	job, err := filepath.Abs(o.job)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "convergence-demo-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Println("data directory:", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }() // the embedded cloud leaves with it
	}
	first := civil.Date{Year: 2026, Month: time.August, Day: 19}
	d := &demo{bin: bin, job: job, runner: o.runner, dir: filepath.Join(dir, "data"), days: openai.Days(first, o.days)}
	if err := d.provider(); err != nil {
		return err
	}
	defer d.stop()
	for _, step := range []func(context.Context) error{
		d.simulated, d.serve, d.integrations, d.firstRun, d.report, d.reconcile, d.secondRun, d.compare, d.schedule,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("\nAll of it took %s.\n", time.Since(start).Round(100*time.Millisecond))
	return nil
}

// demo is the running demonstration.
type demo struct {
	bin, dir string
	job      string
	runner   string
	days     []civil.Date

	simulator *openai.Server
	web       *http.Server
	baseURL   string // of the simulator

	embedded *exec.Cmd        // nil where the service starts it
	dataflow *dataflowsim.Sim // nil on prism
	settings []string         // of the service, of where its jobs run

	service service
	before  map[string]tables // by organisation, after the first run
}

func (d *demo) first() string { return d.days[0].String() }
func (d *demo) last() string  { return d.days[len(d.days)-1].String() }

// provider starts the simulator on a free loopback port.
func (d *demo) provider() error {
	simulator, err := openai.New(openai.Config{Seed: seed, Days: d.days, Orgs: organisations})
	if err != nil {
		return fmt.Errorf("make simulator: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start simulator: %w", err)
	}
	d.simulator = simulator
	d.web = &http.Server{Handler: simulator.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.web.Serve(listener) }()
	d.baseURL = "http://" + listener.Addr().String() + "/v1"
	var requests int64
	for _, org := range organisations {
		totals, err := simulator.Totals(org.Name)
		if err != nil {
			return err
		}
		requests += totals.Requests
	}
	fmt.Printf("Provider simulator: %d real requests of %d organisations, %s to %s, seed %d\n", requests, len(organisations), d.first(), d.last(), seed)
	return nil
}

func (d *demo) stop() {
	d.service.stop()
	d.stopSimulated()
	_ = d.web.Close()
}
