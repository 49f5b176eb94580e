package trace

import (
	"crypto/sha256"
	"encoding/hex"
)

// Purpose separates the draws of one row from each other, so that one more draw changes
// none of the others.
type Purpose uint64

// Draws are the numbers that are drawn for one row. They follow from the seed alone.
type Draws struct {
	Seed uint64
	Row  uint64
}

// Below returns an evenly distributed number in [0, n). It mixes its inputs with the
// finaliser of SplitMix64, which, unlike a library's generator, can not change with a Go
// release.
func (d Draws) Below(n int, what Purpose) int {
	x := d.Seed
	for _, part := range []uint64{d.Row, uint64(what)} {
		x += 0x9e3779b97f4a7c15 + part
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
		x = (x ^ (x >> 27)) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return int(x % uint64(n))
}

// ID makes an identifier of a thing of an organisation. It is stable over seeds, so that
// names keep their meaning between runs.
func ID(org, name string, length int) string {
	sum := sha256.Sum256([]byte(org + "\x00" + name))
	return hex.EncodeToString(sum[:])[:length]
}
