package altfiles

import "hash/maphash"

// table finds an index by a key that lies elsewhere: a hash table with open
// addressing that costs 8 bytes a slot and a third of a slot to spare, where a
// map from strings would cost five times that. The caller compares the keys.
type table struct {
	slots []slot // a power of two of them
	used  int
}

// slot is free when index is 0.
type slot struct {
	hash  uint32
	index uint32 // + 1
}

// seed makes the places of keys unforeseeable. Nothing that is rendered depends
// on it.
var seed = maphash.MakeSeed()

func hashOf(key []byte) uint32     { return uint32(maphash.Bytes(seed, key)) }
func hashOfText(key string) uint32 { return uint32(maphash.String(seed, key)) }

// hashOfNumber spreads numbers, which often follow each other: every number has
// a hash of its own.
func hashOfNumber(n uint32) uint32 {
	n = (n ^ n>>16 ^ numbers) * 0x7feb352d
	n = (n ^ n>>15) * 0x846ca68b
	return n ^ n>>16
}

var numbers = hashOfText("numbers")

// find returns the first index with this hash for which same holds.
func (t *table) find(hash uint32, same func(i int) bool) (i int, ok bool) {
	if t.used == 0 {
		return 0, false
	}
	mask := uint32(len(t.slots) - 1)
	for at := hash & mask; t.slots[at].index != 0; at = (at + 1) & mask {
		if s := t.slots[at]; s.hash == hash && same(int(s.index-1)) {
			return int(s.index - 1), true
		}
	}
	return 0, false
}

// add puts in an index that find does not find.
func (t *table) add(hash uint32, i int) {
	if 4*(t.used+1) > 3*len(t.slots) {
		t.resize(2 * len(t.slots))
	}
	t.put(slot{hash, uint32(i) + 1})
	t.used++
}

// reserve makes room for n indexes in all.
func (t *table) reserve(n int) {
	size := 64
	for 3*size < 4*n {
		size *= 2
	}
	if size > len(t.slots) {
		t.resize(size)
	}
}

func (t *table) resize(size int) {
	old := t.slots
	t.slots = make([]slot, max(64, size))
	for _, s := range old {
		if s.index != 0 {
			t.put(s)
		}
	}
}

func (t *table) put(s slot) {
	mask := uint32(len(t.slots) - 1)
	at := s.hash & mask
	for t.slots[at].index != 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = s
}
