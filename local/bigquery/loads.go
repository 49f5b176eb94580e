package bigquery

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/load"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// Dispositions of jobs that write a table.
const (
	writeAppend       = "WRITE_APPEND"
	writeEmpty        = "WRITE_EMPTY"
	writeTruncate     = "WRITE_TRUNCATE"
	writeTruncateData = "WRITE_TRUNCATE_DATA"
	createIfNeeded    = "CREATE_IF_NEEDED"
	createNever       = "CREATE_NEVER"
)

// errNeedSchemaLock says that the table must be created after all.
var errNeedSchemaLock = errors.New("the table must be created or changed")

func (s *Server) runLoad(ctx context.Context, run *jobRun) error {
	cfg := run.cfg.Load
	if err := checkLoad(cfg); err != nil {
		return err
	}
	data, err := uncompressed(run.data)
	if err != nil {
		return err
	}
	d := &destination{
		schema: cfg.Schema, create: cfg.CreateDisposition, write: cfg.WriteDisposition, options: cfg.SchemaUpdateOptions,
		partitioning: cfg.TimePartitioning, clustering: cfg.Clustering,
	}
	d.setTable(*cfg.DestinationTable)
	if d.write == "" {
		d.write = writeAppend
	}
	run.job.Configuration["load"] = withDefault(run.job.Configuration["load"], "writeDisposition", d.write)
	return s.writeDestination(ctx, d, func(ctx context.Context, conn *sql.Conn, t *wire.Table) error {
		result, err := s.loadRows(ctx, conn, loadTarget{table: t, partition: d.partition, cfg: cfg, data: data})
		if err != nil {
			return err
		}
		run.job.Status.Errors = warnings(result.Bad)
		run.job.Statistics.Load = &wire.LoadStatistics{
			InputFiles: "1", InputFileBytes: decimalText(int64(len(run.data))), OutputRows: decimalText(result.Rows),
			OutputBytes: decimalText(result.Rows * rowBytes(t.Schema)), BadRecords: decimalText(int64(len(result.Bad))),
		}
		return s.record(ctx, conn, run)
	})
}

func withDefault(section any, key, value string) any {
	m, ok := section.(map[string]any)
	if ok && m[key] == nil {
		m[key] = value
	}
	return section
}

func checkLoad(cfg *wire.LoadConfig) error {
	switch {
	case cfg.DestinationTable == nil || cfg.DestinationTable.TableID == "":
		return wire.Invalid("Required parameter is missing: configuration.load.destinationTable")
	case len(cfg.SourceURIs) > 0:
		return wire.NotImplemented("load jobs from sourceUris; upload the data with the job")
	case cfg.Autodetect && cfg.Schema == nil:
		return wire.NotImplemented("load jobs with autodetect and no schema")
	case cfg.Encoding != "" && cfg.Encoding != "UTF-8":
		return wire.NotImplemented("load jobs with encoding " + cfg.Encoding)
	case cfg.SourceFormat != "NEWLINE_DELIMITED_JSON" && cfg.SourceFormat != "CSV" && cfg.SourceFormat != "":
		return wire.NotImplemented("load jobs with sourceFormat " + cfg.SourceFormat)
	}
	if cfg.Schema == nil {
		return nil
	}
	return cfg.Schema.Normalize()
}

func uncompressed(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, wire.Invalid("Error while reading data, error message: gzip: %v", err)
	}
	out, err := io.ReadAll(reader)
	if err != nil {
		return nil, wire.Invalid("Error while reading data, error message: gzip: %v", err)
	}
	return out, nil
}

// loadTarget is what a load job writes where.
type loadTarget struct {
	table     *wire.Table
	partition *partition
	cfg       *wire.LoadConfig
	data      []byte
}

