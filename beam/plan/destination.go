package plan

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/civil"
	"gopkg.in/yaml.v3"

	"github.com/cloudact/convergence/configs"
	"github.com/cloudact/convergence/transforms/row"
)

// Write modes.
const (
	modeAppend    = "append"
	modeInsertNew = "insert_new"
	modeMerge     = "merge"
	modeReplace   = "replace_partition"
	modeOverwrite = "overwrite"
)

// Values of delivery.
const (
	deliveryExact = "exactly_once"
	deliverySmart = "smart"
)

// fileFormats are what a destination with a path may be written as.
var fileFormats = []string{"jsonl", "csv", "parquet"}

const (
	envelopeRejects = 0.01
	usageDate       = "usage_date"
)

// destination merges what the document says with the processor's defaults.
func (s *stepBuilder) destination() {
	said, output := s.step.Destination, s.processor.Output()
	if s.processor.Kind() == configs.KindAction {
		if said != nil {
			s.problem(s.at("destination"), s.path+".destination", "is not used by %s, which has no rows", s.processor.Name())
		}
		return
	}
	if said == nil {
		said = &configs.Destination{}
	}
	d := Destination{
		Table: said.Table, WriteMode: said.WriteMode, Delivery: said.Delivery,
		ReplaceField: said.ReplaceField, ReplaceScope: said.ReplaceScope, KeyFields: said.KeyFields,
		BatchSize: said.BatchSize, Recreate: said.Recreate, TimePartitioning: said.TimePartitioning,
		Clustering: said.Clustering, Path: said.Path, Format: said.Format,
	}
	if d.Table == "" && d.Path == "" {
		d.Table = output.Table
	}
	if d.WriteMode == "" {
		d.WriteMode = output.WriteMode
	}
	if d.WriteMode == "" {
		d.WriteMode = map[string]string{configs.KindQuery: modeOverwrite}[s.processor.Kind()]
	}
	if d.WriteMode == "" {
		d.WriteMode = modeAppend
	}
	if d.Delivery == "" {
		d.Delivery = deliveryExact
	}
	path := s.path + ".destination"
	s.schema(said)
	s.layout(&d)
	s.keys(d)
	s.rejects(&d, said.MaxRejected)
	s.out.Destination = d
	if !s.out.writesRows() && s.processor.Kind() != configs.KindRows {
		s.problem(s.at("destination"), path, "names no table; %s has no default", s.processor.Name())
	}
	if d.Table != "" {
		s.out.Writes = []string{d.Table}
	}
	s.file(&s.out.Destination, path)
	s.delivery(d, path)
	s.project(path)
}

// project warns of a table that its author wants elsewhere than rows land.
func (s *stepBuilder) project(path string) {
	n := configs.Member(s.at("destination"), "bq_project_id")
	if n == nil || n.Value == "" || strings.Trim(n.Value, "{} ") == "project" {
		return
	}
	s.remark(configs.SeverityWarning, n, path+".bq_project_id", "is not used: tables are in the project of the deployment; write {project} or leave it out")
}

// told returns the node of a key of the destination, or the destination.
func (s *stepBuilder) told(key string) *yaml.Node {
	if n := configs.Member(s.at("destination"), key); n != nil {
		return n
	}
	return s.at("destination")
}

// file checks a destination that is no table.
func (s *stepBuilder) file(d *Destination, path string) {
	if d.Path == "" {
		if slices.Contains(fileFormats, d.Format) { // another one is no format at all, which the schema says
			s.problem(s.told("format"), path+".format", "belongs to a destination with a path; a table has none")
		}
		return
	}
	if d.Format == "" {
		d.Format = strings.TrimPrefix(filepath.Ext(d.Path), ".")
		if !slices.Contains(fileFormats, d.Format) {
			s.problem(s.told("path"), path+".format", "is required: the ending of the path is none of %s", strings.Join(fileFormats, ", "))
		}
	}
	switch {
	case s.processor.Kind() == configs.KindQuery:
		s.problem(s.told("path"), path+".path", "cannot be the destination of %s, whose rows the warehouse computes; name a table", s.processor.Name())
	case d.Table != "":
		s.problem(s.told("table"), path+".table", "and path exclude each other; keep one of them")
	}
	for _, key := range []string{"write_mode", "mode", "key_fields", "replace_field", "replace_scope", "recreate", "delivery"} {
		if configs.Member(s.at("destination"), key) != nil {
			s.problem(s.told(key), path+"."+key, "belongs to a table; a file is written whole or not at all")
		}
	}
}

