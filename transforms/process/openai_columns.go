package process

import (
	"fmt"

	"github.com/quagmt/udecimal"

	"github.com/cloudact/convergence/transforms/pricing"
	"github.com/cloudact/convergence/transforms/row"
)

// The columns that openai.cost reads, by their place in openAIInput.
const (
	inOrg = iota
	inProvider
	inUsageDate
	inUsageType
	inModel
	inBatch
	inTier
	inInput
	inOutput
	inCached
	inCacheWrite
	inInputAudio
	inCachedAudio
	inOutputAudio
	inInputImage
	inCachedImage
	inOutputImage
	inModelRequests
	inContext
	inGenerated
	inRequests
	inRaw
	inCount
)

var openAIInput = [inCount]column{
	inOrg: {"org_slug", row.TypeString}, inProvider: {"provider", row.TypeString},
	inUsageDate: {"usage_date", row.TypeDate}, inUsageType: {"usage_type", row.TypeString},
	inModel: {"model", row.TypeString}, inBatch: {"batch", row.TypeBool}, inTier: {"service_tier", row.TypeString},
	inInput: {"input_tokens", row.TypeInt64}, inOutput: {"output_tokens", row.TypeInt64},
	inCached: {"input_cached_tokens", row.TypeInt64}, inCacheWrite: {"input_cache_write_tokens", row.TypeInt64},
	inInputAudio: {"input_audio_tokens", row.TypeInt64}, inCachedAudio: {"input_cached_audio_tokens", row.TypeInt64},
	inOutputAudio: {"output_audio_tokens", row.TypeInt64}, inInputImage: {"input_image_tokens", row.TypeInt64},
	inCachedImage: {"input_cached_image_tokens", row.TypeInt64}, inOutputImage: {"output_image_tokens", row.TypeInt64},
	inModelRequests: {"num_model_requests", row.TypeInt64},
	inContext:       {"context_tokens", row.TypeInt64}, inGenerated: {"generated_tokens", row.TypeInt64},
	inRequests: {"requests", row.TypeInt64}, inRaw: {"raw_data", row.TypeString},
}

// The columns that openai.cost makes, by their place in openAIMade; others are copied
// from the input.
const (
	outOrg = iota
	outProvider
	outPricingTier
	outInput
	outOutput
	outTotal
	outRequests
	outInputCost
	outOutputCost
	outTotalCost
	outEstimatedCost
	outStatus
	outReason
	outNotComputable
	outMatch
	outPriceModel
	outVersion
	outSource
	outCalculatedAt
	outLeaves // tokens, then cost, of each of openAILeaves
	outCount  = outLeaves + 2*10
)

// madeCells are the made cells of one row; what is not set is NULL.
type madeCells [outCount]row.Cell

// openAILeaf is a leaf with the name of its columns and the measure that reports it; a
// leaf of a measure that the provider left out is NULL.
type openAILeaf struct {
	leaf    pricing.Leaf
	name    string
	measure int
}

var openAILeaves = [10]openAILeaf{
	{pricing.Input, "uncached_input", inInput},
	{pricing.CachedInput, "cached_input", inCached},
	{pricing.CacheWrite, "cache_write", inCacheWrite},
	{pricing.InputAudio, "audio_input", inInputAudio},
	{pricing.CachedAudio, "cached_audio_input", inCachedAudio},
	{pricing.InputImage, "image_input", inInputImage},
	{pricing.CachedImage, "cached_image_input", inCachedImage},
	{pricing.Output, "text_output", inOutput},
	{pricing.OutputAudio, "audio_output", inOutputAudio},
	{pricing.OutputImage, "image_output", inOutputImage},
}

var openAIMade = madeColumns()

func madeColumns() [outCount]column {
	made := [outCount]column{
		outOrg: {"org_slug", row.TypeString}, outProvider: {"provider", row.TypeString}, outPricingTier: {"pricing_tier", row.TypeString},
		outInput: {"input_tokens", row.TypeInt64}, outOutput: {"output_tokens", row.TypeInt64}, outTotal: {"total_tokens", row.TypeInt64},
		outRequests:  {"requests", row.TypeInt64},
		outInputCost: {"input_cost_usd", row.TypeNumeric}, outOutputCost: {"output_cost_usd", row.TypeNumeric},
		outTotalCost: {"total_cost_usd", row.TypeNumeric}, outEstimatedCost: {"estimated_cost_usd", row.TypeNumeric},
		outStatus: {"pricing_status", row.TypeString}, outReason: {"unpriced_reason", row.TypeString},
		outNotComputable: {"not_computable", row.TypeString}, outMatch: {"model_match", row.TypeString},
		outPriceModel: {"price_model", row.TypeString}, outVersion: {"price_version", row.TypeString},
		outSource: {"pricing_source", row.TypeString}, outCalculatedAt: {"calculated_at", row.TypeTimestamp},
	}
	for i, l := range openAILeaves {
		made[outLeaves+2*i] = column{l.name + "_tokens", row.TypeInt64}
		made[outLeaves+2*i+1] = column{l.name + "_cost_usd", row.TypeNumeric}
	}
	return made
}

