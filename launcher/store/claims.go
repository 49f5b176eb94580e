package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/cloudact/convergence/launcher"
	"github.com/cloudact/convergence/launcher/claim"
)

const beatsFor = 48 * time.Hour // a heartbeat older than that is as good as none

// claimPayload is what an entry of the claim log says beside the columns of its row.
type claimPayload struct {
	Owner string `json:"owner"`
}

// AppendClaims implements claim.Log. Entries are events whose step is the name of the
// thing; a heartbeat is one of no organisation, whose run is the process.
func (s *Store) AppendClaims(ctx context.Context, entries ...claim.Entry) error {
	events := make([]launcher.Event, len(entries))
	for i, e := range entries {
		payload, err := json.Marshal(claimPayload{Owner: e.Owner})
		if err != nil {
			return fmt.Errorf("encode claim of %s: %w", e.Name, err)
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%d/%s/%d", e.Kind, e.Org, e.Name, e.Epoch, e.Owner, e.Counter))
		events[i] = launcher.Event{
			ID: hex.EncodeToString(sum[:])[:32], RunID: e.Holder, Org: e.Org, Seq: int64(e.Epoch), Kind: e.Kind,
			Step: e.Name, Payload: payload, Time: s.cfg.Now(),
		}
		if e.Kind == claim.KindBeat {
			events[i].RunID, events[i].Seq = e.Owner, e.Counter
		}
	}
	return s.Append(ctx, events...)
}

// Claims implements claim.Log: the entries of the newest epoch of each thing.
func (s *Store) Claims(ctx context.Context, org string, names []string) ([]claim.Entry, error) {
	if len(names) == 0 {
		return nil, nil
	}
	rows, err := readAll[eventRow](ctx, s, "claims.sql",
		bigquery.QueryParameter{Name: "org", Value: org}, bigquery.QueryParameter{Name: "names", Value: names})
	if err != nil {
		return nil, err
	}
	entries := make([]claim.Entry, len(rows))
	for i, r := range rows {
		var p claimPayload
		if err := json.Unmarshal([]byte(r.Payload), &p); err != nil {
			return nil, fmt.Errorf("read claim %s of %s: %w", r.EventID, r.Step, err)
		}
		entries[i] = claim.Entry{Kind: r.Kind, Org: r.OrgSlug, Name: r.Step, Epoch: int(r.Seq), Owner: p.Owner, Holder: r.RunID}
	}
	return entries, nil
}

// Beats implements claim.Log.
func (s *Store) Beats(ctx context.Context, owners []string) (map[string]int64, error) {
	type beat struct {
		Owner   string `bigquery:"owner"`
		Counter int64  `bigquery:"counter"`
	}
	rows, err := readAll[beat](ctx, s, "beats.sql",
		bigquery.QueryParameter{Name: "owners", Value: owners}, bigquery.QueryParameter{Name: "since", Value: s.cfg.Now().Add(-beatsFor)})
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r.Owner] = r.Counter
	}
	return out, nil
}
