package altfiles

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

// indexBytes is what an index of a plan holds.
func indexBytes(tb testing.TB, p *Plan, x *plannedIndex) []byte {
	tb.Helper()
	image, err := x.layOut(p)
	if err != nil {
		tb.Fatal(err)
	}
	return imageBytes(tb, image)
}

func imageBytes(tb rapid.TB, image *indexImage) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := image.writeTo(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// indexesOf are both indexes of verified files.
func indexesOf(tb rapid.TB, v *verified, o indexOptions) (accounts, shadow []byte) {
	tb.Helper()
	one, err := newRosterIndex(v, o)
	if err != nil {
		tb.Fatal(err)
	}
	two, err := newShadowIndex(v, o)
	if err != nil {
		tb.Fatal(err)
	}
	return imageBytes(tb, one), imageBytes(tb, two)
}

func openBytes(tb rapid.TB, data []byte) *Index {
	tb.Helper()
	x, err := newIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// tiny has an alias, a group with members, one without, and a locked account.
var tiny = []roster.Row{
	account("1", "ada", 2000, func(a *roster.Account) { a.Aliases = []string{"lovelace"} }),
	account("2", "bob", 2001, locked, func(a *roster.Account) { a.GID = 3000 }),
	group("1", "eng", 3000), group("2", "ops", 3001), group("3", "none", 3002),
	member("1", "1"), member("1", "2"), member("2", "1"),
}

func TestTheBytesOfAnIndexAreThoseOfItsFormat(t *testing.T) {
	p := plan(t, newRenderer(t, scratch(t)), tiny)
	for _, x := range p.indexes {
		golden(t, x.name+".golden", []byte(hex.Dump(indexBytes(t, p, x))))
	}
}

// scanned is what a name service finds that goes from line to line.
type scanned struct {
	passwd []roster.Passwd
	group  []roster.GroupLine
	shadow []roster.Shadow
}

func scan(tb rapid.TB, passwd, group, shadow []byte) *scanned {
	tb.Helper()
	s := &scanned{}
	each := func(data []byte, parse func(string) error) {
		for line := range strings.Lines(string(data)) {
			if err := parse(strings.TrimSuffix(line, "\n")); err != nil {
				tb.Fatal(err)
			}
		}
	}
	each(passwd, func(line string) error {
		p, err := roster.ParsePasswd(line)
		s.passwd = append(s.passwd, p)
		return err
	})
	each(group, func(line string) error {
		g, err := roster.ParseGroup(line)
		s.group = append(s.group, g)
		return err
	})
	each(shadow, func(line string) error {
		h, err := roster.ParseShadow(line)
		s.shadow = append(s.shadow, h)
		return err
	})
	return s
}

func first[T any](all []T, is func(T) bool) (found T, ok bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	return found, false
}

func (s *scanned) groups(name string) (gids []uint32) {
	p, _ := first(s.passwd, func(p roster.Passwd) bool { return p.Name == name })
	for _, g := range s.group {
		if slices.Contains(g.Members, name) && g.GID != p.GID {
			gids = append(gids, g.GID)
		}
	}
	return gids
}

// names and ids are all that can be asked for, and some that are not there.
func (s *scanned) names() []string {
	names := []string{"", "nobody-here", "root", strings.Repeat("x", 300)}
	for _, p := range s.passwd {
		names = append(names, p.Name, p.Name+"x")
	}
	for _, g := range s.group {
		names = append(names, g.Name)
	}
	return names
}

func (s *scanned) ids() []uint32 {
	ids := []uint32{0, 1, 999, 1000, 1<<32 - 1}
	for _, p := range s.passwd {
		ids = append(ids, p.UID, p.GID, p.UID+1)
	}
	for _, g := range s.group {
		ids = append(ids, g.GID, g.GID-1)
	}
	return ids
}

// check compares every answer with that of the scan. lenient lets there be an error
// or no answer in place of the right one, as in an index that somebody broke: and by
// number, any line that has it.
func (s *scanned) check(tb rapid.TB, accounts, shadow *Index, lenient bool) {
	tb.Helper()
	compare := func(what string, got, want any, ok, there bool, err error) {
		tb.Helper()
		if lenient && (err != nil || !ok) {
			return
		}
		if err != nil || ok != there || ok && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			tb.Fatalf("%s: %+v, %v, %v; the scan has %+v, %v", what, got, ok, err, want, there)
		}
	}
	for _, name := range s.names() {
		if accounts != nil {
			want, there := first(s.passwd, func(p roster.Passwd) bool { return p.Name == name })
			got, ok, err := accounts.Passwd(name)
			compare("passwd "+name, got, want, ok, there, err)
			gids, ok, err := accounts.Groups(name)
			compare("groups of "+name, append([]uint32{}, gids...), append([]uint32{}, s.groups(name)...), ok, there, err)
			wantGroup, there := first(s.group, func(g roster.GroupLine) bool { return g.Name == name })
			gotGroup, ok, err := accounts.Group(name)
			compare("group "+name, gotGroup, wantGroup, ok, there, err)
		}
		if shadow != nil {
			want, there := first(s.shadow, func(h roster.Shadow) bool { return h.Name == name })
			got, ok, err := shadow.Shadow(name)
			compare("shadow "+name, got, want, ok, there, err)
		}
	}
	if accounts == nil {
		return
	}
	for _, id := range s.ids() {
		got, ok, err := accounts.PasswdByUID(id)
		want, there := first(s.passwd, func(p roster.Passwd) bool { return p.UID == id && (!lenient || p.Name == got.Name) })
		compare(fmt.Sprint("uid ", id), got, want, ok, there, err)
		gotGroup, ok, err := accounts.GroupByGID(id)
		wantGroup, there := first(s.group, func(g roster.GroupLine) bool { return g.GID == id && (!lenient || g.Name == gotGroup.Name) })
		compare(fmt.Sprint("gid ", id), gotGroup, wantGroup, ok, there, err)
	}
}

func TestAnyRosterIsLookedUpAsAScanFindsIt(t *testing.T) {
	policy := DefaultPolicy()
	policy.MergeMembers = []string{"docker=eng"} // below the least id
	rules, err := policy.rules()
	if err != nil {
		t.Fatal(err)
	}
	local, err := readLocal("testdata/etc/passwd", "testdata/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		o, err := render(rules, local, each(drawRows(t)), sizes{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := rules.verify(o, local)
		if err != nil {
			t.Fatal(err)
		}
		options := indexOptions{generation: 7, least: rules.min, flags: flagRestricted, probes: rapid.SampledFrom([]int{0, 4}).Draw(t, "probes")}
		accounts, shadow := indexesOf(t, v, options)
		again, _ := indexesOf(t, v, options)
		if !bytes.Equal(accounts, again) {
			t.Fatal("the second index is another")
		}
		x, y := openBytes(t, accounts), openBytes(t, shadow)
		if x.Generation() != 7 || !x.Restricted() || x.LeastID() > rules.min {
			t.Fatalf("header %+v", x.header)
		}
		scan(t, o.passwd, o.group, o.shadow).check(t, x, y, false)
	})
}

