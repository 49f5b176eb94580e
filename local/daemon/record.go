package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const probeTimeout = 2 * time.Second

// record is server.json: where the newest server of the directory listens, or listened.
type record struct {
	FormatVersion int       `json:"format_version"`
	Instance      string    `json:"instance"`
	PID           int       `json:"pid"`
	StartTime     time.Time `json:"start_time"`
	BigQueryURL   string    `json:"bigquery_url"`
	KMSAddr       string    `json:"kms_addr"`
}

// bigQueryAddr is the host:port of the URL; empty if there was no server yet.
func (r record) bigQueryAddr() string { return strings.TrimPrefix(r.BigQueryURL, "http://") }

// answers reports whether the very server that wrote the record answers at its address.
func (r record) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.BigQueryURL+instancePath, nil)
	if err != nil {
		return false
	}
	tr := &http.Transport{DisableKeepAlives: true} // no proxy: the address is this machine's
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	id, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	return err == nil && res.StatusCode == http.StatusOK && string(id) == r.Instance
}

// readRecord returns os.ErrNotExist before the first server, and ErrFormat for another layout.
func readRecord(dir string) (record, error) {
	path := filepath.Join(dir, recordFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return record{}, fmt.Errorf("reading server address: %w", err)
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return record{}, fmt.Errorf("reading server address: %s is damaged: %w; remove it", path, err)
	}
	if r.FormatVersion != FormatVersion {
		return record{}, fmt.Errorf("data directory %s has format version %d, this program needs %d: %w; use another directory or the release that wrote it",
			dir, r.FormatVersion, FormatVersion, ErrFormat)
	}
	return r, nil
}

func writeRecord(dir string, r record) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding server address: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".server-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing server address: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails once renamed, which is wanted
	_, err = tmp.Write(append(raw, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("writing server address: %w", err)
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, recordFile)); err != nil {
		return fmt.Errorf("publishing server address: %w", err)
	}
	return nil
}

// PID returns the process id of the newest server of a data directory, which may have ended since.
func PID(dir string) (int, error) {
	r, err := readRecord(dir)
	return r.PID, err
}
