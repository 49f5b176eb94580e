package configs

// Schedule is the default schedule of a pipeline. Cron has five fields; Timezone is an
// IANA name, UTC when empty.
type Schedule struct {
	Cron     string `json:"cron"`
	Timezone string `json:"timezone,omitempty"`
}