func TestEntriesThatCrowdGetAnotherSeed(t *testing.T) {
	p := plan(t, newRenderer(t, scratch(t)), manyRows(400))
	seeds := map[uint32]bool{}
	for _, probes := range []int{0, 9, 7, 6} {
		accounts, shadow := indexesOf(t, p.now, indexOptions{least: 1000, probes: probes})
		x := openBytes(t, accounts)
		seeds[x.header.seed] = true
		for i, table := range x.header.tables {
			if probes > 0 && int(table.probes) > probes {
				t.Errorf("table %d has %d probes", i, table.probes)
			}
		}
		s := scan(t, p.now.passwd.data, p.now.group.data, p.now.shadow.data)
		s.check(t, x, openBytes(t, shadow), false)
	}
	if len(seeds) < 2 {
		t.Errorf("seeds %v", seeds)
	}
	if _, err := newRosterIndex(p.now, indexOptions{probes: 1}); err == nil {
		t.Error("400 names have 400 slots of their own")
	}
}

// TestABrokenIndexNeverAnswersWrong flips each bit, cuts at each length, and puts
// noise in place of each part.
func TestABrokenIndexNeverAnswersWrong(t *testing.T) {
	p := plan(t, newRenderer(t, scratch(t)), tiny)
	s := scan(t, p.now.passwd.data, p.now.group.data, p.now.shadow.data)
	random := rand.New(rand.NewPCG(1, 2))
	for i, x := range p.indexes {
		whole := indexBytes(t, p, x)
		opened, corrupt := 0, 0
		try := func(data []byte) {
			x, err := newIndex(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				corrupt++
				return
			}
			opened++
			if i == 0 {
				s.check(t, nil, x, true)
			} else {
				s.check(t, x, nil, true)
			}
		}
		for bit := range 8 * len(whole) {
			data := slices.Clone(whole)
			data[bit/8] ^= 1 << (bit % 8)
			try(data)
		}
		for n := range len(whole) {
			try(whole[:n])
		}
		for range 5000 {
			data := slices.Clone(whole)
			at := random.IntN(len(data))
			for i := range data[at:min(len(data), at+1+random.IntN(64))] {
				data[at+i] = byte(random.Uint32())
			}
			try(data)
			for i := range data[indexHeaderSize:] {
				data[indexHeaderSize+i] = byte(random.Uint32())
			}
			try(data)
		}
		if opened == 0 || corrupt == 0 {
			t.Errorf("%s: %d were opened, %d were not", x.name, opened, corrupt)
		}
	}
}

func FuzzIndex(f *testing.F) {
	p := plan(f, newRenderer(f, scratch(f)), tiny)
	for _, x := range p.indexes {
		f.Add(indexBytes(f, p, x))
	}
	s := scan(f, p.now.passwd.data, p.now.group.data, p.now.shadow.data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= indexHeaderSize { // a right sum lets more be tried
			header := slices.Clone(data)
			binary.LittleEndian.PutUint64(header[24:], uint64(len(header)))
			binary.LittleEndian.PutUint64(header[16:], IndexSum(header[24:indexHeaderSize]))
			if x, err := newIndex(bytes.NewReader(header), int64(len(header))); err == nil {
				s.check(t, x, x, true)
			}
		}
		if x, err := newIndex(bytes.NewReader(data), int64(len(data))); err == nil {
			s.check(t, x, x, true)
		}
	})
}
