package altfiles

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"pwb/roster"
)

// Generation is a rendering that was written as a whole.
type Generation struct {
	// Number is 1 or more; later ones have greater numbers, and none comes twice.
	Number int64 `json:"number"`
	// Position is that of the roster that Commit was told; the zero Position when
	// the files are older than this memory.
	Position roster.Position `json:"position,omitzero"`
	// Time is when it was first in place, UTC in whole seconds.
	Time time.Time `json:"time"`
	// Accounts is how many it has, without aliases.
	Accounts int `json:"accounts"`
	// InPlace says that the files were last written to be this one.
	InPlace bool `json:"in_place"`
}

// generation is a Generation as the manifest has it. Indexes are not in it: they
// follow from their files.
type generation struct {
	Number   int64              `json:"number"`
	Position roster.Position    `json:"position,omitzero"`
	Time     time.Time          `json:"time"`
	Accounts int                `json:"accounts"`
	Dir      string             `json:"dir"`
	Files    map[string]content `json:"files"` // by name; KeysFile is in the state directory
}

// memory is what the manifest says of generations.
type memory struct {
	// Last is the greatest number that was given, be it to a commit that failed.
	Last int64 `json:"last"`
	// InPlace is the number of the one in place, Next the one that a commit began
	// to put there; if it is still set, that was killed or failed on the way.
	InPlace int64       `json:"in_place"`
	Next    *generation `json:"next,omitempty"`
	// List has those in place or kept, by ascending number.
	List []generation `json:"list,omitempty"`
}

// keepDays is for how many days the last generation of the day stays, besides
// Config.KeepGenerations. A burst of changes makes a generation each within a
// second; without these it would push out all that is older.
const keepDays = 3

// same reports whether two generations are the same files.
func (g *generation) same(other *generation) bool {
	return g.Dir == other.Dir && maps.Equal(g.Files, other.Files)
}

// find is the generation with a number, nil if that is not kept.
func (mem *memory) find(number int64) *generation {
	for i := range mem.List {
		if mem.List[i].Number == number {
			return &mem.List[i]
		}
	}
	return nil
}

// inPlace is the generation in place in a directory, nil if that is unknown.
func (mem *memory) inPlace(dir string) *generation {
	g := mem.find(mem.InPlace)
	if g == nil || g.Dir != dir {
		return nil
	}
	return g
}

// put makes g the one in place.
func (mem *memory) put(g generation, keep int) {
	if mem.find(g.Number) == nil {
		mem.List = append(slices.Clip(mem.List), g)
	}
	mem.Next, mem.InPlace, mem.Last = nil, g.Number, max(mem.Last, g.Number)
	mem.List = pruned(mem.List, g.Number, keep)
}

// pruned is the part of list that stays: the one in place, the last keep besides
// it, and of what is older the last of each UTC day for keepDays days.
func pruned(list []generation, inPlace int64, keep int) (rest []generation) {
	others, days := 0, 0
	day := ""
	for _, g := range slices.Backward(list) {
		last := day != g.Time.UTC().Format(time.DateOnly)
		day = g.Time.UTC().Format(time.DateOnly)
		switch {
		case g.Number == inPlace:
		case others < keep:
			others++
		case keep > 0 && last && days < keepDays:
			days++
		default:
			continue
		}
		rest = append(rest, g)
	}
	slices.Reverse(rest)
	return rest
}

// sums are the digests of all that list refers to, with their sizes.
func sums(list []generation) map[string]int64 {
	all := map[string]int64{}
	for _, g := range list {
		for _, c := range g.Files {
			all[c.SHA256] = c.Size
		}
	}
	return all
}

