package credentials

import (
	"encoding/json"
	"time"

	"cloud.google.com/go/bigquery"
)

type infoRow struct {
	CredentialID  string                 `bigquery:"credential_id"`
	Provider      string                 `bigquery:"provider"`
	Name          bigquery.NullString    `bigquery:"credential_name"`
	Type          string                 `bigquery:"credential_type"`
	Status        string                 `bigquery:"validation_status"`
	LastValidated bigquery.NullTimestamp `bigquery:"last_validated_at"`
	LastError     bigquery.NullString    `bigquery:"last_error"`
	Metadata      bigquery.NullJSON      `bigquery:"metadata"`
	Created       time.Time              `bigquery:"created_at"`
}

func (r infoRow) info() Info {
	i := Info{
		ID: r.CredentialID, Provider: r.Provider, Name: r.Name.StringVal, Type: Type(r.Type), Status: Status(r.Status),
		LastError: r.LastError.StringVal, Created: r.Created.UTC(),
	}
	if r.LastValidated.Valid {
		i.LastValidated = r.LastValidated.Timestamp.UTC()
	}
	if r.Metadata.Valid {
		i.Metadata = json.RawMessage(r.Metadata.JSONVal)
	}
	return i
}

func nullable(text string) bigquery.NullString {
	return bigquery.NullString{StringVal: text, Valid: text != ""}
}

func texts(statuses []Status) []string {
	out := make([]string, len(statuses))
	for i, st := range statuses {
		out[i] = string(st)
	}
	return out
}
