package altfiles

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	passwd, err := measure(v.passwd, func(i int, f [][]byte) (int, error) {
		x.header.least = min(x.header.least, number(f[2]))
		return passwdFixed + 4*len(groups.of(i)) + texts7(f), tooLong(f[0], f[1], f[4], f[5], f[6])
	}, 7)
	if err != nil {
		return nil, fmt.Errorf("passwd: %w", err)
	}
	group, err := measure(v.group, func(_ int, f [][]byte) (int, error) {
		x.header.least = min(x.header.least, number(f[2])) // one that members are merged into may be below
		return groupFixed + texts4(f), tooLong(f[0], f[1])
	}, 4)
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
	shadow, err := measure(v.shadow, func(_ int, f [][]byte) (int, error) {
		return shadowFixed + len(f[0]) + len(f[1]) + 2, tooLong(f[0], f[1])
	}, 9)
	if err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	x.write = func(w *recordWriter) error { return w.shadow(v.shadow) }
	return x, x.place(o, []*lines{v.shadow}, [][]uint32{shadow})
}

// measure returns where the record of each line begins, in units of 8 bytes from
// the first, and behind the last where they end.
func measure(l *lines, size func(i int, f [][]byte) (int, error), fields int) ([]uint32, error) {
	at := make([]uint32, 1, l.count()+1)
	next := 0
	f := make([][]byte, fields)
	for i := range l.count() {
		if !splitLine(l.line(i), f) {
			return nil, fmt.Errorf("line %d has not %d fields", i+1, fields)
		}
		n, err := size(i, f)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if next += aligned(n) / 8; next > math.MaxUint32 {
			return nil, errTooLarge
		}
		at = append(at, uint32(next))
	}
	return at, nil
}

// splitLine fills f with the fields of a line and reports whether there are as many.
func splitLine(line []byte, f [][]byte) bool {
	for i := range len(f) - 1 {
		end := bytes.IndexByte(line, ':')
		if end < 0 {
			return false
		}
		f[i], line = line[:end], line[end+1:]
	}
	f[len(f)-1] = line
	return bytes.IndexByte(line, ':') < 0
}

// number is that of a field of a line that was verified.
func number(digits []byte) (n uint32) {
	for _, c := range digits {
		n = 10*n + uint32(c-'0')
	}
	return n
}

// texts7 are the bytes that the texts of a line of passwd take, with a NUL each.
func texts7(f [][]byte) int { return len(f[0]) + len(f[1]) + len(f[4]) + len(f[5]) + len(f[6]) + 5 }

// texts4 is texts7 for group: members have a comma between them in place of a NUL.
func texts4(f [][]byte) int {
	n := len(f[0]) + len(f[1]) + 2
	if len(f[3]) > 0 {
		n += len(f[3]) + 1
	}
	return n
}

// tooLong fails for texts whose length has more than 16 bits, or that hold a NUL.
// What was verified has neither.
func tooLong(texts ...[]byte) error {
	for _, s := range texts {
		if len(s) > math.MaxUint16 || bytes.IndexByte(s, 0) >= 0 {
			return errors.New("a field has more than 65535 bytes, or a NUL")
		}
	}
	return nil
}

