package api

import "time"

// Price is what a model costs, in USD per 1,000 tokens.
type Price struct {
	ModelID         string     `json:"model_id"`
	Input           Decimal    `json:"input_price_per_1k"`
	Output          Decimal    `json:"output_price_per_1k"`
	EffectiveDate   string     `json:"effective_date"`
	ModelName       *string    `json:"model_name" nullable:"true"`
	CachedInput     *Decimal   `json:"cached_input_price_per_1k" nullable:"true"`
	CacheWrite      *Decimal   `json:"cache_write_price_per_1k" nullable:"true"`
	BatchInput      *Decimal   `json:"x_openai_batch_input_price" nullable:"true"`
	BatchOutput     *Decimal   `json:"x_openai_batch_output_price" nullable:"true"`
	ContextWindow   *string    `json:"context_window" nullable:"true"`
	EndDate         *string    `json:"end_date" nullable:"true"`
	IsEnabled       *bool      `json:"is_enabled" nullable:"true"`
	Notes           *string    `json:"notes" nullable:"true"`
	PricingType     *string    `json:"pricing_type" nullable:"true"`
	FreeInput       *int64     `json:"free_tier_input_tokens" nullable:"true"`
	FreeOutput      *int64     `json:"free_tier_output_tokens" nullable:"true"`
	FreeReset       *string    `json:"free_tier_reset_frequency" nullable:"true"`
	Discount        *Decimal   `json:"discount_percentage" nullable:"true"`
	DiscountReason  *string    `json:"discount_reason" nullable:"true"`
	VolumeThreshold *int64     `json:"volume_threshold_tokens" nullable:"true"`
	BaseInput       *Decimal   `json:"base_input_price_per_1k" nullable:"true"`
	BaseOutput      *Decimal   `json:"base_output_price_per_1k" nullable:"true"`
	IsCustom        *bool      `json:"is_custom" nullable:"true" doc:"of the organisation: a reset keeps it"`
	IsEdited        *bool      `json:"is_edited" nullable:"true" doc:"came with the product and was changed"`
	Created         *time.Time `json:"created_at" nullable:"true"`
	Updated         *time.Time `json:"updated_at" nullable:"true"`
}

// NewPrice is a price of a model that has none.
type NewPrice struct {
	ModelID       string  `json:"model_id" minLength:"1" maxLength:"100" pattern:"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"`
	Input         Decimal `json:"input_price_per_1k" minimum:"0"`
	Output        Decimal `json:"output_price_per_1k" minimum:"0"`
	EffectiveDate string  `json:"effective_date" format:"date"`
	PriceFields
}

// PriceFields are what a price need not say. What is absent is NULL in a new price and
// stays as it is in a change.
type PriceFields struct {
	ModelName       *string  `json:"model_name,omitempty" maxLength:"200"`
	CachedInput     *Decimal `json:"cached_input_price_per_1k,omitempty" minimum:"0"`
	CacheWrite      *Decimal `json:"cache_write_price_per_1k,omitempty" minimum:"0"`
	BatchInput      *Decimal `json:"x_openai_batch_input_price,omitempty"`
	BatchOutput     *Decimal `json:"x_openai_batch_output_price,omitempty"`
	ContextWindow   *string  `json:"context_window,omitempty" maxLength:"50"`
	EndDate         *string  `json:"end_date,omitempty" format:"date"`
	IsEnabled       *bool    `json:"is_enabled,omitempty"`
	Notes           *string  `json:"notes,omitempty" maxLength:"1000"`
	PricingType     *string  `json:"pricing_type,omitempty" enum:"standard,free_tier,volume_discount,committed_use,promotional,negotiated"`
	FreeInput       *int64   `json:"free_tier_input_tokens,omitempty" minimum:"0"`
	FreeOutput      *int64   `json:"free_tier_output_tokens,omitempty" minimum:"0"`
	FreeReset       *string  `json:"free_tier_reset_frequency,omitempty" enum:"daily,monthly,never"`
	Discount        *Decimal `json:"discount_percentage,omitempty"`
	DiscountReason  *string  `json:"discount_reason,omitempty" enum:"volume,commitment,promotion,negotiated,trial"`
	VolumeThreshold *int64   `json:"volume_threshold_tokens,omitempty" minimum:"0"`
	BaseInput       *Decimal `json:"base_input_price_per_1k,omitempty"`
	BaseOutput      *Decimal `json:"base_output_price_per_1k,omitempty"`
}

// PriceChange changes a price. A later effective date than its own states a new price from
// that day on.
type PriceChange struct {
	Input         *Decimal `json:"input_price_per_1k,omitempty" minimum:"0"`
	Output        *Decimal `json:"output_price_per_1k,omitempty" minimum:"0"`
	EffectiveDate *string  `json:"effective_date,omitempty" format:"date"`
	PriceFields
}

