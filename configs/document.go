package configs

import (
	"fmt"
	"strings"
)

// Document is a resolved pipeline: values are typed, spellings canonical.
type Document struct {
	PipelineID      string    `json:"pipeline_id"`
	Name            string    `json:"name"`
	Description     string    `json:"description"`
	Version         string    `json:"version"`
	Tags            []string  `json:"tags"`
	Category        string    `json:"category"`
	Schedule        *Schedule `json:"schedule"`
	TimeoutMinutes  int       `json:"timeout_minutes"`
	TimeoutSeconds  int       `json:"timeout_seconds"`
	RetryAttempts   *int      `json:"retry_attempts"`
	RetryBackoff    *float64  `json:"retry_backoff_seconds"`
	RateLimitPerMin int       `json:"rate_limit_per_minute"`
	LookbackDays    int       `json:"lookback_days"`
	Mode            string    `json:"mode"`
	Execution       Execution `json:"execution"`
	Steps           []Step    `json:"steps"`
	RequiresAuth    bool      `json:"requires_auth"`
	AuthType        string    `json:"auth_type"`
}

// Execution says how runs of a pipeline are made.
type Execution struct {
	Runner     string `json:"runner"`
	RunOnce    bool   `json:"run_once"`
	ForceParam string `json:"force_param"`
}

// Step is one step of a document without its config, which is resolved per slice, and
// without enabled, which is an expression.
type Step struct {
	StepID         string       `json:"step_id"`
	Name           string       `json:"name"`
	Description    string       `json:"description"`
	Type           string       `json:"ps_type"`
	DependsOn      []string     `json:"depends_on"`
	Inputs         []string     `json:"inputs"`
	OnFailure      string       `json:"on_failure"`
	TimeoutMinutes int          `json:"timeout_minutes"`
	TimeoutSeconds int          `json:"timeout_seconds"`
	RetryAttempts  *int         `json:"retry_attempts"`
	RetryBackoff   *float64     `json:"retry_backoff_seconds"`
	Destination    *Destination `json:"destination"`
}

// Destination is where rows land, as the document says it; empty values are defaults.
type Destination struct {
	Table            string            `json:"table"`
	DatasetType      string            `json:"dataset_type"`
	WriteMode        string            `json:"write_mode"`
	KeyFields        []string          `json:"key_fields"`
	Delivery         string            `json:"delivery"`
	ReplaceField     string            `json:"replace_field"`
	ReplaceScope     map[string]string `json:"replace_scope"`
	TimePartitioning *TimePartitioning `json:"time_partitioning"`
	Clustering       []string          `json:"clustering_fields"`
	SchemaFile       string            `json:"schema_file"`
	SchemaTemplate   string            `json:"schema_template"`
	SchemaRef        string            `json:"schema_ref"`
	BatchSize        int               `json:"batch_size"`
	Recreate         bool              `json:"recreate"`
	MaxRejected      string            `json:"max_rejected"` // a number of rows or a percentage
	Path             string            `json:"path"`
	Format           string            `json:"format"`
}

// Schedule is the default schedule of a pipeline: either Cron with five fields, or Type
// with its times. Timezone is an IANA name, UTC when empty.
type Schedule struct {
	Cron       string `json:"cron,omitempty"`
	Type       string `json:"type,omitempty"` // hourly, daily, weekly, monthly
	Time       string `json:"time,omitempty"` // HH:MM
	Timezone   string `json:"timezone,omitempty"`
	DayOfMonth int    `json:"day_of_month,omitempty"`
	DayOfWeek  string `json:"day_of_week,omitempty"`
}

// CronText returns the schedule as five cron fields.
func (s Schedule) CronText() string {
	if s.Cron != "" {
		return strings.Join(strings.Fields(s.Cron), " ")
	}
	hour, minute := 0, 0
	if _, err := fmt.Sscanf(s.Time, "%d:%d", &hour, &minute); err != nil {
		hour, minute = 0, 0 // an absent time means midnight
	}
	switch s.Type {
	case "hourly":
		return fmt.Sprintf("%d * * * *", minute)
	case "weekly":
		day := "1"
		if s.DayOfWeek != "" {
			day = strings.ToLower(s.DayOfWeek)
		}
		if len(day) > 3 {
			day = day[:3]
		}
		return fmt.Sprintf("%d %d * * %s", minute, hour, day)
	case "monthly":
		return fmt.Sprintf("%d %d %d * *", minute, hour, max(s.DayOfMonth, 1))
	default:
		return fmt.Sprintf("%d %d * * *", minute, hour)
	}
}
