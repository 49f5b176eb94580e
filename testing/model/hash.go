package model

// hash stands for the SHA-256 of the real thing: it is cheap and mixes well.
type hash uint64

func newHash(seed uint64) hash { return hash(seed ^ 0x9e3779b97f4a7c15).num(1) }

func (h hash) num(n int) hash {
	x := uint64(h) ^ uint64(n)*0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 29
	return hash(x * 0x9e3779b97f4a7c15)
}

func (h hash) flag(b bool) hash {
	if b {
		return h.num(1)
	}
	return h.num(0)
}

func (h hash) text(s string) hash {
	h = h.num(len(s))
	for i := range len(s) {
		h = h.num(int(s[i]))
	}
	return h
}

func (h hash) sum() uint64 { return uint64(h) }
