package altfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"pwb/roster"
)

// Commit writes what the plan changes: the keys first, then the index of shadow and
// shadow, then group, then passwd, then their index, each by a rename, so that a reader sees the
// old file or the new one. All are
// complete and durable beside their targets before the first is renamed, and
// the manifest claims them by then. A file whose bytes, mode and owner are
// right is not touched; if all are, nothing is.
//
// When it fails before the first rename, nothing has changed. The error says
// otherwise which files are new; the next Plan and Commit repair what is
// missing. Temporary files of a pass that was killed are removed.
//
// What it replaces is kept as a part of a generation, of the roster at the
// position at, unless somebody else wrote it. That this failed is no failure of
// the commit; NotKept tells.
//
// It fails with ErrBusy when another process commits, with ErrStale when the
// files are neither those that were planned against nor already as they shall
// be, and with a *ForeignError when something else is in their place.
func (p *Plan) Commit(at roster.Position) (err error) {
	if slices.ContainsFunc(p.files, func(f plannedFile) bool { return !f.right && f.kind != KeysFile }) || p.unswept {
		if err := p.checkWritable(); err != nil {
			return err
		}
	}
	state, err := openState(p.r.cfg.StateDir, p.Changed())
	if errors.Is(err, fs.ErrNotExist) && !p.Changed() {
		return nil // three empty files that shall be empty
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	release, err := state.lock(lockName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	d, err := openDir(p.r.cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if d.id != p.dir {
		return fmt.Errorf("directory %s: %w: plan again", d.path, ErrStale)
	}
	d.state = state
	m, err := readManifest(state)
	if err != nil {
		return err
	}
	k := &keeping{p: p, state: state, d: d, m: m}
	defer func() { p.notKept = errors.Join(k.failed...) }()
	if err := p.sweep(k); err != nil {
		return err
	}
	todo, err := p.todo(d, m)
	if err != nil {
		return err
	}
	indexes, err := p.indexesToWrite(state, m)
	if err != nil {
		return err
	}
	return p.write(k, todo, indexes, at)
}

// NotKept is why a part of what the last Commit replaced is not kept, so that
// its generation cannot be put back; nil if nothing of the kind happened.
func (p *Plan) NotKept() error { return p.notKept }

// sweep removes what killed passes left in both directories, once it has kept
// what they had replaced.
func (p *Plan) sweep(k *keeping) error {
	left, err := k.d.leftovers(p.r.cfg.Layout.names()...)
	if err != nil {
		return err
	}
	k.recovered = k.m.recover(k.d, p.r.cfg.KeepGenerations)
	if err := k.d.sweep(k.salvage(k.d, left), p.r.step); err != nil {
		return err
	}
	if left, err = k.state.leftovers(stateFiles...); err != nil {
		return err
	}
	return k.state.sweep(k.salvage(k.state, left), p.r.step)
}

// todo is which files are to be written, seen anew: time has passed since the
// plan was made.
func (p *Plan) todo(d *dir, m *manifest) ([]*plannedFile, error) {
	var todo []*plannedFile
	for i := range p.files {
		f := &p.files[i]
		st, err := d.find(f.name)
		if err != nil {
			return nil, err
		}
		right := f.right
		if st != f.was {
			if right, err = f.check(d, st); err != nil {
				return nil, err
			}
			if !right {
				return nil, fmt.Errorf("%s: %w: plan again", d.pathOf(f.name), ErrStale)
			}
		}
		if right {
			continue
		}
		if err := m.checkOurs(d, f.name, st); err != nil {
			return nil, err
		}
		todo = append(todo, f)
	}
	return p.withIndexes(todo), nil
}

// write does the work: claim, draft, publish, settle. An index is put in place with
// what it is of: that of shadow before all but the keys, that of passwd and group
// behind all.
func (p *Plan) write(k *keeping, todo []*plannedFile, indexes []*plannedIndex, at roster.Position) (err error) {
	state, d, m := k.state, k.d, k.m
	if err := p.r.unlock(state, p.public()); err != nil {
		return err
	}
	if len(todo) == 0 && len(indexes) == 0 {
		return p.settle(k)
	}
	if len(todo) > 0 {
		k.begin(at)
	}
	var drafts, lookups []*draft
	defer func() {
		all := inOrder(drafts, lookups)
		if err != nil {
			err = partly(err, all)
			k.take(drafts)
		}
		for _, dr := range all {
			err = errors.Join(err, dr.discard())
		}
	}()
	err = p.r.beside(
		func() (err error) { drafts, err = p.draftFiles(k, todo); return err },
		func() (err error) { lookups, err = p.draftIndexes(state, indexes); return err },
	)
	if err != nil {
		return err
	}
	for _, f := range todo {
		if !f.gone {
			m.intend(d, f)
		}
	}
	for _, x := range indexes {
		if !x.gone {
			m.intendIndex(x)
		}
	}
	if err := m.write(state, p.r.step); err != nil {
		return err
	}
	if err := p.removeGone(k, todo, true); err != nil {
		return err
	}
	if err := p.removeIndexes(k, indexes, true); err != nil {
		return err
	}
	if err := p.dropIndexes(d, todo); err != nil {
		return err
	}
	for _, dr := range inOrder(drafts, lookups) {
		if err := dr.publish(); err != nil {
			return err
		}
	}
	if err := p.removeGone(k, todo, false); err != nil {
		return err
	}
	if err := p.removeIndexes(k, indexes, false); err != nil {
		return err
	}
	k.take(drafts)
	if err := p.noteIndexes(k, indexes); err != nil {
		return err
	}
	if err := p.settle(k); err != nil {
		return err
	}
	k.prune()
	return nil
}

// removeGone removes files that shall be gone: keys before the first file is replaced,
// others behind the last.
func (p *Plan) removeGone(k *keeping, todo []*plannedFile, first bool) error {
	for _, f := range todo {
		if !f.gone || first != (f.kind == KeysFile) {
			continue
		}
		if sum := k.old(f); sum != "" {
			k.copyFirst(f.name, sum)
		}
		if err := k.d.of(f.name).remove(f.name, p.r.step); err != nil {
			return err
		}
	}
	return nil
}

// draftFiles writes files beside their places.
func (p *Plan) draftFiles(k *keeping, todo []*plannedFile) (drafts []*draft, err error) {
	for _, f := range todo {
		if f.gone {
			continue
		}
		dr, err := k.d.of(f.name).draft(f.name, f.data, f.owner, p.r.step)
		if err != nil {
			return drafts, err
		}
		drafts = append(drafts, dr)
		dr.old, dr.instead = k.old(f), func() { k.copyFirst(dr.name, dr.old) }
		if err := p.freshen(k.d, f, dr); err != nil {
			return drafts, err
		}
	}
	return drafts, nil
}

// inOrder is the order in which all are put in place.
func inOrder(drafts, lookups []*draft) (all []*draft) {
	if len(drafts) > 0 && drafts[0].name == KeysFile {
		all, drafts = append(all, drafts[0]), drafts[1:]
	}
	for _, dr := range lookups {
		if dr.name == ShadowIndex {
			all = append(all, dr)
		}
	}
	all = append(all, drafts...)
	for _, dr := range lookups {
		if dr.name != ShadowIndex {
			all = append(all, dr)
		}
	}
	return all
}

// partly says which files are new although an error came.
func partly(err error, drafts []*draft) error {
	var done []string
	for _, dr := range drafts {
		if dr.published {
			done = append(done, dr.name)
		}
	}
	if len(done) == 0 {
		return err
	}
	return fmt.Errorf("%w (new already: %s; the next pass does the rest)", err, strings.Join(done, ", "))
}

// remove removes a file durably.
func (d *dir) remove(name string, step hook) error {
	if err := step("remove "+name, func() error { return d.Remove(name) }); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Join(d.path, name), err)
	}
	return d.sync(name, step)
}

// settle notes in the manifest that what was intended is written, also for a
// pass that was killed just before it could. Most times there is nothing to do.
func (p *Plan) settle(k *keeping) error {
	d, m := k.d, k.m
	change := k.recovered || k.noted || m.Memory.Next != nil
	for i := range p.files {
		f := &p.files[i]
		r := m.record(d, f.name)
		switch {
		case f.gone && r != (record{}):
			m.set(d, f.name, record{})
		case r.Intended != nil:
			st, err := d.find(f.name)
			if err != nil {
				return err
			}
			m.set(d, f.name, record{Written: f.content(), Placed: st.mark()})
		default:
			continue
		}
		change = true
	}
	if !change {
		return nil
	}
	k.settle()
	return m.write(k.state, p.r.step)
}
