package client

import (
	"encoding/json"
	"time"
)

// Price is what a model costs, in USD per 1,000 tokens. Numbers keep their digits.
type Price struct {
	ModelID       string      `json:"model_id"`
	Input         json.Number `json:"input_price_per_1k"`
	Output        json.Number `json:"output_price_per_1k"`
	EffectiveDate string      `json:"effective_date"`
	PriceFields
	IsCustom *bool      `json:"is_custom"`
	IsEdited *bool      `json:"is_edited"`
	Created  *time.Time `json:"created_at"`
	Updated  *time.Time `json:"updated_at"`
}

// NewPrice is a price of a model that has none.
type NewPrice struct {
	ModelID       string      `json:"model_id"`
	Input         json.Number `json:"input_price_per_1k"`
	Output        json.Number `json:"output_price_per_1k"`
	EffectiveDate string      `json:"effective_date"`
	PriceFields
}

// PriceFields are what a price need not say; nil is NULL in what is shown. What is absent is NULL in a new price and
// stays as it is in a change.
type PriceFields struct {
	ModelName       *string      `json:"model_name,omitempty"`
	CachedInput     *json.Number `json:"cached_input_price_per_1k,omitempty"`
	CacheWrite      *json.Number `json:"cache_write_price_per_1k,omitempty"`
	BatchInput      *json.Number `json:"x_openai_batch_input_price,omitempty"`
	BatchOutput     *json.Number `json:"x_openai_batch_output_price,omitempty"`
	ContextWindow   *string      `json:"context_window,omitempty"`
	EndDate         *string      `json:"end_date,omitempty"`
	IsEnabled       *bool        `json:"is_enabled,omitempty"`
	Notes           *string      `json:"notes,omitempty"`
	PricingType     *string      `json:"pricing_type,omitempty"`
	FreeInput       *int64       `json:"free_tier_input_tokens,omitempty"`
	FreeOutput      *int64       `json:"free_tier_output_tokens,omitempty"`
	FreeReset       *string      `json:"free_tier_reset_frequency,omitempty"`
	Discount        *json.Number `json:"discount_percentage,omitempty"`
	DiscountReason  *string      `json:"discount_reason,omitempty"`
	VolumeThreshold *int64       `json:"volume_threshold_tokens,omitempty"`
	BaseInput       *json.Number `json:"base_input_price_per_1k,omitempty"`
	BaseOutput      *json.Number `json:"base_output_price_per_1k,omitempty"`
}

// PriceChange changes a price. A later effective date than its own states a new price from
// that day on.
type PriceChange struct {
	Input         *json.Number `json:"input_price_per_1k,omitempty"`
	Output        *json.Number `json:"output_price_per_1k,omitempty"`
	EffectiveDate *string      `json:"effective_date,omitempty"`
	PriceFields
}

// PriceUpsert changes the price of a model, or adds it.
type PriceUpsert struct {
	ModelID string `json:"model_id"`
	PriceChange
}

// Subscription is a subscription to a provider.
type Subscription struct {
	PlanName       string      `json:"plan_name"`
	SubscriptionID string      `json:"subscription_id"`
	Quantity       int64       `json:"quantity"`
	UnitPrice      json.Number `json:"unit_price_usd"`
	EffectiveDate  string      `json:"effective_date"`
	SubscriptionFields
	IsCustom *bool      `json:"is_custom"`
	IsEdited *bool      `json:"is_edited"`
	Created  *time.Time `json:"created_at"`
	Updated  *time.Time `json:"updated_at"`
}

// NewSubscription is a plan that there is not yet.
type NewSubscription struct {
	PlanName       string      `json:"plan_name"`
	SubscriptionID string      `json:"subscription_id"`
	Quantity       int64       `json:"quantity"`
	UnitPrice      json.Number `json:"unit_price_usd"`
	EffectiveDate  string      `json:"effective_date"`
	SubscriptionFields
}

// SubscriptionFields are what a plan need not say; nil is NULL in what is shown.
type SubscriptionFields struct {
	EndDate        *string      `json:"end_date,omitempty"`
	IsEnabled      *bool        `json:"is_enabled,omitempty"`
	AuthType       *string      `json:"auth_type,omitempty"`
	Notes          *string      `json:"notes,omitempty"`
	TierType       *string      `json:"tier_type,omitempty"`
	TrialEnd       *string      `json:"trial_end_date,omitempty"`
	TrialCredit    *json.Number `json:"trial_credit_usd,omitempty"`
	MonthlyTokens  *int64       `json:"monthly_token_limit,omitempty"`
	DailyTokens    *int64       `json:"daily_token_limit,omitempty"`
	RPM            *int64       `json:"rpm_limit,omitempty"`
	TPM            *int64       `json:"tpm_limit,omitempty"`
	RPD            *int64       `json:"rpd_limit,omitempty"`
	TPD            *int64       `json:"tpd_limit,omitempty"`
	Concurrent     *int64       `json:"concurrent_limit,omitempty"`
	CommittedSpend *json.Number `json:"committed_spend_usd,omitempty"`
	CommitmentTerm *int64       `json:"commitment_term_months,omitempty"`
	Discount       *json.Number `json:"discount_percentage,omitempty"`
}

// SubscriptionChange changes a plan. A later effective date than its own states new terms from
// that day on.
type SubscriptionChange struct {
	SubscriptionID *string      `json:"subscription_id,omitempty"`
	Quantity       *int64       `json:"quantity,omitempty"`
	UnitPrice      *json.Number `json:"unit_price_usd,omitempty"`
	EffectiveDate  *string      `json:"effective_date,omitempty"`
	SubscriptionFields
}
