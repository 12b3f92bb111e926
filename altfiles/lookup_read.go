package altfiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// Index is a lookup index, opened. A lookup reads what it needs, two or three
// pieces, and keeps nothing. It believes nothing it reads: every method fails with
// ErrCorrupt rather than answer from what was not written here, though what hides
// an entry may look as if there were none. Many goroutines may use it at once.
type Index struct {
	from   io.ReaderAt
	header indexHeader
	close  func() error
}

// OpenIndex opens an index. It fails with ErrCorrupt for what is none, and with
// fs.ErrNotExist where there is none. The file stays as it was opened, whatever
// is put in its place; open it anew to see that.
func OpenIndex(path string) (*Index, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the lookup index: %w", err)
	}
	x, err := func() (*Index, error) {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, corrupt("it is no regular file")
		}
		return newIndex(f, info.Size())
	}()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	x.close = f.Close
	return x, nil
}

func newIndex(from io.ReaderAt, size int64) (*Index, error) {
	b := make([]byte, min(indexHeaderSize, max(size, 0)))
	if err := readAt(from, b, 0); err != nil {
		return nil, err
	}
	h, err := decodeHeader(b, size)
	if err != nil {
		return nil, err
	}
	return &Index{from: from, header: *h, close: func() error { return nil }}, nil
}

// Close closes the file.
func (x *Index) Close() error { return x.close() }

// Generation tells what the index holds from anything else it could hold.
func (x *Index) Generation() uint64 { return x.header.generation }

// LeastID is the least uid or gid that can be in it.
func (x *Index) LeastID() uint32 { return x.header.least }

// Restricted reports whether the node's policy leaves out or rewrites accounts, so
// that an account that is missing here must not be taken from elsewhere.
func (x *Index) Restricted() bool { return x.header.flags&flagRestricted != 0 }

// Passwd is the line of passwd with a name.
func (x *Index) Passwd(name string) (roster.Passwd, bool, error) {
	p, _, ok, err := x.account(byName, nameHash(x.header.seed, []byte(name)), func(p *roster.Passwd) bool { return p.Name == name })
	return p, ok, err
}

// PasswdByUID is the first line of passwd with a uid.
func (x *Index) PasswdByUID(uid uint32) (roster.Passwd, bool, error) {
	if uid < x.header.least {
		return roster.Passwd{}, false, nil
	}
	p, _, ok, err := x.account(byUID, idHash(x.header.seed, uid), func(p *roster.Passwd) bool { return p.UID == uid })
	return p, ok, err
}

// Groups are the gids of the groups that have an account for a member, in the
// order of the group file and without its primary one.
func (x *Index) Groups(name string) ([]uint32, bool, error) {
	_, gids, ok, err := x.account(byName, nameHash(x.header.seed, []byte(name)), func(p *roster.Passwd) bool { return p.Name == name })
	return gids, ok, err
}

// Group is the line of group with a name.
func (x *Index) Group(name string) (roster.GroupLine, bool, error) {
	return x.group(byGroupName, nameHash(x.header.seed, []byte(name)), func(g *roster.GroupLine) bool { return g.Name == name })
}

// GroupByGID is the first line of group with a gid.
func (x *Index) GroupByGID(gid uint32) (roster.GroupLine, bool, error) {
	if gid < x.header.least {
		return roster.GroupLine{}, false, nil
	}
	return x.group(byGID, idHash(x.header.seed, gid), func(g *roster.GroupLine) bool { return g.GID == gid })
}

// Shadow is the line of shadow with a name.
func (x *Index) Shadow(name string) (s roster.Shadow, ok bool, err error) {
	if x.header.kind != shadowKind {
		return s, false, corrupt("it is no index of shadow")
	}
	ok, err = x.find(x.header.tables[byName], nameHash(x.header.seed, []byte(name)), x.header.records[0], shadowRecord, func(b []byte) (bool, error) {
		got, err := decodeShadow(b)
		if err != nil || got.Name != name {
			return false, err
		}
		s = got
		return true, nil
	})
	return s, ok, err
}

func (x *Index) account(table int, hash uint32, is func(*roster.Passwd) bool) (p roster.Passwd, gids []uint32, ok bool, err error) {
	if x.header.kind != rosterKind {
		return p, nil, false, corrupt("it is no index of passwd")
	}
	ok, err = x.find(x.header.tables[table], hash, x.header.records[0], passwdRecord, func(b []byte) (bool, error) {
		got, groups, err := decodePasswd(b)
		if err != nil || !is(&got) {
			return false, err
		}
		p, gids = got, groups
		return true, nil
	})
	return p, gids, ok, err
}

func (x *Index) group(table int, hash uint32, is func(*roster.GroupLine) bool) (g roster.GroupLine, ok bool, err error) {
	if x.header.kind != rosterKind {
		return g, false, corrupt("it is no index of group")
	}
	ok, err = x.find(x.header.tables[table], hash, x.header.records[1], groupRecord, func(b []byte) (bool, error) {
		got, err := decodeGroup(b)
		if err != nil || !is(&got) {
			return false, err
		}
		g = got
		return true, nil
	})
	return g, ok, err
}

