package altfiles

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"pwb/roster"
)

// indexRecord is what the manifest knows of a lookup index. All of that name in
// the state directory is ours; what is asked is whether it is the right one.
type indexRecord struct {
	// Written is the generation of the one in place, Intended that of one which a
	// commit began to put there; both in hexadecimal digits.
	Written  string `json:"written,omitempty"`
	Intended string `json:"intended,omitempty"`
	// Placed is the mark of the file as it was left in its place.
	Placed string `json:"placed,omitempty"`
}

// plannedIndex is a lookup index as it is and as it shall be. Its bytes are made
// while they are written.
type plannedIndex struct {
	name       string
	kind       string // whose owner and mode it has
	generation uint64
	owner      owner
	gone       bool // it shall not exist
	was        stamp
	had        indexRecord
	right      bool
	image      *indexImage // laid out, or nil
}

// planIndexes decides about the lookup indexes, once it is known what the files
// are to hold. What an index holds follows from them, so none is read: one whose
// stamp is that which it was left with has the generation that was written then.
func (p *Plan) planIndexes(m *manifest, local *local) error {
	state, err := openState(p.r.cfg.StateDir, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		defer state.Close()
		left, err := state.leftovers(stateFiles...)
		if err != nil {
			return err
		}
		p.untidy = len(left) > 0
	}
	sums := p.contents()
	for _, x := range []*plannedIndex{
		{name: ShadowIndex, kind: shadowName, generation: p.r.indexGeneration(shadowKind, sums[shadowName])},
		{name: RosterIndex, kind: passwdName, generation: p.r.indexGeneration(rosterKind, sums[passwdName], sums[groupName])},
	} {
		x.gone = !p.r.cfg.Index || x.kind == shadowName && !p.has(shadowName)
		x.owner = p.r.owner(x.kind, local)
		x.had = m.Indexes[x.name]
		if state != nil {
			if x.was, err = state.inspectState(x.name); err != nil {
				return err
			}
		}
		x.right = x.check(x.was, x.had)
		p.indexes = append(p.indexes, x)
	}
	p.shut, err = p.r.shut(state, p.public())
	return err
}

// stateFiles are those of the state directory that are written here.
var stateFiles = []string{manifestName, RosterIndex, ShadowIndex, KeysFile}

// public reports whether the state directory has a file that others are to read.
func (p *Plan) public() bool { return p.r.cfg.Index || p.has(KeysFile) }

// has reports whether the plan has a file of a kind that shall exist.
func (p *Plan) has(kind string) bool {
	f := p.file(kind)
	return f != nil && !f.gone
}

// contents are those that the three files shall have.
func (p *Plan) contents() map[string]content {
	all := map[string]content{}
	if !p.r.cfg.Index {
		return all
	}
	kinds := []string{shadowName, groupName, passwdName}
	sums := make([]content, len(kinds))
	sum := func(i int) error {
		if f := p.file(kinds[i]); f != nil && !f.gone {
			sums[i] = f.contentNow()
		}
		return nil
	}
	_ = both(func() error { return sum(0) }, func() error { return errors.Join(sum(1), sum(2)) })
	for i, kind := range kinds {
		all[kind] = sums[i]
	}
	return all
}

// contentNow is content, but of a file that is right and was left as it is it is
// known already.
func (f *plannedFile) contentNow() content {
	if f.right && f.had.Written != nil && f.had.Placed == f.was.mark() {
		return *f.had.Written
	}
	return *f.content()
}

