package main

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A writer of index and state files for the tests, from the format's description
// (DESIGN.md) and not from the agent's code, so that the two check each other.

var le = binary.LittleEndian

type user struct {
	name, passwd, gecos, home, shell string
	uid, gid                         uint32
	groups                           []uint32
}

type team struct {
	name, passwd string
	gid          uint32
	members      []string
}

type secret struct {
	name, hash string
	days       [6]int64 // lastchg, min, max, warn, inact, expire; -1 is empty
	flag       uint64
}

// index is what a test wants in an index file.
type index struct {
	users      []user
	teams      []team
	secrets    []secret
	generation uint64
	seed       uint32
	least      uint32
	flags      uint32
	slots      uint32 // 0: as many as the format says
}

func sum(b []byte) uint64 {
	s := uint64(0xcbf29ce484222325)
	for ; len(b) >= 8; b = b[8:] {
		s = (s ^ le.Uint64(b)) * 0x9E3779B97F4A7C15
		s ^= s >> 29
	}
	return s
}

func fmix32(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

func hashName(seed uint32, s string) uint32 {
	h := 2166136261 ^ seed
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return fmix32(h)
}

func hashID(seed, id uint32) uint32 { return fmix32(id ^ seed) }

func finish(b []byte, strings ...string) []byte {
	for _, s := range strings {
		b = append(append(b, s...), 0)
	}
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	le.PutUint32(b[8:], uint32(len(b)))
	le.PutUint64(b, sum(b[8:]))
	return b
}

func (u user) record() []byte {
	b := make([]byte, 40)
	le.PutUint16(b[12:], 1)
	le.PutUint16(b[14:], uint16(len(u.name)))
	le.PutUint32(b[16:], u.uid)
	le.PutUint32(b[20:], u.gid)
	le.PutUint32(b[24:], uint32(len(u.groups)))
	for i, s := range []string{u.gecos, u.home, u.shell, u.passwd} {
		le.PutUint16(b[28+2*i:], uint16(len(s)))
	}
	for _, gid := range u.groups {
		b = le.AppendUint32(b, gid)
	}
	return finish(b, u.name, u.passwd, u.gecos, u.home, u.shell)
}

func (g team) record() []byte {
	b := make([]byte, 32)
	le.PutUint16(b[12:], 2)
	le.PutUint16(b[14:], uint16(len(g.name)))
	le.PutUint32(b[16:], g.gid)
	le.PutUint32(b[20:], uint32(len(g.members)))
	le.PutUint16(b[24:], uint16(len(g.passwd)))
	return finish(b, append([]string{g.name, g.passwd}, g.members...)...)
}

func (s secret) record() []byte {
	b := make([]byte, 80)
	le.PutUint16(b[12:], 3)
	le.PutUint16(b[14:], uint16(len(s.name)))
	for i, d := range s.days {
		le.PutUint64(b[16+8*i:], uint64(d))
	}
	le.PutUint64(b[64:], s.flag)
	le.PutUint16(b[72:], uint16(len(s.hash)))
	return finish(b, s.name, s.hash)
}

// entry is a slot of a table.
type entry struct{ hash, ref uint32 }

// table lays entries out and returns the slots and the most that a look-up reads.
func (x index) table(entries []entry) (b []byte, slots, probes uint32) {
	slots = max(8, uint32(len(entries)*10/7+1))
	if x.slots > 0 {
		slots = x.slots
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })
	b = make([]byte, (int(slots)+64)*8)
	next := uint32(0)
	probes = 1
	for _, e := range entries {
		hi, _ := bits.Mul32(e.hash, slots)
		at := max(hi, next)
		next = at + 1
		if at-hi+1 > 64 {
			panic("more than 64 probes: try another seed")
		}
		probes = max(probes, at-hi+1)
		le.PutUint32(b[at*8:], e.hash)
		le.PutUint32(b[at*8+4:], e.ref)
	}
	return b[:(slots+probes)*8], slots, probes
}

// bytes is the file of one kind: 1 the roster, 2 the shadow.
func (x index) bytes(kind uint32) []byte {
	b := make([]byte, 160)
	var tables [4][]entry
	add := func(t int, hash uint32) { tables[t] = append(tables[t], entry{hash, uint32(len(b) / 8)}) }
	section := func(at int, records func()) {
		le.PutUint64(b[at:], uint64(len(b)))
		records()
		le.PutUint64(b[at+8:], uint64(len(b)))
	}
	seen := map[uint32]bool{}
	section(112, func() {
		if kind == 2 {
			for _, s := range x.secrets {
				add(0, hashName(x.seed, s.name))
				b = append(b, s.record()...)
			}
			return
		}
		for _, u := range x.users {
			add(0, hashName(x.seed, u.name))
			if !seen[u.uid] {
				add(1, hashID(x.seed, u.uid))
			}
			seen[u.uid] = true
			b = append(b, u.record()...)
		}
	})
	clear(seen)
	section(128, func() {
		if kind == 2 {
			return
		}
		for _, g := range x.teams {
			add(2, hashName(x.seed, g.name))
			if !seen[g.gid] {
				add(3, hashID(x.seed, g.gid))
			}
			seen[g.gid] = true
			b = append(b, g.record()...)
		}
	})
	for i, entries := range tables {
		if kind == 2 && i > 0 {
			break
		}
		t, slots, probes := x.table(entries)
		le.PutUint64(b[48+16*i:], uint64(len(b)))
		le.PutUint32(b[56+16*i:], slots)
		le.PutUint32(b[60+16*i:], probes)
		b = append(b, t...)
	}
	copy(b, "PWBINDEX")
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[12:], kind)
	le.PutUint64(b[24:], uint64(len(b)))
	le.PutUint64(b[32:], x.generation)
	le.PutUint32(b[40:], x.seed)
	le.PutUint32(b[44:], max(x.least, 1000))
	le.PutUint32(b[144:], x.flags)
	resum(b)
	return b
}

// resum puts a header's sum right after a test changed it.
func resum(b []byte) { le.PutUint64(b[16:], sum(b[24:160])) }

// state is what a test wants in a state file.
type state struct {
	flags      uint32 // 1 reachable, 2 files current
	heartbeat  time.Duration
	answer     time.Duration // how long ago
	generation uint64
	pid        uint64
}

const reachable, current = 1, 2

func (s state) bytes(t testing.TB) []byte {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	copy(b, "PWBSTATE")
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[12:], s.flags)
	le.PutUint64(b[24:], uint64(now.Nano()-int64(s.heartbeat)))
	le.PutUint64(b[32:], uint64(now.Nano()-int64(s.answer)))
	le.PutUint64(b[40:], s.generation)
	le.PutUint64(b[48:], s.pid)
	le.PutUint64(b[16:], sum(b[24:]))
	return b
}

// write puts a file in place as the agent does, by rename.
func write(t testing.TB, path string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	next := path + ".next"
	if err := os.WriteFile(next, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(next, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}