// find calls match with each record that a table has for a hash, until it says
// that this is the one.
func (x *Index) find(t indexTable, hash uint32, in span, kind uint16, match func(record []byte) (bool, error)) (bool, error) {
	slots := make([]byte, t.probes*slotSize)
	if err := readAt(x.from, slots, t.offset+t.slot(hash)*slotSize); err != nil {
		return false, err
	}
	for ; len(slots) > 0; slots = slots[slotSize:] {
		ref := binary.LittleEndian.Uint32(slots[4:])
		if ref == 0 {
			return false, nil
		}
		if binary.LittleEndian.Uint32(slots) != hash {
			continue
		}
		b, err := x.record(uint64(ref)*8, in, kind)
		if err != nil {
			return false, err
		}
		if ok, err := match(b); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// firstRead is about how many bytes a record has at the most, but for large groups.
const firstRead = 512

// record reads and proves the record at an offset.
func (x *Index) record(at uint64, in span, kind uint16) ([]byte, error) {
	if at < in.begin || at >= in.end {
		return nil, corrupt("a table leads out of the records")
	}
	room := in.end - at
	b := make([]byte, min(room, firstRead))
	if err := readAt(x.from, b, at); err != nil {
		return nil, err
	}
	if len(b) < 16 {
		return nil, corrupt("a record has no room")
	}
	n := uint64(binary.LittleEndian.Uint32(b[8:]))
	if n < 16 || n%8 != 0 || n > room {
		return nil, corrupt("a record has the length %d", n)
	}
	if n > uint64(len(b)) {
		rest := make([]byte, n)
		have := copy(rest, b)
		if err := readAt(x.from, rest[have:], at+uint64(have)); err != nil {
			return nil, err
		}
		b = rest
	}
	b = b[:n]
	if binary.LittleEndian.Uint64(b) != IndexSum(b[8:]) {
		return nil, corrupt("the sum of a record is wrong")
	}
	if binary.LittleEndian.Uint16(b[12:]) != kind {
		return nil, corrupt("a record is of another kind")
	}
	return b, nil
}

func readAt(from io.ReaderAt, b []byte, at uint64) error {
	if _, err := from.ReadAt(b, int64(at)); err != nil && len(b) > 0 {
		if errors.Is(err, io.EOF) {
			return corrupt("it ends too early")
		}
		return fmt.Errorf("read the lookup index: %w", err)
	}
	return nil
}

// fields reads what follows the fixed part of a record.
type fields struct {
	rest []byte
	bad  bool
}

// text is the next text, of n bytes without its NUL.
func (f *fields) text(n uint16) string {
	if f.bad || int(n) >= len(f.rest) || bytes.IndexByte(f.rest[:n+1], 0) != int(n) {
		f.bad = true
		return ""
	}
	s := string(f.rest[:n])
	f.rest = f.rest[n+1:]
	return s
}

// done fails if something did not fit, or more follows than fills the last word.
func (f *fields) done(what string) error {
	if f.bad || len(f.rest) >= 8 || len(bytes.Trim(f.rest, "\x00")) > 0 {
		return corrupt("a record of %s does not add up", what)
	}
	return nil
}

func decodePasswd(b []byte) (p roster.Passwd, gids []uint32, err error) {
	le := binary.LittleEndian
	if len(b) < passwdFixed {
		return p, nil, corrupt("a record of passwd has %d bytes", len(b))
	}
	p.UID, p.GID = le.Uint32(b[16:]), le.Uint32(b[20:])
	n := uint64(le.Uint32(b[24:]))
	if n > uint64(len(b)-passwdFixed)/4 {
		return p, nil, corrupt("a record of passwd has no room for %d groups", n)
	}
	gids = make([]uint32, n)
	for i := range gids {
		gids[i] = le.Uint32(b[passwdFixed+4*i:])
	}
	f := fields{rest: b[passwdFixed+4*n:]}
	p.Name, p.Password = f.text(le.Uint16(b[14:])), f.text(le.Uint16(b[34:]))
	p.Gecos, p.Home, p.Shell = f.text(le.Uint16(b[28:])), f.text(le.Uint16(b[30:])), f.text(le.Uint16(b[32:]))
	return p, gids, f.done("passwd")
}

func decodeGroup(b []byte) (g roster.GroupLine, err error) {
	le := binary.LittleEndian
	if len(b) < groupFixed {
		return g, corrupt("a record of group has %d bytes", len(b))
	}
	g.GID = le.Uint32(b[16:])
	n := uint64(le.Uint32(b[20:]))
	f := fields{rest: b[groupFixed:]}
	g.Name, g.Password = f.text(le.Uint16(b[14:])), f.text(le.Uint16(b[24:]))
	if n > uint64(len(f.rest)) {
		return g, corrupt("a record of group has no room for %d members", n)
	}
	for range n {
		end := bytes.IndexByte(f.rest, 0)
		if end <= 0 {
			return g, corrupt("a record of group lacks a member")
		}
		g.Members, f.rest = append(g.Members, string(f.rest[:end])), f.rest[end+1:]
	}
	return g, f.done("group")
}

func decodeShadow(b []byte) (s roster.Shadow, err error) {
	le := binary.LittleEndian
	if len(b) < shadowFixed {
		return s, corrupt("a record of shadow has %d bytes", len(b))
	}
	s.Expire = max(0, int64(le.Uint64(b[56:])))
	f := fields{rest: b[shadowFixed:]}
	s.Name, s.Password = f.text(le.Uint16(b[14:])), f.text(le.Uint16(b[72:]))
	return s, f.done("shadow")
}
