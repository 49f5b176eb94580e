package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/uuid"
)

const (
	auditTable    = "org_audit_logs"
	auditWaiting  = 4096                   // most entries that wait to be written
	auditBatch    = 500                    // most entries of one request
	auditEvery    = time.Second            // between requests
	auditPatience = 100 * time.Millisecond // how long a full queue holds a caller up
	auditTimeout  = 30 * time.Second       // of one request
)

// AuditEntry says who did what and how it ended. Details must not hold secrets.
type AuditEntry struct {
	Org          string
	UserID       string
	KeyID        string
	Action       string // CREATE, READ, UPDATE, DELETE, EXECUTE
	ResourceType string // PIPELINE, INTEGRATION, API_KEY, CREDENTIAL, ORG
	ResourceID   string
	Details      map[string]string
	Address      string
	UserAgent    string
	RequestID    string
	Status       string // SUCCESS, FAILURE, DENIED
	Error        string
}

type auditRow struct {
	AuditID      string              `bigquery:"audit_id"`
	Org          string              `bigquery:"org_slug"`
	UserID       bigquery.NullString `bigquery:"user_id"`
	KeyID        bigquery.NullString `bigquery:"api_key_id"`
	Action       string              `bigquery:"action"`
	ResourceType string              `bigquery:"resource_type"`
	ResourceID   bigquery.NullString `bigquery:"resource_id"`
	Details      string              `bigquery:"details"`
	Address      bigquery.NullString `bigquery:"ip_address"`
	UserAgent    bigquery.NullString `bigquery:"user_agent"`
	RequestID    bigquery.NullString `bigquery:"request_id"`
	Status       string              `bigquery:"status"`
	Error        bigquery.NullString `bigquery:"error_message"`
	Created      time.Time           `bigquery:"created_at"`
}

// Save implements bigquery.ValueSaver.
func (r auditRow) Save() (map[string]bigquery.Value, string, error) {
	return map[string]bigquery.Value{
		"audit_id": r.AuditID, "org_slug": r.Org, "user_id": r.UserID, "api_key_id": r.KeyID, "action": r.Action, "resource_type": r.ResourceType,
		"resource_id": r.ResourceID, "details": r.Details, "ip_address": r.Address, "user_agent": r.UserAgent, "request_id": r.RequestID,
		"status": r.Status, "error_message": r.Error, "created_at": r.Created.Truncate(time.Microsecond),
	}, r.AuditID, nil
}

// Audit writes rows of org_audit_logs in batches, in the background. Make one with
// NewAudit, end it with Close, which writes what waits.
type Audit struct {
	store *Store
	log   *slog.Logger
	rows  chan auditRow
	done  chan struct{}

	mu     sync.RWMutex // closed may not change while somebody appends
	closed bool
}

// NewAudit starts the writer of a store's audit log.
func NewAudit(s *Store, log *slog.Logger) *Audit {
	a := &Audit{store: s, log: log, rows: make(chan auditRow, auditWaiting), done: make(chan struct{})}
	go a.write()
	return a
}

// Append hands an entry to the writer. It waits at most a tenth of a second for a place:
// then, and after Close, the entry goes to the service's log instead, and the answer is
// false.
func (a *Audit) Append(ctx context.Context, e AuditEntry) bool {
	details, err := json.Marshal(e.Details)
	if err != nil || e.Details == nil {
		details = []byte("{}")
	}
	row := auditRow{
		AuditID: uuid.NewString(), Org: e.Org, UserID: nullString(clip(e.UserID)), KeyID: nullString(e.KeyID), Action: e.Action, ResourceType: e.ResourceType,
		ResourceID: nullString(clip(e.ResourceID)), Details: string(details), Address: nullString(e.Address), UserAgent: nullString(clip(e.UserAgent)),
		RequestID: nullString(e.RequestID), Status: e.Status, Error: nullString(clip(e.Error)), Created: a.store.cfg.Now().UTC(),
	}
	if a.offer(ctx, row) {
		return true
	}
	a.log.Error("audit entry not stored: the writer is closed or behind", "org", e.Org, "user", e.UserID, "key", e.KeyID, "action", e.Action,
		"resource", e.ResourceType, "id", e.ResourceID, "status", e.Status, "address", e.Address, "request_id", e.RequestID)
	return false
}

func (a *Audit) offer(ctx context.Context, row auditRow) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return false
	}
	select {
	case a.rows <- row:
		return true
	default:
	}
	timer := time.NewTimer(auditPatience)
	defer timer.Stop()
	select {
	case a.rows <- row:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Close writes what waits and ends the writer. It is safe to call twice.
func (a *Audit) Close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.rows)
	}
	a.mu.Unlock()
	<-a.done
}

// write sends a batch every second, or as soon as one is full. A batch that cannot be
// written is sent again with the next; when too many wait, the oldest go to the log.
func (a *Audit) write() {
	defer close(a.done)
	ticker := time.NewTicker(auditEvery)
	defer ticker.Stop()
	var batch []auditRow
	for {
		select {
		case row, open := <-a.rows:
			if !open {
				a.lose(a.flush(batch))
				return
			}
			if batch = append(batch, row); len(batch) < auditBatch {
				continue
			}
		case <-ticker.C:
		}
		batch = a.flush(batch)
	}
}

// flush returns what could not be written.
func (a *Audit) flush(batch []auditRow) []auditRow {
	for len(batch) > 0 {
		n := min(len(batch), auditBatch)
		ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
		err := a.store.appendAudit(ctx, batch[:n])
		cancel()
		if err != nil {
			a.log.Warn("write the audit log", "entries", len(batch), "error", err)
			break
		}
		batch = batch[n:]
	}
	if extra := len(batch) - auditWaiting; extra > 0 {
		a.lose(batch[:extra])
		batch = batch[extra:]
	}
	return batch
}

// lose leaves entries to the service's log.
func (a *Audit) lose(batch []auditRow) {
	for _, r := range batch {
		a.log.Error("audit entry not stored: the warehouse does not take it", "org", r.Org, "user", r.UserID.StringVal, "key", r.KeyID.StringVal,
			"action", r.Action, "resource", r.ResourceType, "id", r.ResourceID.StringVal, "status", r.Status, "address", r.Address.StringVal,
			"request_id", r.RequestID.StringVal)
	}
}

func (s *Store) appendAudit(ctx context.Context, rows []auditRow) error {
	s.mu.Lock()
	young := s.cfg.Now().Sub(s.created[auditTable]) < streamingAge
	s.mu.Unlock()
	if young {
		return s.execute(ctx, "append_audit.sql", bigquery.QueryParameter{Name: "rows", Value: rows})
	}
	savers := make([]bigquery.ValueSaver, len(rows))
	for i := range rows {
		savers[i] = rows[i]
	}
	if err := s.dataset.Table(auditTable).Inserter().Put(ctx, savers); err != nil {
		return fmt.Errorf("stream audit entries: %w", err)
	}
	return nil
}
