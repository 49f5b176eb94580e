package pricing

import "fmt"

// Leaf is a category of tokens with a price of its own. Leaves are disjoint: a token of
// one request is counted in exactly one of them.
type Leaf uint8

// The leaves. Input, CachedInput, CacheWrite and Output are text, and everything that a
// provider does not tell apart from text.
const (
	Input Leaf = iota
	CachedInput
	CacheWrite
	CacheWrite1h
	InputAudio
	CachedAudio
	InputImage
	CachedImage
	Output
	OutputAudio
	OutputImage
	LeafCount // number of leaves, not a leaf
)

// leafKeys are the price keys of the leaves as pydantic/genai-prices names them.
var leafKeys = [LeafCount]string{
	Input: "input_mtok", CachedInput: "cache_read_mtok", CacheWrite: "cache_write_mtok", CacheWrite1h: "cache_write_1h_mtok",
	InputAudio: "input_audio_mtok", CachedAudio: "cache_audio_read_mtok",
	InputImage: "input_image_mtok", CachedImage: "cache_image_read_mtok",
	Output: "output_mtok", OutputAudio: "output_audio_mtok", OutputImage: "output_image_mtok",
}

// otherKeys are price keys that a table may hold and that no leaf uses: they are not
// per token, or no usage API reports their quantity.
var otherKeys = []string{
	"audio_hours", "input_audio_hours", "requests_kcount", "storage_searches_kcount", "web_searches_kcount",
	"input_text_mtok", "output_text_mtok", "cache_text_read_mtok", "cache_text_write_mtok",
	"cache_audio_write_mtok", "cache_image_write_mtok",
	"input_video_mtok", "output_video_mtok", "cache_video_read_mtok", "cache_video_write_mtok",
}

// imageParents are the leaves whose price an image leaf takes in a model without image
// prices: OpenAI meters image input as tokens of the model and bills them as its text
// (https://platform.openai.com/docs/guides/images-vision), and a model that only makes
// images has one output price. Audio has no such rule: it is always priced apart.
var imageParents = map[Leaf]Leaf{InputImage: Input, CachedImage: CachedInput, OutputImage: Output}

// String returns the price key of the leaf, e.g. "cache_read_mtok".
func (l Leaf) String() string {
	if l < LeafCount {
		return leafKeys[l]
	}
	return fmt.Sprintf("Leaf(%d)", uint8(l))
}

// IsOutput reports whether the leaf counts generated tokens.
func (l Leaf) IsOutput() bool { return l == Output || l == OutputAudio || l == OutputImage }

func leafOf(key string) (Leaf, bool) {
	for l, k := range leafKeys {
		if k == key {
			return Leaf(l), true
		}
	}
	return 0, false
}

// Leaves holds the tokens of each leaf.
type Leaves [LeafCount]int64

// Tier is the service tier that decides which prices apply.
type Tier string

// The tiers.
const (
	Standard Tier = "standard"
	Batch    Tier = "batch"
	Flex     Tier = "flex"
	Priority Tier = "priority"
)