// delivery checks what a destination promises against how it is written.
func (s *stepBuilder) delivery(d Destination, path string) {
	if d.Delivery == deliverySmart {
		switch {
		case d.WriteMode != modeAppend:
			s.problem(s.told("delivery"), path+".delivery", "smart only adds rows, but write_mode is %s; use append, or delivery exactly_once", d.WriteMode)
		case s.processor.Kind() == configs.KindQuery:
			s.problem(s.told("delivery"), path+".delivery", "smart is for rows that are fetched; those of %s are computed by the warehouse", s.processor.Name())
		default:
			s.remark(configs.SeverityWarning, s.told("delivery"), path+".delivery", "smart writes straight into the table: rows arrive at least once when a step is repeated later than a minute, and stay when it fails")
		}
	}
	if d.Recreate && d.WriteMode != modeOverwrite {
		s.problem(s.told("recreate"), path+".recreate", "makes the table anew with each run; that is write_mode overwrite, not %s", d.WriteMode)
	}
}

// schema finds the columns of the destination.
func (s *stepBuilder) schema(said *configs.Destination) {
	output := s.processor.Output()
	key, ref := "schema_ref", said.SchemaRef
	for _, spelling := range []string{"schema_file", "schema_template"} {
		name := map[string]string{"schema_file": said.SchemaFile, "schema_template": said.SchemaTemplate}[spelling]
		switch {
		case name == "":
		case ref != "" && s.sameSchema(ref, name):
		case ref != "":
			s.problem(configs.Member(s.at("destination"), spelling), s.path+".destination."+spelling, "says the same as %s; keep one of them", key)
		default:
			key, ref = spelling, name
		}
	}
	if ref == "" && (said.Table == "" || said.Table == output.Table || !output.Envelope) {
		ref = output.SchemaRef
	}
	if ref != "" {
		if table, ok := s.findSchema(ref); ok {
			s.out.Schema = table
			return
		}
		n := configs.Member(s.at("destination"), key)
		if n == nil {
			n = s.node
		}
		before := len(s.problems)
		s.suggest(n, s.path+".destination."+key, ref, "is no declared schema: the columns are those that the step makes", s.deps.Catalog.Tables())
		if len(s.problems) > before {
			s.problems[before].Severity = configs.SeverityWarning
		}
	}
	flat := configs.Member(configs.Member(configs.Member(s.node, "config"), "transform"), "flatten")
	flattens := flat != nil && flat.Value == "true"
	query := s.processor.Kind() == configs.KindQuery
	s.out.inferred = query || flattens
	if flattens && !query && !s.processor.Planned() && !s.request.Preview {
		s.problem(flat, s.path+".config.transform.flatten", "needs the columns of its rows before a run starts: run `convergence preview FILE --step %s`, save the schema that it prints and name it in destination.schema_ref", s.step.StepID)
	}
	if known, ok := s.result(); query && ok {
		s.out.Schema = known
		return
	}
	if query && said.Table != "" && ref == "" {
		s.remark(configs.SeverityWarning, s.at("destination"), s.path+".destination.schema_ref", "is missing: the columns of the table are those of the statement")
	}
	if output.Envelope {
		s.out.Schema = configs.TableSchema{Fields: s.envelope(), TimePartitioning: &configs.TimePartitioning{Type: "DAY", Field: usageDate}}
	}
}

// sameSchema reports whether two references mean one declared table.
func (s *stepBuilder) sameSchema(a, b string) bool {
	x, foundX := s.findSchema(a)
	y, foundY := s.findSchema(b)
	return foundX && foundY && x.Ref == y.Ref
}

// findSchema accepts a full reference, the path of a schema file, or a bare name of the
// pipeline's own folder.
func (s *stepBuilder) findSchema(ref string) (configs.TableSchema, bool) {
	ref = strings.TrimPrefix(ref, "configs/")
	if t, ok := s.deps.Catalog.Table(ref); ok {
		return t, true
	}
	return s.deps.Catalog.Table(configs.ID(s.plan.Provider, s.plan.Domain, ref))
}

