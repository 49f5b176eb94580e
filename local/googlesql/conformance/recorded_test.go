package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// recordedCase is a query run on the real service, and what it answered.
type recordedCase struct {
	ID        string           `json:"id"`
	Setup     string           `json:"setup"`
	SetupREST []restCall       `json:"setup_rest"`
	Query     string           `json:"query"`
	Ordered   bool             `json:"ordered"`
	Schema    []field          `json:"schema"`
	Rows      []map[string]any `json:"rows"`
	Error     *recordedError   `json:"error"`
	Meta      struct {
		StatementType string      `json:"statement_type"`
		DMLRows       json.Number `json:"num_dml_affected_rows"`
	} `json:"meta"`
	Parameters struct {
		Mode       string          `json:"mode"`
		Parameters []recordedParam `json:"parameters"`
	} `json:"parameters"`
	JobConfig map[string]any `json:"job_config"`
}

type restCall struct {
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Body   map[string]any `json:"body"`
}

type recordedError struct {
	Reason  string `json:"reason"`
	Pattern string `json:"message_pattern"`
	Sample  string `json:"message_sample"`
}

type recordedParam struct {
	Name  string `json:"name"`
	Type  any    `json:"type"`
	Value any    `json:"value"`
}

func (c *recordedCase) id() string { return "recorded/" + c.ID }

// names replaces the placeholders for the project and the dataset.
func names(dataset string) *strings.Replacer {
	return strings.NewReplacer("${PROJECT}", project, "${DATASET_ID}", dataset, "${DATASET}", project+"."+dataset,
		"${OTHER_PRINCIPAL}", "user:other@example.com", "${REGION}", "us")
}

func (s *service) runRecorded(c *recordedCase, number int) ([]outcome, error) {
	dataset := fmt.Sprintf("recorded_%03d", number)
	if err := s.createDataset(dataset); err != nil {
		return nil, err
	}
	o, err := s.recorded(c, dataset)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.id(), err)
	}
	o.id, o.source = c.id(), "recorded on the service"
	o.area, _, _ = strings.Cut(c.ID, "/")
	return []outcome{o}, nil
}

func (s *service) recorded(c *recordedCase, dataset string) (outcome, error) {
	name := names(dataset)
	if strings.TrimSpace(c.Setup) != "" {
		got, err := s.query(dataset, name.Replace(c.Setup), nil)
		if err != nil {
			return outcome{}, err
		}
		if got.Error != nil {
			o, err := s.failureOutcome(got.Error, dataset, name.Replace(c.Setup), nil)
			o.detail = "set-up: " + o.detail
			return o, err
		}
	}
	for _, call := range c.SetupREST {
		if o, err := s.rest(call, name); o.class != "" || err != nil {
			return o, err
		}
	}
	more, err := c.request(name)
	if err != nil {
		return outcome{}, err
	}
	sql := name.Replace(c.Query)
	ask := s.query
	if more["clustering"] != nil || more["timePartitioning"] != nil {
		ask = s.insertJob
	}
	got, err := ask(dataset, sql, more)
	if err != nil {
		return outcome{}, err
	}
	if c.Error != nil {
		return c.judgeError(got), nil
	}
	if got.Error != nil {
		return s.failureOutcome(got.Error, dataset, sql, more)
	}
	if err := c.judge(got); err != nil {
		rows, _ := json.Marshal(c.Rows)
		return outcome{class: wrong, detail: fmt.Sprintf("%v\n%s\nwant %s\n got %s", err, sql, rows, show(got))}, nil
	}
	return outcome{class: right}, nil
}

// rest makes a call of the set-up; the outcome is set when it fails.
func (s *service) rest(call restCall, name *strings.Replacer) (outcome, error) {
	text, err := json.Marshal(call.Body)
	if err != nil {
		return outcome{}, err
	}
	var out answer
	if err := s.call(call.Method, name.Replace(call.Path), json.RawMessage(name.Replace(string(text))), &out); err != nil {
		return outcome{class: unsupported, detail: "set-up: " + call.Method + " " + call.Path}, nil
	}
	if out.Error != nil {
		return outcome{class: unsupported, detail: "set-up: " + out.Error.Message}, nil
	}
	return outcome{}, nil
}

// configMembers are the members of a job's configuration under the names of
// the recording and of jobs.query.
var configMembers = map[string]string{
	"labels": "labels", "use_query_cache": "useQueryCache", "write_disposition": "writeDisposition", "create_disposition": "createDisposition",
	"dry_run": "dryRun", "job_timeout_ms": "jobTimeoutMs", "maximum_bytes_billed": "maximumBytesBilled", "create_session": "createSession",
	"connection_properties": "connectionProperties", "priority": "priority", "time_partitioning": "timePartitioning",
	"clustering_fields": "clustering", "destination": "destinationTable", "default_dataset": "defaultDataset",
}

