package configs

// Validator checks documents against the language and the configs of processors. It is
// safe for concurrent use.
type Validator struct{ processors Processors }

// NewValidator returns a validator over the given processors.
func NewValidator(p Processors) *Validator { return &Validator{processors: p} }