// complete are those of list whose files are all there: in place, empty or in
// the store, which holds what stored says.
func complete(list []generation, inPlace int64, stored map[string]bool) []generation {
	there := map[string]bool{}
	for _, g := range list {
		if g.Number == inPlace {
			for _, c := range g.Files {
				there[c.SHA256] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(g generation) bool {
		for _, c := range g.Files {
			if c.Size > 0 && !there[c.SHA256] && !stored[c.SHA256] {
				return true
			}
		}
		return false
	})
}

// Generations are those that can be put back in Config.Dir and the one that is in
// place there, by ascending number. None is read; PlanGeneration does that.
func (r *Renderer) Generations() (all []Generation, err error) {
	d, err := openDir(r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	state, err := openState(r.cfg.StateDir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	m, err := readManifest(state)
	if err != nil {
		return nil, err
	}
	names, err := storedNames(state)
	if err != nil {
		return nil, err
	}
	d.state = state
	m.recover(d, r.cfg.KeepGenerations)
	for _, g := range complete(m.Memory.List, m.Memory.InPlace, names) {
		if g.Dir == d.path {
			// Where a commit ended half way, the files are those of no generation.
			all = append(all, Generation{g.Number, g.Position, g.Time, g.Accounts, g.Number == m.Memory.InPlace && m.Memory.Next == nil})
		}
	}
	return all, nil
}

// recover finds out whether a commit that was killed had put all its files in
// place, and then notes so, and reports true. The files are read for it.
func (m *manifest) recover(d *dir, keep int) bool {
	next := m.Memory.Next
	if next == nil || next.Dir != d.path {
		return false
	}
	marks := map[string]string{}
	for name, c := range next.Files {
		st, err := d.find(name)
		if err != nil || !st.exists {
			return false
		}
		if is, err := d.of(name).is(name, st, c); err != nil || !is {
			return false
		}
		marks[name] = st.mark()
	}
	var gone []string
	if was := m.Memory.inPlace(d.path); was != nil {
		for name := range was.Files {
			if _, ok := next.Files[name]; ok {
				continue
			}
			if st, err := d.find(name); err != nil || st.exists {
				return false // to be removed, but it is still there
			}
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		m.set(d, name, record{})
	}
	for name, c := range next.Files {
		m.set(d, name, record{Written: &c, Placed: marks[name]})
	}
	m.Memory.put(*next, keep)
	return true
}

// adopt makes a generation of files that were written before there were any.
func (m *manifest) adopt(p *Plan, d *dir) {
	if m.Memory.inPlace(p.path) != nil {
		return
	}
	g := generation{Number: m.Memory.Last + 1, Dir: p.path, Accounts: p.effect.Before, Files: map[string]content{}}
	for i := range p.files {
		f := &p.files[i]
		r := m.record(d, f.name)
		if f.kind == "" || r.Written == nil || !f.was.exists {
			continue
		}
		g.Files[f.name] = *r.Written
		g.Time = time.Unix(f.was.mtime.Unix()).UTC().Truncate(time.Second)
	}
	if m.Memory.Next == nil && p.file(passwdName).in(g) && p.file(groupName).in(g) {
		m.Memory.put(g, p.r.cfg.KeepGenerations)
	}
}

func (f *plannedFile) in(g generation) bool {
	_, ok := g.Files[f.name]
	return ok
}

// target is the generation that the files will be: that which is restored, the
// one that a commit began with, the one in place where that is being mended, the
// newest where that comes back, or else a new one.
func (p *Plan) target(m *manifest, d *dir, at roster.Position) generation {
	if p.restores != nil {
		return *p.restores
	}
	g := generation{
		Number: m.Memory.Last + 1, Position: at, Time: p.r.now().UTC().Truncate(time.Second),
		Accounts: p.effect.After, Dir: p.path, Files: map[string]content{},
	}
	for i := range p.files {
		f := &p.files[i]
		if f.kind == "" || f.gone {
			continue
		}
		c := m.record(d, f.name)
		if f.right && c.Written != nil && c.Placed == f.was.mark() {
			g.Files[f.name] = *c.Written
		} else {
			g.Files[f.name] = *f.content()
		}
	}
	known := []*generation{m.Memory.Next, m.Memory.inPlace(p.path)}
	if n := len(m.Memory.List); n > 0 {
		known = append(known, &m.Memory.List[n-1])
	}
	for _, old := range known {
		if old != nil && old.same(&g) {
			return *old
		}
	}
	return g
}

// NoGenerationError says that a generation is not, or no longer, kept.
type NoGenerationError struct {
	Number, Oldest, Newest int64
}

// Error says which there are.
func (e *NoGenerationError) Error() string {
	if e.Newest == 0 {
		return fmt.Sprintf("generation %d is not kept, nor is any other", e.Number)
	}
	return fmt.Sprintf("generation %d is not kept: see which of %d to %d are with: pwb-agent rollback --list", e.Number, e.Oldest, e.Newest)
}

// Is makes the error fs.ErrNotExist.
func (e *NoGenerationError) Is(target error) bool { return target == fs.ErrNotExist }

func (mem *memory) missing(number int64, dir string) error {
	e := &NoGenerationError{Number: number}
	for _, g := range mem.List {
		if g.Dir == dir {
			e.Oldest, e.Newest = cmp.Or(e.Oldest, g.Number), g.Number
		}
	}
	return e
}
