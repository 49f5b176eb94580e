package api

import (
	"context"
	"net/http"
)

// Batch asks for runs of one pipeline for many organisations.
type Batch interface {
	Publish(ctx context.Context, b BatchRequest) (BatchAnswer, error)
}

// BatchRequest names the pipeline and the organisations.
type BatchRequest struct {
	Orgs       []string
	PipelineID string
	Parameters map[string]any
	Randomize  bool
	MaxJitter  int // seconds
}

// BatchAnswer is what was published.
type BatchAnswer struct {
	Status     string   `json:"status"`
	PipelineID string   `json:"pipeline_id"`
	Published  int      `json:"published_count"`
	Failed     int      `json:"failed_count"`
	Orgs       int      `json:"total_orgs"`
	MessageIDs []string `json:"message_ids" doc:"the first 100"`
}

type batchInput struct {
	Body struct {
		Orgs       []string       `json:"org_slugs" minItems:"1" maxItems:"10000"`
		PipelineID string         `json:"pipeline_id" minLength:"1" maxLength:"250" doc:"provider/domain/name"`
		Parameters map[string]any `json:"parameters,omitempty"`
		Randomize  bool           `json:"randomize_delay,omitempty" default:"true" doc:"spread the runs over max_jitter_seconds"`
		MaxJitter  int            `json:"max_jitter_seconds,omitempty" default:"3600" minimum:"0" maximum:"86400"`
	}
}

type batchOutput struct{ Body BatchAnswer }

func (s *service) batch() {
	add(s, route{
		method: http.MethodPost, path: prefix + "/pipelines/batch/publish", id: "publish-batch", tag: tagScheduler,
		summary: "Ask for runs of one pipeline for many organisations", key: keyRoot, action: actionExecute, resource: resourcePipeline,
		also: []int{http.StatusNotFound},
	}, s.publish)
}

func (s *service) publish(ctx context.Context, in *batchInput) (*batchOutput, error) {
	b := in.Body
	for _, org := range b.Orgs {
		if !pathPatterns["org"].MatchString(org) {
			return nil, refuse(codeInvalidPayload, "an organisation is none", "body.org_slugs", patternTexts["org"])
		}
	}
	done, err := s.cfg.Batch.Publish(ctx, BatchRequest{
		Orgs: b.Orgs, PipelineID: b.PipelineID, Parameters: b.Parameters, Randomize: b.Randomize, MaxJitter: b.MaxJitter,
	})
	if err != nil {
		return nil, s.problem(ctx, "publish batch", err)
	}
	return &batchOutput{done}, nil
}
