package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// indexImage is an index that is laid out and not yet made: its tables are known,
// its records are made of the lines while they are written, so that no second
// copy of the files is ever in memory.
type indexImage struct {
	header indexHeader
	tables [][]uint64 // entries by ascending hash: hash<<32 | ref
	write  func(*recordWriter) error
}

// indexOptions are what the lines do not say.
type indexOptions struct {
	generation uint64
	least      uint32 // id that the policy lets be here
	flags      uint32
	probes     int // maxProbes but in a test
}

// newRosterIndex lays out the index of passwd and group.
func newRosterIndex(v *verified, o indexOptions) (*indexImage, error) {
	x := &indexImage{header: indexHeader{kind: rosterKind, generation: o.generation, least: o.least, flags: o.flags}}
	groups, err := newGroupsOf(v)
	if err != nil {
		return nil, err
	}
	passwd, err := measure(v.passwd, func(i int, line []byte) int {
		uid, rest := numberIn(line)
		gid := nameOf(rest)
		x.header.least = min(x.header.least, number(uid))
		// The numbers go with their colons; the newline's place is the last NUL's.
		return passwdFixed + 4*len(groups.of(i)) + len(line) + 1 - len(uid) - len(gid) - 2
	})
	if err != nil {
		return nil, fmt.Errorf("passwd: %w", err)
	}
	group, err := measure(v.group, func(_ int, line []byte) int {
		gid, _ := numberIn(line)
		x.header.least = min(x.header.least, number(gid)) // one that members are merged into may be below
		n := groupFixed + len(line) + 1 - len(gid) - 1
		if line[len(line)-1] == ':' {
			n-- // nobody is a member
		}
		return n
	})
	if err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	x.write = func(w *recordWriter) error {
		return errors.Join(w.passwd(v.passwd, groups), w.group(v.group))
	}
	return x, x.place(o, []*lines{v.passwd, v.group}, [][]uint32{passwd, group})
}

// newShadowIndex lays out the index of shadow.
func newShadowIndex(v *verified, o indexOptions) (*indexImage, error) {
	x := &indexImage{header: indexHeader{kind: shadowKind, generation: o.generation, least: o.least, flags: o.flags}}
	shadow, err := measure(v.shadow, func(_ int, line []byte) int {
		name := len(nameOf(line)) + 1
		return shadowFixed + name + len(nameOf(line[name:])) + 1
	})
	if err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	x.write = func(w *recordWriter) error { return w.shadow(v.shadow) }
	return x, x.place(o, []*lines{v.shadow}, [][]uint32{shadow})
}

// measure returns where the record of each line begins, in units of 8 bytes from
// the first, and behind the last where they end. The lines were verified; it fails
// for what would spoil an index all the same.
func measure(l *lines, size func(i int, line []byte) int) ([]uint32, error) {
	at := make([]uint32, 1, l.count()+1)
	next := 0
	for i := range l.count() {
		line := l.line(i)
		if bytes.IndexByte(line, 0) >= 0 {
			return nil, fmt.Errorf("line %d holds a NUL", i+1)
		}
		if next += aligned(size(i, line)) / 8; next > math.MaxUint32 {
			return nil, errTooLarge
		}
		at = append(at, uint32(next))
	}
	return at, nil
}

// numberIn is the third field of a line, and what follows it: a line without one
// was not verified, and yields none.
func numberIn(line []byte) (digits, rest []byte) {
	begin, colons := 0, 0
	for i, c := range line {
		if c != ':' {
			continue
		}
		switch colons++; colons {
		case 2:
			begin = i + 1
		case 3:
			return line[begin:i], line[i+1:]
		}
	}
	return nil, nil
}

// number is that of a field of a line that was verified.
func number(digits []byte) (n uint32) {
	for _, c := range digits {
		n = 10*n + uint32(c-'0')
	}
	return n
}

// place decides where tables and records lie. Entries that crowd each other beyond
// what a lookup reads get other hashes.
func (x *indexImage) place(o indexOptions, of []*lines, at [][]uint32) error {
	const seeds = 1000
	for x.header.seed = 0; ; x.header.seed++ {
		next := uint64(indexHeaderSize)
		x.tables = x.tables[:0]
		var spare []uint64
		crowded := false
		for i, l := range of {
			// The tables stand before the records, but take as much room whatever those are.
			for j, key := range []func([]byte) uint32{
				func(line []byte) uint32 { return nameHash(x.header.seed, nameOf(line)) },
				func(line []byte) uint32 { return idHash(x.header.seed, numberOf(line)) },
			}[:x.keys()] {
				var entries []uint64
				entries, spare = hashed(l, at[i], key, spare)
				if j == 1 {
					entries = firstOfEach(entries)
				}
				t := indexTable{offset: next, slots: slotsFor(len(entries))}
				probes := t.crowd(entries)
				crowded = crowded || probes > o.maxProbes()
				t.probes = uint32(probes)
				next += t.size()
				x.header.tables[2*i+j] = t
				x.tables = append(x.tables, entries)
			}
		}
		if !crowded {
			return x.settle(next, at)
		}
		if x.header.seed == seeds {
			return fmt.Errorf("no seed below %d keeps a lookup within %d probes", seeds, o.maxProbes())
		}
	}
}