// envelope returns the columns of a raw envelope with the fields that the config adds.
func (s *stepBuilder) envelope() row.Schema {
	schema := row.Schema{
		{Name: "org_slug", Type: row.TypeString, Required: true, Description: "Organization"},
		{Name: usageDate, Type: row.TypeDate, Description: "Day that was fetched"},
		{Name: "raw_data", Type: row.TypeString, Description: "The provider's exact text"},
		{Name: "extracted_at", Type: row.TypeTimestamp, Description: "When it was fetched"},
	}
	fields := configs.Member(configs.Member(configs.Member(s.node, "config"), "transform"), "add_fields")
	if fields == nil {
		return schema
	}
	for i := 0; i+1 < len(fields.Content); i += 2 {
		if name := fields.Content[i].Value; schema.Index(name) < 0 {
			schema = append(schema, row.Field{Name: name, Type: row.TypeString, Description: "Added by the pipeline"})
		}
	}
	return schema
}

// layout settles partitioning, clustering and the field that a replacement goes by.
func (s *stepBuilder) layout(d *Destination) {
	if d.TimePartitioning == nil {
		d.TimePartitioning = s.out.Schema.TimePartitioning
	} else if d.TimePartitioning.Type == "" {
		d.TimePartitioning.Type = "DAY"
	}
	if d.Clustering == nil {
		d.Clustering = s.out.Schema.Clustering
	}
	path := s.path + ".destination"
	if d.WriteMode != modeReplace {
		for _, key := range []string{"replace_field", "replace_scope"} {
			if n := configs.Member(s.at("destination"), key); n != nil {
				s.problem(n, path+"."+key, "belongs to replace_partition; %s deletes nothing by it", d.WriteMode)
			}
		}
		return
	}
	if d.ReplaceField == "" && d.TimePartitioning != nil {
		d.ReplaceField = d.TimePartitioning.Field
	}
	if d.ReplaceField == "" && s.processor.Planned() {
		return // its rows will have columns of their own
	}
	if d.ReplaceField == "" {
		s.problem(s.at("destination"), path+".replace_field", "is required: the table is not partitioned, so replace_partition cannot tell which rows belong to a slice")
		return
	}
	s.column(d.ReplaceField, path+".replace_field")
	for _, name := range slices.Sorted(maps.Keys(d.ReplaceScope)) {
		s.column(name, path+".replace_scope."+name)
	}
}

// keys checks the columns that rows are known by. Modes that match rows need them to be
// comparable; the others only make row ids from them.
func (s *stepBuilder) keys(d Destination) {
	path, n := s.path+".destination.key_fields", configs.Member(s.at("destination"), "key_fields")
	matches := d.WriteMode == modeInsertNew || d.WriteMode == modeMerge
	if n == nil {
		n = s.at("destination")
	}
	if matches && len(d.KeyFields) == 0 {
		s.problem(n, path, "is required: %s finds out by these columns which rows the table has", d.WriteMode)
	}
	matches = matches || d.WriteMode == modeAppend
	for i, name := range d.KeyFields {
		fields := s.out.Schema.Fields
		at := fields.Index(name)
		if at < 0 && s.processor.Output().Envelope && fields.Index("raw_data") >= 0 {
			continue // looked up inside the provider's own text
		}
		s.column(name, path)
		switch {
		case slices.Contains(d.KeyFields[:i], name):
			s.problem(n, path, "names %q twice", name)
		case at >= 0 && matches && (fields[at].Type == row.TypeJSON || fields[at].Type == row.TypeFloat64):
			s.problem(n, path, "names %q, whose type %s cannot tell rows apart", name, fields[at].Type)
		}
	}
}

// column checks that a column exists when the columns are known.
func (s *stepBuilder) column(name, path string) {
	fields := s.out.Schema.Fields
	if len(fields) == 0 || fields.Index(name) >= 0 {
		return
	}
	s.suggest(s.at("destination"), path, name, "is no column of the table", fields.Names())
}

// rejects reads max_rejected: rows, or a percentage.
func (s *stepBuilder) rejects(d *Destination, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		if !s.processor.Output().MoneyTable {
			d.MaxRejected.Share = envelopeRejects
		}
		return
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	switch {
	case err != nil: // the schema has said so
	case percent && n <= 100:
		d.MaxRejected.Share = n / 100
	case !percent && n == float64(int64(n)):
		d.MaxRejected.Rows = int64(n)
	default:
		s.problem(s.at("destination"), s.path+".destination.max_rejected", "must be a whole number of rows or at most 100%%, not %q", text)
	}
}

// days returns the slices from start to end, both inclusive, End of each exclusive.
func days(start, end civil.Date) []Unit {
	var out []Unit
	for d := start; !d.After(end); d = d.AddDays(1) {
		out = append(out, Unit{Start: d, End: d.AddDays(1)})
	}
	return out
}