func (s *Server) loadRows(ctx context.Context, conn *sql.Conn, target loadTarget) (*load.Result, error) {
	t, cfg := target.table, target.cfg
	if t.Schema == nil || len(t.Schema.Fields) == 0 {
		return nil, wire.Invalid("No schema specified on job or table.")
	}
	options := load.Options{
		Fields: t.Schema.Fields, IgnoreUnknown: cfg.IgnoreUnknownValues, MaxBad: cfg.MaxBadRecords,
		Prefix: hiddenPrefix(t, target.partition, s.cfg.Clock(), nil),
	}
	if target.partition != nil {
		options.Check = target.partition.check
	}
	decode, format := load.NDJSON, "JSON"
	if cfg.SourceFormat != "NEWLINE_DELIMITED_JSON" {
		decode, format = load.CSV, "CSV"
		if err := csvOptions(cfg, t, &options); err != nil {
			return nil, err
		}
	}
	var result *load.Result
	err := withAppender(conn, "data", catalog.PhysicalName(t.TableReference), func(a *duckdb.Appender) (err error) {
		if result, err = decode(ctx, target.data, options, a); err == nil && result.TooManyErrors(options) {
			err = tooManyErrors(format, result, cfg.MaxBadRecords)
		}
		return err
	})
	return result, err
}

func csvOptions(cfg *wire.LoadConfig, t *wire.Table, o *load.Options) error {
	o.CSV = load.CSVOptions{Delimiter: cfg.FieldDelimiter, Quote: cfg.Quote, NullMarker: cfg.NullMarker, AllowJagged: cfg.AllowJaggedRows}
	if cfg.FieldDelimiter == `\t` || cfg.FieldDelimiter == "tab" {
		o.CSV.Delimiter = "\t"
	}
	if cfg.SkipLeadingRows != "" {
		n, err := cfg.SkipLeadingRows.Int64()
		if err != nil {
			return wire.Invalid("Invalid value for skipLeadingRows: %s", cfg.SkipLeadingRows)
		}
		o.CSV.SkipLeadingRows = int(n)
	}
	if cfg.Schema == nil {
		return nil
	}
	same := func(a, b wire.Field) bool { return a.Name == b.Name }
	if !slices.EqualFunc(cfg.Schema.Fields, t.Schema.Fields, same) {
		return wire.NotImplemented("CSV load with a schema in another column order than the table's")
	}
	return nil
}

// rowMessage is what a job says about a bad row.
func rowMessage(format string, e load.RowError) string {
	message := "Error while reading data, error message: "
	if format == "JSON" {
		message += fmt.Sprintf("JSON parsing error in row starting at position %d: ", e.Offset)
	}
	message += fmt.Sprintf("%s; line_number: %d byte_offset_to_start_of_line: %d", e.Err.Message, e.Line, e.Offset)
	if e.Err.Field != "" {
		message += fmt.Sprintf(" column_name: %q", e.Err.Field)
	}
	if e.Err.Type != "" {
		message += fmt.Sprintf(" column_type: %s", e.Err.Type)
	}
	if e.Err.Value != "" {
		message += fmt.Sprintf(" value: %q", e.Err.Value)
	}
	return message
}

// shownErrors is how many bad rows a job lists.
const shownErrors = 100

func rowErrors(format string, bad []load.RowError) []wire.ErrorProto {
	if len(bad) > shownErrors {
		bad = bad[:shownErrors]
	}
	var out []wire.ErrorProto
	for _, e := range bad {
		out = append(out, wire.ErrorProto{Reason: wire.ReasonInvalid, Message: rowMessage(format, e)})
	}
	return out
}

func warnings(bad []load.RowError) []wire.ErrorProto { return rowErrors("JSON", bad) }

func tooManyErrors(format string, r *load.Result, maxBad int) error {
	rows := r.Rows + int64(len(r.Bad))
	e := wire.Invalid("Error while reading data, error message: %s processing encountered too many errors, giving up. Rows: %d; errors: %d; max bad: %d; error percent: 0",
		format, rows, len(r.Bad), maxBad)
	e.More = rowErrors(format, r.Bad)
	return e
}