// indexGeneration is that of the index of files with these contents: it follows
// from them and from what else the index says.
func (r *Renderer) indexGeneration(kind int, of ...content) uint64 {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %d %d %d\n", indexMagic, indexVersion, kind, r.rules.min, r.rules.indexFlags())
	for _, c := range of {
		fmt.Fprintf(h, "%d %s\n", c.Size, c.SHA256)
	}
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// indexFlags are what a header says of the policy.
func (r *rules) indexFlags() uint32 {
	if r.min > roster.MinID || r.max != 0 || r.users() || r.byGroup() || r.rewrites() || r.renderGroups != RenderAll ||
		len(r.protected) > 0 || !r.anyShell {
		return flagRestricted
	}
	return 0
}

// weighAndLayOut weighs, and lays out the indexes that are to be written meanwhile,
// which takes as long.
func (p *Plan) weighAndLayOut(d *dir) error {
	return both(
		func() (err error) { p.effect, err = p.weigh(d); return err },
		func() (err error) {
			for _, x := range p.indexes {
				if !x.gone && !x.right && err == nil {
					x.image, err = x.layOut(p)
				}
			}
			return err
		})
}

// layOut lays the index out.
func (x *plannedIndex) layOut(p *Plan) (*indexImage, error) {
	o := indexOptions{generation: x.generation, least: p.r.rules.min, flags: p.r.rules.indexFlags()}
	lay := newRosterIndex
	if x.name == ShadowIndex {
		lay = newShadowIndex
	}
	image, err := lay(p.now, o)
	if err != nil {
		return nil, fmt.Errorf("lay out %s, which is a defect of pwb: %w", x.name, err)
	}
	return image, nil
}

// check reports whether an index, found as st, is the right one by what the
// manifest says of it.
func (x *plannedIndex) check(st stamp, had indexRecord) bool {
	if x.gone {
		return !st.exists
	}
	return x.owner.holds(st) && had.Placed == st.mark() && had.Written == x.text()
}

func (x *plannedIndex) text() string { return fmt.Sprintf("%016x", x.generation) }

// altered says how somebody else changed an index of ours; empty if nobody did.
func (x *plannedIndex) altered() string {
	switch {
	case x.right || x.gone || x.had.Written == "" || x.had.Intended != "" || x.had.Placed == x.was.mark():
		return ""
	case !x.was.exists:
		return "is gone"
	case !x.owner.holds(x.was):
		return fmt.Sprintf("has mode %#o and belongs to %d:%d", x.was.mode.Perm(), x.was.uid, x.was.gid)
	}
	return "is not as it was written"
}

// diff shows that an index is made anew; what it says follows from the files.
func (x *plannedIndex) diff(w io.Writer, dir string) error {
	if _, err := fmt.Fprintf(w, "--- %s\n", filepath.Join(dir, x.name)); err != nil {
		return err
	}
	if x.was.exists && !x.gone {
		if _, err := io.WriteString(w, " the index is made anew\n"); err != nil {
			return err
		}
	}
	return (&plannedFile{gone: x.gone, was: x.was, owner: x.owner}).diffRest(w, true)
}

// shut reports whether others cannot pass through the state directory, though they
// are to read an index or keys there.
func (r *Renderer) shut(state *dir, public bool) (bool, error) {
	if state == nil || !public {
		return false, nil
	}
	info, err := state.Stat(".")
	if err != nil {
		return false, fmt.Errorf("state directory %s: %w", state.path, err)
	}
	return info.Mode().Perm()&passable != passable, nil
}

// passable is what lets others reach a file by its name, and see no other.
const passable = 0o011

// unlock lets others pass through the state directory. What else lies in it has
// modes of its own.
func (r *Renderer) unlock(state *dir, public bool) error {
	is, err := r.shut(state, public)
	if err != nil || !is {
		return err
	}
	info, err := state.Stat(".")
	if err == nil {
		err = r.step("open state directory", func() error { return state.Chmod(".", info.Mode().Perm()|passable) })
	}
	if err != nil {
		return fmt.Errorf("let others pass through %s to %s and %s: %w; see who owns it", state.path, RosterIndex, KeysFile, err)
	}
	return nil
}

// indexesToWrite is which indexes are to be written or removed, seen anew.
func (p *Plan) indexesToWrite(state *dir, m *manifest) (todo []*plannedIndex, err error) {
	for _, x := range p.indexes {
		st, err := state.inspectState(x.name)
		if err != nil {
			return nil, err
		}
		if !x.check(st, m.Indexes[x.name]) {
			todo = append(todo, x)
		}
	}
	return todo, nil
}

// draftIndexes writes indexes beside their places.
func (p *Plan) draftIndexes(state *dir, todo []*plannedIndex) (drafts []*draft, err error) {
	for _, x := range todo {
		if x.gone {
			continue
		}
		image := x.image
		if image == nil {
			if image, err = x.layOut(p); err != nil {
				return drafts, err
			}
		}
		x.image = nil // which spares its memory
		dr, err := state.draftOf(x.name, x.owner, p.r.step, image.writeTo)
		if err != nil {
			return drafts, err
		}
		drafts = append(drafts, dr)
	}
	return drafts, nil
}

// removeIndexes removes those that shall be gone: all of them before the first file
// is replaced, since none is made for those, or that of shadow together with it.
func (p *Plan) removeIndexes(k *keeping, todo []*plannedIndex, now bool) error {
	for _, x := range todo {
		if !x.gone || now == p.r.cfg.Index {
			continue
		}
		if err := k.state.remove(x.name, p.r.step); err != nil {
			return err
		}
		delete(k.m.Indexes, x.name)
		k.noted = true
	}
	return nil
}

// intendIndex notes which index a commit is about to put in place.
func (m *manifest) intendIndex(x *plannedIndex) {
	r := m.Indexes[x.name]
	r.Intended = x.text()
	m.setIndex(x.name, r)
}

func (m *manifest) setIndex(name string, r indexRecord) {
	if m.Indexes == nil {
		m.Indexes = map[string]indexRecord{}
	}
	m.Indexes[name] = r
}

// noteIndexes notes the indexes that are in place.
func (p *Plan) noteIndexes(k *keeping, todo []*plannedIndex) error {
	for _, x := range todo {
		if x.gone {
			continue
		}
		st, err := k.state.inspectState(x.name)
		if err != nil {
			return err
		}
		k.m.setIndex(x.name, indexRecord{Written: x.text(), Placed: st.mark()})
		k.noted = true
	}
	return nil
}
