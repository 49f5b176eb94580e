package pricing

import (
	"fmt"
	"math"
	"slices"
)

// OpenAIUsage are the token measures of one result of OpenAI's organisation usage API.
// Input contains cached and cache-write tokens of all modalities; InputAudio and
// InputImage are uncached; CachedAudio and CachedImage are part of Cached. A measure
// that the API did not report is 0. Embeddings and moderations have Input alone.
type OpenAIUsage struct {
	Input       int64
	Cached      int64
	CacheWrite  int64
	InputAudio  int64
	CachedAudio int64
	InputImage  int64
	CachedImage int64
	Output      int64
	OutputAudio int64
	OutputImage int64
}

// Leaves splits the measures into disjoint leaves, which sum to Input and to Output. A
// negative measure, or parts that exceed the whole, is an error: such a row cannot be
// priced.
func (u OpenAIUsage) Leaves() (Leaves, error) {
	var l Leaves
	var err error
	if l[Input], err = remainder("input_tokens", u.Input, u.Cached, u.CacheWrite, u.InputAudio, u.InputImage); err != nil {
		return Leaves{}, err
	}
	if l[CachedInput], err = remainder("input_cached_tokens", u.Cached, u.CachedAudio, u.CachedImage); err != nil {
		return Leaves{}, err
	}
	if l[Output], err = remainder("output_tokens", u.Output, u.OutputAudio, u.OutputImage); err != nil {
		return Leaves{}, err
	}
	l[CacheWrite] = u.CacheWrite
	l[InputAudio], l[CachedAudio], l[OutputAudio] = u.InputAudio, u.CachedAudio, u.OutputAudio
	l[InputImage], l[CachedImage], l[OutputImage] = u.InputImage, u.CachedImage, u.OutputImage
	return l, nil
}

// remainder takes the parts from the whole one by one, so that no difference of large
// counts can wrap around.
func remainder(name string, whole int64, parts ...int64) (int64, error) {
	rest := whole
	for _, part := range parts {
		if part < 0 {
			return 0, fmt.Errorf("%s: a part of it is negative (%d)", name, part)
		}
		if rest -= part; rest < 0 {
			break
		}
	}
	if rest < 0 {
		return 0, fmt.Errorf("%s: %d tokens less their parts are negative", name, whole)
	}
	return rest, nil
}

// Total returns Input + Output, and false when they exceed an INT64.
func (u OpenAIUsage) Total() (int64, bool) {
	if u.Input > math.MaxInt64-max(u.Output, 0) {
		return 0, false
	}
	return u.Input + u.Output, true
}

// openAITiers are the service tiers of OpenAI's usage API and what they are billed as.
// Requests of tier fast are reported and billed as priority.
var openAITiers = map[string]Tier{
	"": Standard, "auto": Standard, "default": Standard, "standard": Standard,
	"flex": Flex, "priority": Priority, "fast": Priority,
}

// OpenAITier returns the tier that a usage row is billed as; batch wins over the
// service tier. It is an error when the tier is not billed per token (scale) or not
// known.
func OpenAITier(batch bool, serviceTier string) (Tier, error) {
	if batch || serviceTier == string(Batch) {
		return Batch, nil
	}
	if tier, ok := openAITiers[serviceTier]; ok {
		return tier, nil
	}
	return "", fmt.Errorf("service tier %q has no price per token", serviceTier)
}

// openAITokenTypes are the usage types whose cost is made of tokens alone.
var openAITokenTypes = []string{"", "completions", "embeddings", "moderations"}

// OpenAIPerToken reports whether a usage type is billed by its tokens; "" counts as
// completions.
func OpenAIPerToken(usageType string) bool { return slices.Contains(openAITokenTypes, usageType) }
