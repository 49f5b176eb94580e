// Package bigquery serves BigQuery's REST API v2 over DuckDB, so that any
// BigQuery client works against a local process. What is not supported is
// refused by name with a 4xx; no answer is ever approximate.
//
// It is a product of its own and must not know the engine that uses it.
package bigquery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// Config of a server. The zero value is an in-memory server.
type Config struct {
	// Path of the database file; empty keeps everything in memory.
	Path string
	// MemoryLimit of DuckDB, for example "2GB"; empty means 2GB.
	MemoryLimit string
	// InsertIDWindow is how long an insertId is remembered; 0 means 60 s.
	InsertIDWindow time.Duration
	// StreamingBuffer is how long rows that insertAll stored refuse DML, as on
	// the service; 0 lets DML have them at once. It holds for tables that the
	// server creates with it.
	StreamingBuffer time.Duration
	// Location of datasets that name none; empty means US.
	Location string
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Logger takes what no client is told; nil discards it.
	Logger *slog.Logger
	// Faults makes the server misbehave as a test asks; nil never does.
	Faults *Faults
	// DMLLimits bounds DML statements by table; the zero value does not.
	DMLLimits DMLLimits
}

// How long requests and results are remembered.
const (
	requestWindow = 15 * time.Minute
	resultWindow  = 24 * time.Hour
)

// Server is a BigQuery server over one DuckDB database. It is safe for
// concurrent use; Close ends it.
type Server struct {
	cfg      Config
	db       *sql.DB
	analyzer *analyze.Analyzer
	locks    *lockTable
	jobs     *runningJobs
	inserts  *insertMemory
	uploads  *uploads
	requests *requestGate
	dml      *dmlGate
	schema   atomic.Int64 // counts changes of schemas
	rules    tableRules
	tempDir  string
	wg       sync.WaitGroup
}

// Open opens or creates the database at cfg.Path and locks DuckDB down: no
// files, no extensions, no change of settings. The caller closes the server.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	connector, err := duckdb.NewConnector(dsn(cfg.Path), nil)
	if err != nil {
		return nil, fmt.Errorf("opening database %q: %w", cfg.Path, err)
	}
	analyzer, err := analyze.New()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the SQL analyzer: %w", err), connector.Close())
	}
	s := &Server{
		cfg: cfg, db: sql.OpenDB(connector), analyzer: analyzer, locks: newLockTable(), jobs: newRunningJobs(),
		uploads: newUploads(), requests: newRequestGate(),
		dml: newDMLGate(cfg.DMLLimits, cfg.Clock),
	}
	s.db.SetMaxIdleConns(8)
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.MemoryLimit == "" {
		c.MemoryLimit = "2GB"
	}
	if c.InsertIDWindow == 0 {
		c.InsertIDWindow = time.Minute
	}
	if c.Location == "" {
		c.Location = "US"
	}
	c.Location = catalog.CanonicalLocation(c.Location)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func dsn(path string) string {
	return path + "?autoinstall_known_extensions=false&autoload_known_extensions=false"
}

// prepare creates the catalog, installs the functions of generated SQL, and
// locks the database down, in this order.
func (s *Server) prepare(ctx context.Context) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to database %q: %w", s.cfg.Path, err)
	}
	defer conn.Close()
	if err := s.makeTempDir(); err != nil {
		return err
	}
	// Connections inherit the zone: once locked, none can set it.
	if err := execAll(ctx, conn, `SET GLOBAL TimeZone = 'UTC'`,
		fmt.Sprintf(`SET memory_limit = '%s'`, strings.ReplaceAll(s.cfg.MemoryLimit, "'", "")),
		fmt.Sprintf(`SET temp_directory = '%s'`, strings.ReplaceAll(s.tempDir, "'", "''")),
		`SET enable_external_access = false`); err != nil {
		return fmt.Errorf("configuring DuckDB: %w", err)
	}
	if err := catalog.Init(ctx, conn); err != nil {
		return err
	}
	if err := translate.Setup(ctx, conn); err != nil {
		return fmt.Errorf("installing SQL functions: %w", err)
	}
	if err := execAll(ctx, conn, `SET lock_configuration = true`); err != nil {
		return fmt.Errorf("locking DuckDB's configuration: %w", err)
	}
	if err := s.endInterruptedJobs(ctx, conn); err != nil {
		return err
	}
	now := s.cfg.Clock()
	if err := catalog.Forget(ctx, conn, now.Add(-s.cfg.InsertIDWindow).UnixMilli(), now.Add(-requestWindow).UnixMilli(), now.Add(-resultWindow).UnixMilli()); err != nil {
		return fmt.Errorf("forgetting old records: %w", err)
	}
	s.inserts, err = loadInsertMemory(ctx, conn, s.cfg.InsertIDWindow)
	return err
}

// makeTempDir gives DuckDB a directory of its own to spill into: it may write
// files there, and nowhere else.
func (s *Server) makeTempDir() error {
	if s.cfg.Path == "" {
		return nil
	}
	path, err := filepath.Abs(s.cfg.Path + ".tmp")
	if err != nil {
		return fmt.Errorf("naming the temporary directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("creating the temporary directory: %w", err)
	}
	s.tempDir = path
	return nil
}

func execAll(ctx context.Context, conn *sql.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Close waits for running jobs, then closes the database. Requests that
// arrive afterwards fail.
func (s *Server) Close() error {
	s.jobs.cancelAll()
	s.wg.Wait()
	err := s.db.Close()
	if s.tempDir != "" {
		err = errors.Join(err, os.RemoveAll(s.tempDir))
	}
	if err != nil {
		return fmt.Errorf("closing database %q: %w", s.cfg.Path, err)
	}
	return nil
}

// Handler serves the API below /bigquery/v2/ and /upload/bigquery/v2/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, register := range []func(*http.ServeMux){
		s.routeDatasets, s.routeTables, s.routeTableData, s.routeJobs, s.routeQueries, s.routeUploads, s.routeDiscovery,
	} {
		register(mux)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, nil, errNoSuchMethod(r)) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.wg.Add(1)
		defer s.wg.Done()
		mux.ServeHTTP(w, r)
	})
}
