package bigquery

import (
	"path/filepath"
	"testing"
)

// DuckDB itself must refuse what the SQL front never lets through.
func TestDuckDBIsLockedDown(t *testing.T) {
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "bq.db")})
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	for _, statement := range []string{
		"COPY (SELECT 1) TO '" + outside + "/x.csv'",
		"COPY (SELECT 1) TO '/tmp/x.parquet'",
		"SELECT * FROM read_csv('/etc/passwd')",
		"SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM glob('/etc/*')",
		"SELECT * FROM '/etc/passwd'",
		"ATTACH '" + outside + "/z.db'",
		"EXPORT DATABASE '" + outside + "/all'",
		"INSTALL httpfs",
		"LOAD httpfs",
		"SET enable_external_access = true",
		"RESET enable_external_access",
		"SET lock_configuration = false",
		"SET memory_limit = '100GB'",
		"SET TimeZone = 'America/New_York'",
		"PRAGMA temp_directory = '/'",
		"SET autoinstall_known_extensions = true",
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("DuckDB accepted %s", statement)
		}
	}
	for range 3 {
		conn, err := s.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var zone string
		if err := conn.QueryRowContext(t.Context(), "SELECT current_setting('TimeZone')").Scan(&zone); err != nil || zone != "UTC" {
			t.Errorf("a new connection has time zone %q, %v", zone, err)
		}
	}
	if _, err := s.db.ExecContext(t.Context(), "CHECKPOINT"); err != nil {
		t.Errorf("CHECKPOINT: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