// PriceUpsert changes the price of a model, or adds it.
type PriceUpsert struct {
	ModelID string `json:"model_id" minLength:"1" maxLength:"100" pattern:"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"`
	PriceChange
}

// Plan is a subscription to a provider.
type Plan struct {
	PlanName       string     `json:"plan_name"`
	SubscriptionID string     `json:"subscription_id"`
	Quantity       int64      `json:"quantity"`
	UnitPrice      Decimal    `json:"unit_price_usd"`
	EffectiveDate  string     `json:"effective_date"`
	EndDate        *string    `json:"end_date" nullable:"true"`
	IsEnabled      *bool      `json:"is_enabled" nullable:"true"`
	AuthType       *string    `json:"auth_type" nullable:"true"`
	Notes          *string    `json:"notes" nullable:"true"`
	TierType       *string    `json:"tier_type" nullable:"true"`
	TrialEnd       *string    `json:"trial_end_date" nullable:"true"`
	TrialCredit    *Decimal   `json:"trial_credit_usd" nullable:"true"`
	MonthlyTokens  *int64     `json:"monthly_token_limit" nullable:"true"`
	DailyTokens    *int64     `json:"daily_token_limit" nullable:"true"`
	RPM            *int64     `json:"rpm_limit" nullable:"true"`
	TPM            *int64     `json:"tpm_limit" nullable:"true"`
	RPD            *int64     `json:"rpd_limit" nullable:"true"`
	TPD            *int64     `json:"tpd_limit" nullable:"true"`
	Concurrent     *int64     `json:"concurrent_limit" nullable:"true"`
	CommittedSpend *Decimal   `json:"committed_spend_usd" nullable:"true"`
	CommitmentTerm *int64     `json:"commitment_term_months" nullable:"true"`
	Discount       *Decimal   `json:"discount_percentage" nullable:"true"`
	IsCustom       *bool      `json:"is_custom" nullable:"true" doc:"of the organisation: a reset keeps it"`
	IsEdited       *bool      `json:"is_edited" nullable:"true" doc:"came with the product and was changed"`
	Created        *time.Time `json:"created_at" nullable:"true"`
	Updated        *time.Time `json:"updated_at" nullable:"true"`
}

// NewPlan is a plan that there is not yet.
type NewPlan struct {
	PlanName       string  `json:"plan_name" pattern:"^[A-Za-z0-9_]{1,50}$"`
	SubscriptionID string  `json:"subscription_id" minLength:"1" maxLength:"100"`
	Quantity       int64   `json:"quantity" minimum:"0"`
	UnitPrice      Decimal `json:"unit_price_usd" doc:"a month"`
	EffectiveDate  string  `json:"effective_date" format:"date"`
	PlanFields
}

// PlanFields are what a plan need not say.
type PlanFields struct {
	EndDate        *string  `json:"end_date,omitempty" format:"date"`
	IsEnabled      *bool    `json:"is_enabled,omitempty"`
	AuthType       *string  `json:"auth_type,omitempty" enum:"api_key,service_account,oauth"`
	Notes          *string  `json:"notes,omitempty" maxLength:"1000"`
	TierType       *string  `json:"tier_type,omitempty" enum:"free,trial,paid,enterprise,committed_use"`
	TrialEnd       *string  `json:"trial_end_date,omitempty" format:"date"`
	TrialCredit    *Decimal `json:"trial_credit_usd,omitempty"`
	MonthlyTokens  *int64   `json:"monthly_token_limit,omitempty" minimum:"0"`
	DailyTokens    *int64   `json:"daily_token_limit,omitempty" minimum:"0"`
	RPM            *int64   `json:"rpm_limit,omitempty" minimum:"0"`
	TPM            *int64   `json:"tpm_limit,omitempty" minimum:"0"`
	RPD            *int64   `json:"rpd_limit,omitempty" minimum:"0"`
	TPD            *int64   `json:"tpd_limit,omitempty" minimum:"0"`
	Concurrent     *int64   `json:"concurrent_limit,omitempty" minimum:"0"`
	CommittedSpend *Decimal `json:"committed_spend_usd,omitempty"`
	CommitmentTerm *int64   `json:"commitment_term_months,omitempty" minimum:"0"`
	Discount       *Decimal `json:"discount_percentage,omitempty"`
}

// PlanChange changes a plan. A later effective date than its own states new terms from
// that day on.
type PlanChange struct {
	SubscriptionID *string  `json:"subscription_id,omitempty" minLength:"1" maxLength:"100"`
	Quantity       *int64   `json:"quantity,omitempty" minimum:"0"`
	UnitPrice      *Decimal `json:"unit_price_usd,omitempty" doc:"a month"`
	EffectiveDate  *string  `json:"effective_date,omitempty" format:"date"`
	PlanFields
}
