package prices

import (
	"time"

	"cloud.google.com/go/civil"
)

// Price is a row of {provider}_model_pricing. Prices are USD per 1,000 tokens; a nil
// field is NULL.
type Price struct {
	ModelID         string      `json:"model_id"`
	ModelName       *string     `json:"model_name"`
	Input           Decimal     `json:"input_price_per_1k"`
	Output          Decimal     `json:"output_price_per_1k"`
	CachedInput     *Decimal    `json:"cached_input_price_per_1k"`
	CacheWrite      *Decimal    `json:"cache_write_price_per_1k"`
	BatchInput      *Decimal    `json:"x_openai_batch_input_price"`
	BatchOutput     *Decimal    `json:"x_openai_batch_output_price"`
	ContextWindow   *string     `json:"context_window"`
	EffectiveDate   civil.Date  `json:"effective_date"`
	EndDate         *civil.Date `json:"end_date"`
	IsEnabled       *bool       `json:"is_enabled"`
	IsCustom        *bool       `json:"is_custom"` // set by the store
	IsEdited        *bool       `json:"is_edited"` // set by the store
	Notes           *string     `json:"notes"`
	PricingType     *string     `json:"pricing_type"`
	FreeInput       *int64      `json:"free_tier_input_tokens"`
	FreeOutput      *int64      `json:"free_tier_output_tokens"`
	FreeReset       *string     `json:"free_tier_reset_frequency"`
	Discount        *Decimal    `json:"discount_percentage"`
	DiscountReason  *string     `json:"discount_reason"`
	VolumeThreshold *int64      `json:"volume_threshold_tokens"`
	BaseInput       *Decimal    `json:"base_input_price_per_1k"`
	BaseOutput      *Decimal    `json:"base_output_price_per_1k"`
	CreatedAt       *time.Time  `json:"created_at"` // set by the store
	UpdatedAt       *time.Time  `json:"updated_at"` // set by the store
}

// PriceChange changes a price, or adds one for a model or a date that has none. A nil
// field is left as it is.
type PriceChange struct {
	ModelID         string      `json:"model_id"`
	ModelName       *string     `json:"model_name,omitempty"`
	Input           *Decimal    `json:"input_price_per_1k,omitempty"`
	Output          *Decimal    `json:"output_price_per_1k,omitempty"`
	CachedInput     *Decimal    `json:"cached_input_price_per_1k,omitempty"`
	CacheWrite      *Decimal    `json:"cache_write_price_per_1k,omitempty"`
	BatchInput      *Decimal    `json:"x_openai_batch_input_price,omitempty"`
	BatchOutput     *Decimal    `json:"x_openai_batch_output_price,omitempty"`
	ContextWindow   *string     `json:"context_window,omitempty"`
	EffectiveDate   *civil.Date `json:"effective_date,omitempty"`
	EndDate         *civil.Date `json:"end_date,omitempty"`
	IsEnabled       *bool       `json:"is_enabled,omitempty"`
	Notes           *string     `json:"notes,omitempty"`
	PricingType     *string     `json:"pricing_type,omitempty"`
	FreeInput       *int64      `json:"free_tier_input_tokens,omitempty"`
	FreeOutput      *int64      `json:"free_tier_output_tokens,omitempty"`
	FreeReset       *string     `json:"free_tier_reset_frequency,omitempty"`
	Discount        *Decimal    `json:"discount_percentage,omitempty"`
	DiscountReason  *string     `json:"discount_reason,omitempty"`
	VolumeThreshold *int64      `json:"volume_threshold_tokens,omitempty"`
	BaseInput       *Decimal    `json:"base_input_price_per_1k,omitempty"`
	BaseOutput      *Decimal    `json:"base_output_price_per_1k,omitempty"`
}

// Plan is a row of {provider}_subscriptions. A nil field is NULL.
type Plan struct {
	SubscriptionID  string      `json:"subscription_id"`
	PlanName        string      `json:"plan_name"`
	Quantity        int64       `json:"quantity"`
	UnitPrice       Decimal     `json:"unit_price_usd"` // a month
	EffectiveDate   civil.Date  `json:"effective_date"`
	EndDate         *civil.Date `json:"end_date"`
	IsEnabled       *bool       `json:"is_enabled"`
	IsCustom        *bool       `json:"is_custom"` // set by the store
	IsEdited        *bool       `json:"is_edited"` // set by the store
	AuthType        *string     `json:"auth_type"`
	Notes           *string     `json:"notes"`
	TierType        *string     `json:"tier_type"`
	TrialEnd        *civil.Date `json:"trial_end_date"`
	TrialCredit     *Decimal    `json:"trial_credit_usd"`
	MonthlyTokens   *int64      `json:"monthly_token_limit"`
	DailyTokens     *int64      `json:"daily_token_limit"`
	RPM             *int64      `json:"rpm_limit"`
	TPM             *int64      `json:"tpm_limit"`
	RPD             *int64      `json:"rpd_limit"`
	TPD             *int64      `json:"tpd_limit"`
	Concurrent      *int64      `json:"concurrent_limit"`
	CommittedSpend  *Decimal    `json:"committed_spend_usd"`
	CommitmentTerms *int64      `json:"commitment_term_months"`
	Discount        *Decimal    `json:"discount_percentage"`
	CreatedAt       *time.Time  `json:"created_at"` // set by the store
	UpdatedAt       *time.Time  `json:"updated_at"` // set by the store
}

// PlanChange changes a plan. A nil field is left as it is.
type PlanChange struct {
	PlanName        string      `json:"plan_name"`
	SubscriptionID  *string     `json:"subscription_id,omitempty"`
	Quantity        *int64      `json:"quantity,omitempty"`
	UnitPrice       *Decimal    `json:"unit_price_usd,omitempty"`
	EffectiveDate   *civil.Date `json:"effective_date,omitempty"`
	EndDate         *civil.Date `json:"end_date,omitempty"`
	IsEnabled       *bool       `json:"is_enabled,omitempty"`
	AuthType        *string     `json:"auth_type,omitempty"`
	Notes           *string     `json:"notes,omitempty"`
	TierType        *string     `json:"tier_type,omitempty"`
	TrialEnd        *civil.Date `json:"trial_end_date,omitempty"`
	TrialCredit     *Decimal    `json:"trial_credit_usd,omitempty"`
	MonthlyTokens   *int64      `json:"monthly_token_limit,omitempty"`
	DailyTokens     *int64      `json:"daily_token_limit,omitempty"`
	RPM             *int64      `json:"rpm_limit,omitempty"`
	TPM             *int64      `json:"tpm_limit,omitempty"`
	RPD             *int64      `json:"rpd_limit,omitempty"`
	TPD             *int64      `json:"tpd_limit,omitempty"`
	Concurrent      *int64      `json:"concurrent_limit,omitempty"`
	CommittedSpend  *Decimal    `json:"committed_spend_usd,omitempty"`
	CommitmentTerms *int64      `json:"commitment_term_months,omitempty"`
	Discount        *Decimal    `json:"discount_percentage,omitempty"`
}