// place decides where tables and records lie. Entries that crowd each other beyond
// what a lookup reads get other hashes.
func (x *indexImage) place(o indexOptions, of []*lines, at [][]uint32) error {
	const seeds = 1000
	for x.header.seed = 0; ; x.header.seed++ {
		next := uint64(indexHeaderSize)
		x.tables = x.tables[:0]
		crowded := false
		for i, l := range of {
			// The tables stand before the records, but take as much room whatever those are.
			for j, key := range []func([]byte) uint32{
				func(line []byte) uint32 { return nameHash(x.header.seed, nameOf(line)) },
				func(line []byte) uint32 { return idHash(x.header.seed, numberOf(line)) },
			}[:x.keys()] {
				entries := hashed(l, at[i], key)
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
// of the lines.
func hashed(l *lines, at []uint32, key func(line []byte) uint32) []uint64 {
	entries := make([]uint64, l.count())
	for i := range entries {
		entries[i] = uint64(key(l.line(i)))<<32 | uint64(at[i])
	}
	return sortByHash(entries)
}

// sortByHash is a radix sort of three rounds over the hash, stable. Comparing takes
// ten times as long.
func sortByHash(entries []uint64) []uint64 {
	spare := make([]uint64, len(entries))
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
	return entries
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

// writeTo writes the index.
func (x *indexImage) writeTo(w io.Writer) error {
	out := &recordWriter{out: bufio.NewWriterSize(w, 256<<10)}
	out.put(x.header.encode())
	n := 0
	for _, t := range x.header.tables {
		if t.slots > 0 {
			out.table(t, x.tables[n])
			n++
		}
	}
	if err := x.write(out); err != nil {
		return err
	}
	if err := out.out.Flush(); err != nil {
		return err
	}
	if out.written != x.header.size {
		return fmt.Errorf("the lookup index became %d bytes in place of %d, which is a defect of pwb", out.written, x.header.size)
	}
	return nil
}

// recordWriter writes records. Its Writer keeps the first error until Flush.
type recordWriter struct {
	out     *bufio.Writer
	buf     []byte
	written uint64
}

func (w *recordWriter) put(b []byte) {
	n, _ := w.out.Write(b)
	w.written += uint64(n)
}

// table writes entries, each in the first free slot from where it belongs.
func (w *recordWriter) table(t indexTable, entries []uint64) {
	le := binary.LittleEndian
	w.buf = w.buf[:0]
	next := uint64(0)
	fill := func(to uint64) {
		for ; next < to; next++ {
			w.buf = le.AppendUint64(w.buf, 0)
		}
	}
	for _, e := range entries {
		fill(t.slot(uint32(e >> 32)))
		w.buf = le.AppendUint32(w.buf, uint32(e>>32))
		w.buf = le.AppendUint32(w.buf, uint32(e))
		if next++; len(w.buf) >= 32<<10 {
			w.put(w.buf)
			w.buf = w.buf[:0]
		}
	}
	fill(t.size() / slotSize)
	w.put(w.buf)
}

// begin begins a record: its sum and length come when it ends.
func (w *recordWriter) begin(kind uint16, name []byte) {
	w.buf = append(w.buf[:0], make([]byte, 12)...)
	w.half(kind)
	w.half(uint16(len(name)))
}

func (w *recordWriter) half(n uint16) { w.buf = binary.LittleEndian.AppendUint16(w.buf, n) }
func (w *recordWriter) word(n uint32) { w.buf = binary.LittleEndian.AppendUint32(w.buf, n) }
func (w *recordWriter) long(n uint64) { w.buf = binary.LittleEndian.AppendUint64(w.buf, n) }

func (w *recordWriter) texts(all ...[]byte) {
	for _, s := range all {
		w.buf = append(append(w.buf, s...), 0)
	}
}

func (w *recordWriter) end() {
	for len(w.buf)%8 != 0 {
		w.buf = append(w.buf, 0)
	}
	binary.LittleEndian.PutUint32(w.buf[8:], uint32(len(w.buf)))
	binary.LittleEndian.PutUint64(w.buf, indexSum(w.buf[8:]))
	w.put(w.buf)
}

func (w *recordWriter) passwd(l *lines, groups *groupsOf) error {
	var f [7][]byte
	for i := range l.count() {
		splitLine(l.line(i), f[:])
		w.begin(passwdRecord, f[0])
		w.word(number(f[2]))
		w.word(number(f[3]))
		w.word(uint32(len(groups.of(i))))
		for _, s := range [][]byte{f[4], f[5], f[6], f[1]} {
			w.half(uint16(len(s)))
		}
		w.word(0)
		for _, gid := range groups.of(i) {
			w.word(gid)
		}
		w.texts(f[0], f[1], f[4], f[5], f[6])
		w.end()
	}
	return nil
}

func (w *recordWriter) group(l *lines) error {
	var f [4][]byte
	for i := range l.count() {
		splitLine(l.line(i), f[:])
		members := 0
		if len(f[3]) > 0 {
			members = 1 + bytes.Count(f[3], []byte{','})
		}
		w.begin(groupRecord, f[0])
		w.word(number(f[2]))
		w.word(uint32(members))
		w.half(uint16(len(f[1])))
		w.half(0)
		w.word(0)
		w.texts(f[0], f[1])
		if members > 0 {
			from := len(w.buf)
			w.texts(f[3])
			for list := w.buf[from:]; ; {
				comma := bytes.IndexByte(list, ',')
				if comma < 0 {
					break
				}
				list[comma], list = 0, list[comma+1:]
			}
		}
		w.end()
	}
	return nil
}

func (w *recordWriter) shadow(l *lines) error {
	var f [9][]byte
	for i := range l.count() {
		splitLine(l.line(i), f[:])
		w.begin(shadowRecord, f[0])
		for _, days := range f[2:8] {
			n := int64(-1)
			if len(days) > 0 {
				if n = int64(0); len(days) > 9 {
					return fmt.Errorf("shadow: line %d has a number of %d digits", i+1, len(days))
				}
				n = int64(number(days))
			}
			w.long(uint64(n))
		}
		flag := uint64(math.MaxUint64)
		if len(f[8]) > 0 {
			flag = uint64(number(f[8]))
		}
		w.long(flag)
		w.half(uint16(len(f[1])))
		w.half(0)
		w.word(0)
		w.texts(f[0], f[1])
		w.end()
	}
	return nil
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
	var members []uint32 // lines of passwd; MaxUint32 where it is the primary group
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
	for range 3 {
		_, line, _ = bytes.Cut(line, []byte{':'})
	}
	return number(nameOf(line))
}
