package bigquery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
	"github.com/cloudact/convergence/local/googlesql/analyze"
	"github.com/cloudact/convergence/local/googlesql/translate"
)

// shadows names, for the plan of a statement, a stand-in for each table that
// requires a filter. A stand-in holds extreme values only, so that no filter
// can be decided from what is known of its contents.
type shadows struct {
	relations
	rules *tableRules
	used  map[string]*wire.Table // by name of the stand-in
}

func (sh *shadows) Relation(t *analyze.Table) (string, error) {
	name, err := sh.relations.Relation(t)
	if table := sh.rules.filtered[name]; err == nil && table != nil {
		stand := "shadow_" + catalog.PhysicalName(table.TableReference)
		sh.used[stand] = table
		return `temp.main.` + catalog.Quote(stand), nil
	}
	return name, err
}

// requireFilters refuses a statement that reads a table which requires a
// partition filter and gives it none. It asks DuckDB's optimizer what is left
// to filter at each scan.
func (s *Server) requireFilters(ctx context.Context, st *statement) error {
	rules, err := s.rulesNow(ctx)
	if err != nil || len(rules.filtered) == 0 || st.alter != nil || st.st.Kind == analyze.KindTruncateTable || st.st.Kind == analyze.KindCreateView {
		return err
	}
	sh := &shadows{relations: relations{s: s}, rules: rules, used: map[string]*wire.Table{}}
	query, err := translate.Statement(st.st, sh)
	if err != nil || len(sh.used) == 0 {
		return s.sqlError(err)
	}
	args, err := st.params.bind(query.Params)
	if err != nil {
		return err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the database: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `BEGIN TRANSACTION`); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	for name, t := range sh.used {
		if err := standIn(ctx, conn, name, t); err != nil {
			return errors.Join(err, rollback(ctx, conn))
		}
	}
	plan, err := explain(ctx, conn, bound{query.SQL, args})
	if err = errors.Join(err, rollback(ctx, conn)); err != nil {
		return fmt.Errorf("planning a query over a table that requires a filter: %w", err)
	}
	for _, node := range plan {
		if err := sh.check(node, ""); err != nil {
			return err
		}
	}
	return nil
}

// planNode is a node of DuckDB's plan.
type planNode struct {
	Name     string         `json:"name"`
	Children []planNode     `json:"children"`
	Info     map[string]any `json:"extra_info"`
}

func explain(ctx context.Context, conn *sql.Conn, b bound) ([]planNode, error) {
	var kind, text string
	if err := conn.QueryRowContext(ctx, `EXPLAIN (FORMAT JSON) `+b.text, b.args...).Scan(&kind, &text); err != nil {
		return nil, err
	}
	var plan []planNode
	return plan, json.Unmarshal([]byte(text), &plan)
}

var quotedText = regexp.MustCompile(`'(?:[^']|'')*'`)

// check walks down to the scans; above is what filters right above a node.
func (sh *shadows) check(node planNode, above string) error {
	switch name := strings.TrimSpace(node.Name); name {
	case "FILTER":
		above += " " + fmt.Sprint(node.Info["Expression"])
	case "PROJECTION":
	case "SEQ_SCAN":
		stand := strings.TrimPrefix(strings.ReplaceAll(fmt.Sprint(node.Info["Table"]), `"`, ""), "temp.main.")
		t := sh.used[stand]
		if t == nil {
			return nil
		}
		filters := quotedText.ReplaceAllString(above+" "+fmt.Sprint(node.Info["Filters"]), "")
		for _, column := range partitionColumns(t) {
			if regexp.MustCompile(`(?i)(^|\W)` + regexp.QuoteMeta(column) + `(\W|$)`).MatchString(filters) {
				return nil
			}
		}
		return missingFilter(t)
	default:
		above = ""
	}
	for _, child := range node.Children {
		if err := sh.check(child, above); err != nil {
			return err
		}
	}
	return nil
}

// extremes are the least and the greatest value by type, in DuckDB.
var extremes = map[string][2]string{
	"INTEGER": {`-9223372036854775807`, `9223372036854775807`}, "FLOAT": {`-1e308`, `1e308`}, "BOOLEAN": {`false`, `true`},
	"DATE": {`DATE '0001-01-01'`, `DATE '9999-12-31'`}, "DATETIME": {`TIMESTAMP '0001-01-01'`, `TIMESTAMP '9999-12-31 23:59:59'`},
	"TIMESTAMP": {`TIMESTAMPTZ '0001-01-01 00:00:00+00'`, `TIMESTAMPTZ '9999-12-31 23:59:59+00'`}, "TIME": {`TIME '00:00:00'`, `TIME '23:59:59'`},
	"NUMERIC": {`-99999999999999999999999999999`, `99999999999999999999999999999`}, "BIGNUMERIC": {`-9999999999`, `9999999999`},
	"STRING": {`''`, `chr(1114111)`},
}

// standIn makes the stand-in of a table: a row of least values, one of
// greatest and one of NULLs.
func standIn(ctx context.Context, conn *sql.Conn, name string, t *wire.Table) error {
	stand := `temp.main.` + catalog.Quote(name)
	columns, rows := []string{}, [3][]string{}
	add := func(column string, values [2]string) {
		columns = append(columns, catalog.Quote(column))
		rows[0], rows[1], rows[2] = append(rows[0], values[0]), append(rows[1], values[1]), append(rows[2], "NULL")
	}
	if t.TimePartitioning != nil && t.TimePartitioning.Field == "" {
		add(partitionTimeColumn, extremes["TIMESTAMP"])
	}
	if t.Dated {
		add(partitionDateColumn, extremes["DATE"])
	}
	for _, f := range t.Schema.Fields {
		if values, ok := extremes[f.Type]; ok && !f.Repeated() {
			add(f.Name, values)
		}
	}
	values := make([]string, len(rows))
	for i := range rows {
		values[i] = "(" + strings.Join(rows[i], ", ") + ")"
	}
	return execAll(ctx, conn, `CREATE TEMP TABLE `+catalog.Quote(name)+` AS SELECT * FROM `+catalog.Relation(t.TableReference)+` LIMIT 0`,
		`INSERT INTO `+stand+` (`+strings.Join(columns, ", ")+`) VALUES `+strings.Join(values, ", "))
}
