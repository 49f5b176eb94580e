package plan_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudact/convergence/configs"
)

// TestMutilatedDocumentsAreRefusedNotCrashedOn drops, doubles, swaps and damages lines of
// the shipped documents; each result must either plan or be refused with a reason.
func TestMutilatedDocumentsAreRefusedNotCrashedOn(t *testing.T) {
	c, p := catalog(t), planner(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, id := range c.List() {
		f, _ := c.ByPath(id)
		for range 400 {
			text := mutilate(random, f.Text)
			r := request(configs.File{Name: f.Name, Text: text, ID: id})
			if _, err := p.Plan(context.Background(), r); err != nil && err.Error() == "" {
				t.Fatalf("refused without a reason:\n%s", text)
			}
			_ = p.Validate(context.Background(), r.Source) // that it returns is what is tested
		}
	}
}

func mutilate(random *rand.Rand, text []byte) []byte {
	lines := bytes.Split(slices.Clone(text), []byte("\n"))
	for range 1 + random.IntN(3) {
		i, j := random.IntN(len(lines)), random.IntN(len(lines))
		switch random.IntN(5) {
		case 0:
			lines = slices.Delete(lines, i, i+1)
		case 1:
			lines = slices.Insert(lines, i, slices.Clone(lines[j%len(lines)]))
		case 2:
			lines[i], lines[j] = lines[j], lines[i]
		case 3:
			if k := bytes.IndexByte(lines[i], ':'); k >= 0 {
				lines[i] = append(lines[i][:k+1:k+1], []byte([]string{" [1, a]", " {a: b}", " x", " ''", " 3.5", ""}[random.IntN(6)])...)
			}
		default:
			if len(lines[i]) > 0 {
				lines[i][random.IntN(len(lines[i]))] = "{}[]:'\"\\`-#&*% "[random.IntN(15)]
			}
		}
	}
	return bytes.Join(lines, []byte("\n"))
}
