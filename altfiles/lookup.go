package altfiles

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The lookup indexes lie in the state directory: RosterIndex has what passwd and
// group show and may be read by all, ShadowIndex what shadow shows, with its owner
// and mode. Their format is in DESIGN.md; all that writes or reads it begins with
// the constants here.
const (
	RosterIndex = "roster.idx"
	ShadowIndex = "shadow.idx"
)

const (
	indexMagic   = "PWBINDEX"
	indexVersion = 1

	rosterKind = 1
	shadowKind = 2

	passwdRecord = 1
	groupRecord  = 2
	shadowRecord = 3

	// Bytes of a record before its numbers and texts.
	passwdFixed = 40
	groupFixed  = 32
	shadowFixed = 80

	indexHeaderSize = 160
	slotSize        = 8
	leastSlots      = 8
	// maxProbes is how many slots a lookup reads at the most.
	maxProbes = 64

	// flagRestricted: the policy leaves out or rewrites accounts, so that what the
	// server says of one is not what this node shows.
	flagRestricted = 1
)

// Which of a header's tables is which; in an index of shadow there is byName alone.
const (
	byName = iota
	byUID
	byGroupName
	byGID
)

// ErrCorrupt: an index is not one that was written here. Who reads it goes on as
// if there were none.
var ErrCorrupt = errors.New("the lookup index is corrupt")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// indexHeader is the beginning of an index.
type indexHeader struct {
	kind       uint32
	size       uint64 // of the file, in bytes
	generation uint64
	seed       uint32
	least      uint32
	tables     [4]indexTable
	records    [2]span // of passwd, or shadow, and of group
	flags      uint32
}

// indexTable says where a hash table lies.
type indexTable struct {
	offset        uint64
	slots, probes uint32
}

// size is that of the table in bytes. The last probes slots are for entries that
// found those before taken: a lookup does not wrap.
func (t indexTable) size() uint64 { return (uint64(t.slots) + uint64(t.probes)) * slotSize }

// slot is where the entries of a hash stand at the earliest.
func (t indexTable) slot(hash uint32) uint64 { return uint64(hash) * uint64(t.slots) >> 32 }

// span is a part of the file: from begin to before end.
type span struct{ begin, end uint64 }

func (h *indexHeader) encode() []byte {
	b := make([]byte, 0, indexHeaderSize)
	le := binary.LittleEndian
	b = append(b, indexMagic...)
	b = le.AppendUint32(b, indexVersion)
	b = le.AppendUint32(b, h.kind)
	b = le.AppendUint64(b, 0) // the sum
	b = le.AppendUint64(b, h.size)
	b = le.AppendUint64(b, h.generation)
	b = le.AppendUint32(b, h.seed)
	b = le.AppendUint32(b, h.least)
	for _, t := range h.tables {
		b = le.AppendUint64(b, t.offset)
		b = le.AppendUint32(b, t.slots)
		b = le.AppendUint32(b, t.probes)
	}
	for _, s := range h.records {
		b = le.AppendUint64(b, s.begin)
		b = le.AppendUint64(b, s.end)
	}
	b = le.AppendUint32(b, h.flags)
	b = b[:indexHeaderSize]
	le.PutUint64(b[16:], IndexSum(b[24:]))
	return b
}

// decodeHeader reads a header and checks it against the size of its file.
func decodeHeader(b []byte, size int64) (*indexHeader, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < indexHeaderSize:
		return nil, corrupt("it has %d bytes, fewer than a header", len(b))
	case string(b[:8]) != indexMagic:
		return nil, corrupt("it does not begin with %s", indexMagic)
	case le.Uint32(b[8:]) != indexVersion:
		return nil, corrupt("it has version %d, and only %d is known", le.Uint32(b[8:]), indexVersion)
	case le.Uint64(b[16:]) != IndexSum(b[24:indexHeaderSize]):
		return nil, corrupt("the sum of its header is wrong")
	}
	h := &indexHeader{
		kind: le.Uint32(b[12:]), size: le.Uint64(b[24:]), generation: le.Uint64(b[32:]),
		seed: le.Uint32(b[40:]), least: le.Uint32(b[44:]), flags: le.Uint32(b[144:]),
	}
	for i := range h.tables {
		at := b[48+16*i:]
		h.tables[i] = indexTable{le.Uint64(at), le.Uint32(at[8:]), le.Uint32(at[12:])}
	}
	for i := range h.records {
		at := b[112+16*i:]
		h.records[i] = span{le.Uint64(at), le.Uint64(at[8:])}
	}
	return h, h.check(size)
}

func (h *indexHeader) check(size int64) error {
	if size < 0 || h.size != uint64(size) {
		return corrupt("it has %d bytes in place of %d", size, h.size)
	}
	tables := h.tables[:]
	switch h.kind {
	case rosterKind:
	case shadowKind:
		tables = tables[:1]
		if h.tables != [4]indexTable{h.tables[0]} || h.records[1] != (span{}) {
			return corrupt("an index of shadow has tables for something else")
		}
	default:
		return corrupt("its kind %d is not known", h.kind)
	}
	inside := func(s span) bool {
		return s.begin%8 == 0 && s.end%8 == 0 && s.begin >= indexHeaderSize && s.begin <= s.end && s.end <= h.size
	}
	for i, t := range tables {
		if t.slots == 0 || t.probes == 0 || t.probes > maxProbes || t.offset > h.size || !inside(span{t.offset, t.offset + t.size()}) {
			return corrupt("table %d does not lie in it", i)
		}
	}
	for i, s := range h.records {
		if (h.kind == rosterKind || i == 0) && !inside(s) {
			return corrupt("records %d do not lie in it", i)
		}
	}
	return nil
}

// IndexSum is the sum of bytes, 8 at a time: any change of one word changes it. What
// the NSS module reads besides an index has it, too.
func IndexSum(b []byte) uint64 {
	s := uint64(0xcbf29ce484222325)
	for ; len(b) >= 8; b = b[8:] {
		s = (s ^ binary.LittleEndian.Uint64(b)) * 0x9E3779B97F4A7C15
		s ^= s >> 29
	}
	return s
}

// nameHash is FNV-1a over a name, mixed: FNV alone leaves the high bits, which
// choose the slot, alike for names that differ in their last letter.
func nameHash(seed uint32, name []byte) uint32 {
	h := 2166136261 ^ seed
	for _, c := range name {
		h = (h ^ uint32(c)) * 16777619
	}
	return fmix32(h)
}

// idHash gives every number a hash of its own.
func idHash(seed, id uint32) uint32 { return fmix32(id ^ seed) }

// fmix32 is the finaliser of MurmurHash3.
func fmix32(h uint32) uint32 {
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// aligned is n rounded up to a multiple of 8.
func aligned(n int) int { return (n + 7) &^ 7 }
