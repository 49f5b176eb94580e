package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cloudact/convergence/api/client"
)

const (
	startTimeout = 30 * time.Second
	runTimeout   = 2 * time.Minute
	pollEvery    = 300 * time.Millisecond
	noKey        = "" // health needs none
)

// service is the running product.
type service struct {
	cmd     *exec.Cmd
	url     string
	keys    map[string]string // API key by organisation
	rootKey string
}

func (s *service) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// command prepares the product's binary with an environment of its own.
func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.bin, append(args, "--data-dir", d.dir)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "OPENAI_API_BASE_URL=" + d.baseURL}
	cmd.Env = append(cmd.Env, d.settings...)
	return cmd
}

// output runs a command and returns what it printed.
func (d *demo) output(ctx context.Context, args ...string) (string, error) {
	cmd := d.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("convergence %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// serve starts the service and waits until it is ready.
func (d *demo) serve(ctx context.Context) error {
	args := []string{"serve", "--local", "--addr", "127.0.0.1:0"}
	for _, org := range organisations {
		args = append(args, "--org", org.Name)
	}
	cmd := d.command(context.WithoutCancel(ctx), args...)
	d.service.rootKey = rand.Text() + rand.Text()
	cmd.Env = append(cmd.Env, "LOG_LEVEL=WARN", "CA_ROOT_API_KEY="+d.service.rootKey) // its lines would stand between ours
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start service: %w", err)
	}
	d.service.cmd = cmd
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			d.service.url = url
			break
		}
	}
	if d.service.url == "" {
		return errors.New("the service ended without listening")
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	b, err := os.ReadFile(filepath.Join(d.dir, "keys.json"))
	if err != nil {
		return fmt.Errorf("read the development keys: %w", err)
	}
	if err := json.Unmarshal(b, &d.service.keys); err != nil {
		return fmt.Errorf("read the development keys: %w", err)
	}
	fmt.Println("Service with the embedded BigQuery and KMS listens on", d.service.url)
	return d.ready(ctx)
}

func (d *demo) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if health, err := d.client(noKey).Ready(ctx); err == nil && health.Status == "ready" {
			return nil
		}
		if err := pause(ctx, pollEvery); err != nil {
			return fmt.Errorf("the service did not become ready: %w", err)
		}
	}
}

// client speaks to the service with an API key.
func (d *demo) client(key string) *client.Client {
	return client.New(client.Config{BaseURL: d.service.url, Key: key, Poll: pollEvery})
}

// root speaks to the service with the platform's root key.
func (d *demo) root() *client.Client {
	return client.New(client.Config{BaseURL: d.service.url, RootKey: d.service.rootKey, Poll: pollEvery})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