func (o indexOptions) maxProbes() int {
	if o.probes != 0 {
		return o.probes
	}
	return maxProbes
}

// keys is how many tables each file has.
func (x *indexImage) keys() int {
	if x.header.kind == shadowKind {
		return 1
	}
	return 2
}

// settle places the records, which begin at next, and makes refs of the entries.
func (x *indexImage) settle(next uint64, at [][]uint32) error {
	for i, of := range at {
		first := next / 8
		if first+uint64(of[len(of)-1]) > math.MaxUint32 {
			return errTooLarge
		}
		for j := range x.keys() {
			entries := x.tables[x.keys()*i+j]
			for k := range entries {
				entries[k] += first
			}
		}
		end := 8 * (first + uint64(of[len(of)-1]))
		x.header.records[i] = span{next, end}
		next = end
	}
	x.header.size = next
	return nil
}

// hashed are the entries of all lines by ascending hash, of equal ones in the order
// of the lines. It needs as much room again, and returns that for the next.
func hashed(l *lines, at []uint32, key func(line []byte) uint32, spare []uint64) (entries, again []uint64) {
	entries = make([]uint64, l.count())
	for i := range entries {
		entries[i] = uint64(key(l.data[l.at[i]:]))<<32 | uint64(at[i])
	}
	if cap(spare) < len(entries) {
		spare = make([]uint64, len(entries))
	}
	return sortByHash(entries, spare[:len(entries)])
}

// sortByHash is a radix sort of three rounds over the hash, stable. Comparing takes
// ten times as long. The result is one of the two.
func sortByHash(entries, spare []uint64) (sorted, other []uint64) {
	for _, shift := range [...]int{32, 43, 54} {
		const mask = 1<<11 - 1
		var begin [mask + 2]uint32
		for _, e := range entries {
			begin[e>>shift&mask+1]++
		}
		for i := range mask {
			begin[i+1] += begin[i]
		}
		for _, e := range entries {
			to := &begin[e>>shift&mask]
			spare[*to] = e
			*to++
		}
		entries, spare = spare, entries
	}
	return entries, spare
}

// firstOfEach keeps the first of entries with equal hashes, where no two keys have
// the same.
func firstOfEach(entries []uint64) []uint64 {
	kept := entries[:0]
	for _, e := range entries {
		if len(kept) == 0 || kept[len(kept)-1]>>32 != e>>32 {
			kept = append(kept, e)
		}
	}
	return kept
}

// slotsFor leaves three slots in ten free: then hardly any entry is more than
// twenty slots from where it belongs, at a million too.
func slotsFor(n int) uint32 { return uint32(max(leastSlots, (10*uint64(n)+6)/7)) }

// crowd is how many slots a lookup must read to find any entry.
func (t indexTable) crowd(entries []uint64) int {
	probes, next := uint64(1), uint64(0)
	for _, e := range entries {
		home := t.slot(uint32(e >> 32))
		next = max(next, home)
		probes = max(probes, next-home+1)
		next++
	}
	return int(min(probes, math.MaxInt32))
}

// groupsOf are the supplementary groups of each line of passwd.
type groupsOf struct {
	begin []uint32 // one more than there are lines
	gids  []uint32
}

func (g *groupsOf) of(i int) []uint32 { return g.gids[g.begin[i]:g.begin[i+1]] }

// newGroupsOf goes through the members of all groups, as initgroups(3) would for
// each account: in the order of the group file, without the primary group.
func newGroupsOf(v *verified) (*groupsOf, error) {
	g := &groupsOf{begin: make([]uint32, v.passwd.count()+2)}
	// Lines of passwd; MaxUint32 where it is the primary group.
	members := make([]uint32, 0, bytes.Count(v.group.data, []byte{','})+v.group.count()/16)
	each := func(do func(gid uint32, name []byte) error) error {
		for i := range v.group.count() {
			line := v.group.line(i)
			list := line[bytes.LastIndexByte(line, ':')+1:]
			if len(list) == 0 {
				continue
			}
			gid := numberOf(line)
			for name := range bytes.SplitSeq(list, []byte{','}) {
				if err := do(gid, name); err != nil {
					return fmt.Errorf("group: line %d: %w", i+1, err)
				}
			}
		}
		return nil
	}
	err := each(func(gid uint32, name []byte) error {
		i, ok := v.passwd.find(name)
		if !ok {
			return fmt.Errorf("member %q has no account", name)
		}
		if primaryOf(v.passwd.line(i)) == gid {
			members = append(members, math.MaxUint32)
			return nil
		}
		members = append(members, uint32(i))
		g.begin[i+2]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(g.begin); i++ {
		g.begin[i] += g.begin[i-1]
	}
	g.gids = make([]uint32, g.begin[len(g.begin)-1])
	n := 0
	err = each(func(gid uint32, _ []byte) error {
		if i := members[n]; i != math.MaxUint32 {
			g.gids[g.begin[i+1]] = gid
			g.begin[i+1]++
		}
		n++
		return nil
	})
	return g, err
}

// primaryOf is the gid in a line of passwd that was verified.
func primaryOf(line []byte) uint32 {
	_, rest := numberIn(line)
	return number(nameOf(rest))
}