// request is what the request carries beside the text.
func (c *recordedCase) request(name *strings.Replacer) (map[string]any, error) {
	more := map[string]any{}
	for k, v := range c.JobConfig {
		member, ok := configMembers[k]
		if !ok {
			return nil, fmt.Errorf("unknown configuration %s", k)
		}
		switch parts := strings.Split(name.Replace(fmt.Sprint(v)), "."); k {
		case "destination":
			v = map[string]string{"projectId": parts[0], "datasetId": parts[1], "tableId": parts[2]}
		case "default_dataset":
			v = map[string]string{"projectId": project, "datasetId": parts[len(parts)-1]}
		case "clustering_fields":
			v = map[string]any{"fields": v}
		case "maximum_bytes_billed", "job_timeout_ms":
			v = fmt.Sprint(v)
		}
		more[member] = v
	}
	if len(c.Parameters.Parameters) > 0 {
		var params []any
		for _, p := range c.Parameters.Parameters {
			params = append(params, p.wire())
		}
		more["queryParameters"], more["parameterMode"] = params, strings.ToUpper(c.Parameters.Mode)
	}
	return more, nil
}

func (p recordedParam) wire() map[string]any {
	typ, ok := p.Type.(map[string]any)
	if !ok {
		typ = map[string]any{"type": p.Type}
	}
	out := map[string]any{"parameterType": typ, "parameterValue": wireParam(p.Value)}
	if p.Name != "" {
		out["name"] = p.Name
	}
	return out
}

func wireParam(v any) map[string]any {
	switch x := v.(type) {
	case nil:
		return map[string]any{"value": nil}
	case []any:
		list := []any{}
		for _, e := range x {
			list = append(list, wireParam(e))
		}
		return map[string]any{"arrayValues": list}
	case map[string]any:
		fields := map[string]any{}
		for k, e := range x {
			fields[k] = wireParam(e)
		}
		return map[string]any{"structValues": fields}
	}
	return map[string]any{"value": fmt.Sprint(v)}
}

// pythonEscapes are escapes of the recorded patterns that Go does not know.
var pythonEscapes = regexp.MustCompile(`\\([ \n'",=<>:;!@&%~#/])`)

func (c *recordedCase) judgeError(got *answer) outcome {
	o := errorOutcome(got, c.Error.Sample)
	if o.class != right {
		return o
	}
	pattern, err := regexp.Compile(`^(?s:` + pythonEscapes.ReplaceAllString(c.Error.Pattern, "$1") + `)`)
	switch {
	case err != nil:
		return outcome{class: failed, detail: err.Error()}
	case got.Error.reason() != c.Error.Reason:
		return outcome{class: failed, detail: fmt.Sprintf("reason %s, want %s: %s", got.Error.reason(), c.Error.Reason, got.Error.Message)}
	case !pattern.MatchString(got.Error.Message):
		return outcome{class: failed, detail: fmt.Sprintf("message %q, want %q", got.Error.Message, c.Error.Sample)}
	}
	return o
}

// judge compares schema, rows and what is known of the statement.
func (c *recordedCase) judge(got *answer) error {
	if len(c.Rows) > 0 || len(got.Rows) > 0 {
		if err := sameSchema(c.Schema, got.Schema.Fields); err != nil {
			return err
		}
	}
	want := value{isArray: true, anyHow: !c.Ordered}
	for _, r := range c.Rows {
		want.list = append(want.list, recordedRow(r, c.Schema))
	}
	if err := matches(want, got); err != nil {
		return err
	}
	if c.Meta.StatementType != "" && got.StatementType != "" && c.Meta.StatementType != got.StatementType {
		return fmt.Errorf("statement type %s, want %s", got.StatementType, c.Meta.StatementType)
	}
	if n := c.Meta.DMLRows.String(); n != "" && got.NumDMLAffectedRows != n {
		return fmt.Errorf("%s rows affected, want %s", got.NumDMLAffectedRows, n)
	}
	return nil
}

func sameSchema(want, got []field) error {
	if len(want) != len(got) {
		return fmt.Errorf("%d columns, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if w.Name != g.Name || w.Type != g.Type || (w.Mode == "REPEATED") != (g.Mode == "REPEATED") {
			return fmt.Errorf("column %d is %s %s %s, want %s %s %s", i+1, g.Name, g.Type, g.Mode, w.Name, w.Type, w.Mode)
		}
		if err := sameSchema(w.Fields, g.Fields); err != nil {
			return err
		}
	}
	return nil
}

func recordedRow(r map[string]any, fields []field) value {
	out := value{isRow: true}
	for _, f := range fields {
		out.list = append(out.list, recordedValue(r[f.Name], f))
	}
	return out
}

func recordedValue(v any, f field) value {
	switch x := v.(type) {
	case nil:
		return value{null: true}
	case []any:
		out := value{isArray: true}
		f.Mode = ""
		for _, e := range x {
			out.list = append(out.list, recordedValue(e, f))
		}
		return out
	case map[string]any:
		if f.Type == "RECORD" {
			return recordedRow(maps.Clone(x), f.Fields)
		}
		if f.Type == "RANGE" {
			return value{scalar: fmt.Sprintf("[%v, %v)", x["start"], x["end"])}
		}
		text, _ := json.Marshal(x)
		return value{scalar: string(text)}
	}
	text := recordedScalar(v, f.Type)
	return value{scalar: text, raw: text}
}

func recordedScalar(v any, typ string) string {
	if x, ok := v.(string); ok && typ == "BYTES" {
		return decodeBase64(x)
	}
	return fmt.Sprint(v)
}