// measures says which measures a row reports.
type measures [inCount]bool

// openAILayout knows the places of columns in the schemas of one step.
type openAILayout struct {
	in            []int
	out           []origin
	input, output row.Schema
}

// cell returns the cell of an input column, NULL when the schema lacks it.
func (l *openAILayout) cell(r row.Row, column int) row.Cell {
	if p := l.in[column]; p >= 0 {
		return r.Cells[p]
	}
	return row.Null()
}

// read takes from a row what is priced. A NULL usage date, a missing token count that
// the endpoint always reports, or a cell of another type is an error.
func (l *openAILayout) read(r row.Row) (usage, error) {
	for c, p := range l.in {
		if p >= 0 && !r.Cells[p].IsNull() && r.Cells[p].Type() != openAIInput[c].typ {
			return usage{}, &rowError{codeInvalid, fmt.Sprintf("%s is a %s, not a %s", openAIInput[c].name, r.Cells[p].Type(), openAIInput[c].typ)}
		}
	}
	u := usage{batch: l.cell(r, inBatch), tier: l.cell(r, inTier)}
	day, ok := l.cell(r, inUsageDate).AsDate()
	if !ok {
		return usage{}, &rowError{codeMissing, "usage_date is NULL"}
	}
	u.day = day
	u.usageType, _ = l.cell(r, inUsageType).AsText()
	u.model, _ = l.cell(r, inModel).AsText()
	t := &u.tokens
	for _, m := range []struct {
		to              *int64
		column, instead int
	}{
		{&t.Input, inInput, inContext},
		{&t.Output, inOutput, inGenerated},
		{&t.Cached, inCached, -1},
		{&t.CacheWrite, inCacheWrite, -1},
		{&t.InputAudio, inInputAudio, -1},
		{&t.CachedAudio, inCachedAudio, -1},
		{&t.OutputAudio, inOutputAudio, -1},
		{&t.InputImage, inInputImage, -1},
		{&t.CachedImage, inCachedImage, -1},
		{&t.OutputImage, inOutputImage, -1},
	} {
		*m.to, u.known[m.column] = l.cell(r, m.column).AsInt64()
		if !u.known[m.column] && m.instead >= 0 {
			*m.to, u.known[m.column] = l.cell(r, m.instead).AsInt64()
		}
	}
	if pricing.OpenAIPerToken(u.usageType) && !u.known[inInput] {
		return usage{}, &rowError{codeMissing, "input_tokens and context_tokens are NULL"}
	}
	if !u.known[inOutput] && (u.usageType == "" || u.usageType == "completions") {
		return usage{}, &rowError{codeMissing, "output_tokens and generated_tokens are NULL"}
	}
	return u, nil
}

// tokens fills the token columns.
func (m *madeCells) tokens(u *usage, leaves pricing.Leaves) error {
	total, ok := u.tokens.Total()
	if !ok {
		return &rowError{codeInvalid, "input_tokens and output_tokens together exceed an INT64"}
	}
	if u.known[inInput] {
		m[outInput], m[outTotal] = row.Int64(u.tokens.Input), row.Int64(total)
	}
	if u.known[inOutput] {
		m[outOutput], m[outTotal] = row.Int64(u.tokens.Output), row.Int64(total)
	}
	for i, l := range openAILeaves {
		if u.known[l.measure] {
			m[outLeaves+2*i] = row.Int64(leaves[l.leaf])
		}
	}
	return nil
}

// costs fills the cost columns.
func (m *madeCells) costs(bill pricing.Bill, zero row.Cell) error {
	var err error
	set := func(place int, d udecimal.Decimal) {
		if d.IsZero() {
			m[place] = zero
			return
		}
		cell, e := row.Numeric(d.String())
		if e != nil {
			err = &rowError{codeInvalid, openAIMade[place].name + ": " + e.Error()}
		}
		m[place] = cell
	}
	for i, l := range openAILeaves {
		set(outLeaves+2*i+1, bill.Leaves[l.leaf])
	}
	set(outInputCost, bill.Input)
	set(outOutputCost, bill.Output)
	set(outTotalCost, bill.Total)
	m[outEstimatedCost] = m[outTotalCost]
	return err
}

// assemble puts the made and the copied cells in the order of the output schema. A NULL
// in a REQUIRED column is an error.
func (l *openAILayout) assemble(r row.Row, made *madeCells) (row.Row, error) {
	cells := make([]row.Cell, len(l.out))
	for i, o := range l.out {
		if o.made >= 0 {
			cells[i] = made[o.made]
		} else {
			cells[i] = r.Cells[o.input]
		}
		if l.output[i].Required && cells[i].IsNull() {
			return row.Row{}, &rowError{codeMissing, l.output[i].Name + " is NULL"}
		}
	}
	return row.Row{Cells: cells}, nil
}

func numeric(text string) row.Cell {
	cell, err := row.Numeric(text)
	if err != nil {
		panic(err)
	}
	return cell
}
