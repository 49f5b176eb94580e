package bigquery

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloudact/convergence/local/bigquery/catalog"
	"github.com/cloudact/convergence/local/bigquery/wire"
)

// tableRules are the tables whose reading needs more than reading: those with
// partitions that expire, and those that refuse a query without a filter. They
// are looked up once for each state of all schemas.
type tableRules struct {
	mu       sync.Mutex
	known    bool
	schema   int64
	expiring []wire.TableReference
	filtered map[string]*wire.Table // by relation
}

func (s *Server) rulesNow(ctx context.Context) (*tableRules, error) {
	r := &s.rules
	r.mu.Lock()
	defer r.mu.Unlock()
	schema := s.schema.Load()
	if r.known && r.schema == schema {
		return &tableRules{expiring: r.expiring, filtered: r.filtered}, nil
	}
	tables, err := catalog.TablesWith(ctx, s.db, "expirationMs", "requirePartitionFilter")
	if err != nil {
		return nil, err
	}
	r.expiring, r.filtered = nil, map[string]*wire.Table{}
	for _, t := range tables {
		if t.TimePartitioning != nil && t.TimePartitioning.ExpirationMs != "" {
			r.expiring = append(r.expiring, t.TableReference)
		}
		if needsFilter(t) {
			r.filtered[catalog.Relation(t.TableReference)] = t
		}
	}
	r.known, r.schema = true, schema
	return &tableRules{expiring: r.expiring, filtered: r.filtered}, nil
}

// expirePartitions deletes the partitions whose time is over, before anything
// is read.
func (s *Server) expirePartitions(ctx context.Context) error {
	rules, err := s.rulesNow(ctx)
	if err != nil {
		return err
	}
	for _, ref := range rules.expiring {
		t, err := catalog.Table(ctx, s.db, ref)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		condition := s.expiredRows(t)
		if condition == "" {
			continue
		}
		var found bool
		if err := s.db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM (SELECT 1 FROM `+catalog.Relation(ref)+` WHERE `+condition+` LIMIT 1)`).Scan(&found); err != nil {
			return fmt.Errorf("looking for expired partitions of table %s: %w", ref, err)
		}
		if !found {
			continue
		}
		err = s.apply(ctx, change{locks: []lock{{table: ref, mode: lockMutate}}, run: func(ctx context.Context, conn *sql.Conn) error {
			_, err := affect(ctx, conn, bound{`DELETE FROM ` + catalog.Relation(ref) + ` WHERE ` + condition, nil})
			return err
		}})
		if err != nil {
			return fmt.Errorf("expiring partitions of table %s: %w", ref, err)
		}
	}
	return nil
}

// expiredRows is the condition of the rows in expired partitions; empty
// without any. A partition expires that long after it begins.
func (s *Server) expiredRows(t *wire.Table) string {
	p := t.TimePartitioning
	if p == nil {
		return ""
	}
	ms, err := strconv.ParseInt(p.ExpirationMs, 10, 64)
	if err != nil || ms <= 0 {
		return ""
	}
	column, kind := partitionTimeColumn, "TIMESTAMP"
	if p.Field != "" {
		column, kind = p.Field, t.Schema.Fields[t.Schema.Find(p.Field)].Type
	}
	last := partitionStart(s.cfg.Clock().Add(-time.Duration(ms)*time.Millisecond), p.Type)
	return catalog.Quote(column) + ` < ` + duckTime(kind, nextPartition(last, p.Type))
}

func needsFilter(t *wire.Table) bool {
	return t.View == nil && t.RequirePartitionFilter && t.Schema != nil && (t.TimePartitioning != nil || t.RangePartitioning != nil)
}

// partitionColumns are the names under which a query may filter.
func partitionColumns(t *wire.Table) []string {
	switch {
	case t.RangePartitioning != nil:
		return []string{t.RangePartitioning.Field}
	case t.TimePartitioning.Field != "":
		return []string{t.TimePartitioning.Field}
	case t.Dated:
		return []string{partitionTimeColumn, partitionDateColumn}
	}
	return []string{partitionTimeColumn}
}

func missingFilter(t *wire.Table) error {
	ref := t.TableReference
	var names []string
	for _, name := range partitionColumns(t) {
		names = append(names, "'"+name+"'")
	}
	return wire.InvalidQuery(fmt.Sprintf("Cannot query over table '%s.%s.%s' without a filter over column(s) %s that can be used for partition elimination",
		ref.ProjectID, ref.DatasetID, ref.TableID, strings.Join(names, ", ")))
}
