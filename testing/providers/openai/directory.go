package openai

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/civil"
)

type projectResult struct {
	ID            string  `json:"id"`
	Object        string  `json:"object"`
	Name          string  `json:"name"`
	CreatedAt     int64   `json:"created_at"`
	ArchivedAt    *int64  `json:"archived_at"`
	Status        string  `json:"status"`
	ExternalKeyID *string `json:"external_key_id"`
}

type projectList struct {
	Object  string          `json:"object"`
	Data    []projectResult `json:"data"`
	FirstID *string         `json:"first_id"`
	LastID  *string         `json:"last_id"`
	HasMore bool            `json:"has_more"`
}

func unix(day civil.Date) int64 { return day.In(time.UTC).Unix() }

func (p project) result() projectResult {
	r := projectResult{ID: p.id, Object: "organization.project", Name: p.name, CreatedAt: unix(p.created), Status: "active"}
	if p.archived {
		at := unix(p.created.AddDays(90))
		r.Status, r.ArchivedAt = "archived", &at
	}
	return r
}

// listProjects pages by the id of the last project seen.
func (s *Server) listProjects(o *org, r *http.Request) (any, *apiError) {
	limit, archived, failure := readListing(r.URL.Query())
	if failure != nil {
		return nil, failure
	}
	var all []projectResult
	for _, p := range o.projects {
		if archived || !p.archived {
			all = append(all, p.result())
		}
	}
	if after := r.URL.Query().Get("after"); after != "" {
		at := slices.IndexFunc(all, func(p projectResult) bool { return p.ID == after })
		if at < 0 {
			return nil, badParameter("after", "Invalid 'after': no project '%s'.", after)
		}
		all = all[at+1:]
	}
	list := projectList{Object: "list", Data: all[:min(limit, len(all))], HasMore: len(all) > limit}
	if n := len(list.Data); n > 0 {
		list.FirstID, list.LastID = &list.Data[0].ID, &list.Data[n-1].ID
	}
	return list, nil
}

func readListing(values url.Values) (limit int, archived bool, failure *apiError) {
	limit = 20
	for name, list := range values {
		var err error
		switch name {
		case "after":
		case "limit":
			limit, err = strconv.Atoi(list[0])
			if err != nil || limit < 1 || limit > 100 {
				return 0, false, badParameter(name, "Invalid 'limit': expected an integer from 1 to 100, got '%s'.", list[0])
			}
		case "include_archived":
			if archived, err = strconv.ParseBool(list[0]); err != nil {
				return 0, false, badParameter(name, "Invalid 'include_archived': expected true or false, got '%s'.", list[0])
			}
		default:
			return 0, false, badParameter(name, "Unknown parameter: '%s'.", name)
		}
	}
	return limit, archived, nil
}

type modelResult struct {
	ID           string  `json:"id"`
	Object       string  `json:"object"`
	Created      int64   `json:"created"`
	OwnedBy      string  `json:"owned_by"`
	ShutdownDate *string `json:"shutdown_date"`
}

func (s *Server) listModels(*org, *http.Request) (any, *apiError) {
	models := make([]modelResult, 0, len(offerings))
	for _, m := range offerings {
		models = append(models, modelResult{ID: m.id, Object: "model", Created: unix(m.created), OwnedBy: m.ownedBy})
	}
	return map[string]any{"object": "list", "data": models}, nil
}
