package altfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"pwb/roster"
)

// PlanGeneration works out what it would change to put a generation back, byte
// for byte; indexes are made of its files. Effect, WriteDiff and Commit are those
// of any plan: Commit keeps what it replaces, and makes no new generation.
//
// It fails with a *NoGenerationError when that one is not kept, with a
// *DamagedError when its files are not what was written, and, if there is
// anything to write, when they do not pass the check that every rendering passes,
// by the policy and local files of today.
func (r *Renderer) PlanGeneration(number int64) (_ *Plan, err error) {
	d, err := r.openTarget()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	m, g, err := r.find(d, number)
	if err != nil {
		return nil, err
	}
	p := &Plan{r: r, dir: d.id, path: d.path, restores: g}
	if err := p.lookForLeftovers(d); err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, f := range r.cfg.Layout.files() {
		if f.kind != "" {
			names[f.kind] = f.name
		}
		c, ok := g.Files[names[f.kind+f.index]]
		f.gone = !ok
		if ours, err := f.look(d, m); err != nil {
			return nil, err
		} else if !ours {
			continue
		}
		if f.kind != "" && ok {
			if f.data, err = g.data(d, f.name, c); err != nil {
				return nil, err
			}
		}
		p.files = append(p.files, f)
	}
	var keys []byte
	c, keyed := g.Files[KeysFile]
	if keyed {
		if keys, err = g.data(d, KeysFile, c); err != nil {
			return nil, err
		}
	}
	if err := p.addKeysFile(d, m, keys, keyed); err != nil {
		return nil, err
	}
	return p, p.compare(d, m)
}

// find finds a generation.
func (r *Renderer) find(d *dir, number int64) (*manifest, *generation, error) {
	m, err := d.manifest()
	if err != nil {
		return nil, nil, err
	}
	if d.state != nil {
		m.recover(d, r.cfg.KeepGenerations)
	}
	if g := m.Memory.find(number); g != nil && g.Dir == d.path {
		return m, g, nil
	}
	return nil, nil, m.Memory.missing(number, d.path)
}

// compare works out what a plan of a generation would do.
func (p *Plan) compare(d *dir, m *manifest) error {
	local, err := readLocal(p.r.cfg.PasswdFile, p.r.cfg.GroupFile)
	if err != nil {
		return err
	}
	o := &rendering{}
	for _, f := range []struct {
		kind string
		data *[]byte
	}{{passwdName, &o.passwd}, {groupName, &o.group}, {shadowName, &o.shadow}, {KeysFile, &o.keys}} {
		if file := p.file(f.kind); file != nil {
			*f.data = file.data
		}
	}
	var unfit error
	if p.now, unfit = p.r.rules.verify(o, local); unfit != nil {
		// It passed when it was rendered, so at least these are lines.
		p.now = &verified{}
		for _, f := range []struct {
			data []byte
			to   **lines
		}{{o.passwd, &p.now.passwd}, {o.group, &p.now.group}, {o.shadow, &p.now.shadow}} {
			if *f.to, err = newLines(f.data); err != nil {
				return fmt.Errorf("generation %d: %w", p.restores.Number, err)
			}
		}
	}
	for i := range p.files {
		f := &p.files[i]
		f.owner = p.r.owner(f.kind+f.index, local)
		if f.index != "" && !f.gone {
			f.data = makeIndex(map[string]*lines{passwdName: p.now.passwd, groupName: p.now.group, shadowName: p.now.shadow}[f.index], f.key)
		}
		if f.right, err = f.check(d, f.was); err != nil {
			return err
		}
		if f.index != "" && !f.gone {
			f.right = f.right && p.fresh(f)
		}
	}
	if unfit != nil && p.filesChanged() {
		return fmt.Errorf("generation %d does not pass this node's check as policy and local files are now, and is not put back: %w", p.restores.Number, unfit)
	}
	if err := p.planIndexes(m, local); err != nil {
		return err
	}
	return p.weighAndLayOut(d)
}

// DamagedError says that a file of a generation is not what was written.
type DamagedError struct {
	Generation int64
	File       string // the path in the store
	Err        error
}

// Error says what is damaged.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("generation %d cannot be put back: %s is damaged: %v; choose another, see pwb-agent rollback --list", e.Generation, e.File, e.Err)
}

// Unwrap is the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

var errOtherBytes = errors.New("it is not what was written there")

// data is what the generation's file held: that in place if that is right, or
// the one in the store.
func (g *generation) data(d *dir, name string, c content) ([]byte, error) {
	if c.Size == 0 {
		return []byte{}, nil
	}
	state := d.state
	if st, err := d.find(name); err == nil && st.exists && st.size == c.Size {
		if data, err := d.of(name).read(name, st); err == nil && *contentOf(data) == c {
			return data, nil
		}
	}
	data, err := stored(state, c)
	if err != nil {
		return nil, &DamagedError{g.Number, filepath.Join(state.path, storeName, c.SHA256) + " (" + name + ")", err}
	}
	return data, nil
}

// stored is content from the store.
func stored(state *dir, c content) (_ []byte, err error) {
	store, err := openStore(state, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	st, err := store.inspect(c.SHA256)
	switch {
	case err != nil:
		return nil, err
	case !st.exists:
		return nil, fs.ErrNotExist
	case st.size != c.Size:
		return nil, errOtherBytes
	}
	data, err := store.read(c.SHA256, st)
	if err == nil && *contentOf(data) != c {
		err = errOtherBytes
	}
	return data, err
}

// Hold puts those files of a generation into the store that are there as files in
// place alone, durably: from then on what becomes of these is mended from it.
// It fails as PlanGeneration does.
func (r *Renderer) Hold(number int64) (err error) {
	d, err := r.openBoth()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	_, g, err := r.find(d, number)
	if err != nil {
		return err
	}
	state := d.state
	release, err := state.lock(lockName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	store, err := openStore(state, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for name, c := range g.Files {
		if _, err := stored(state, c); err == nil || c.Size == 0 {
			continue
		}
		data, err := g.data(d, name, c)
		if err != nil {
			return err
		}
		if err := store.put(c, data, r.step); err != nil {
			return fmt.Errorf("keep generation %d: %w", number, err)
		}
	}
	return nil
}

// Readmits tells whom a plan lets in: those who cannot log in with the files as
// they are, locked or without a line, and could afterwards; and those who can, and
// whose password would be another; and keys, of the names that get SSH keys which
// they have not. By name, in the order of the lines.
func (p *Plan) Readmits() (in, passwords, keys []string, err error) {
	d, err := p.r.openBoth()
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	if keys, err = p.keyedNames(d); err != nil {
		return nil, nil, nil, err
	}
	type entry struct {
		shell, shadowed, open bool
		hash                  string
	}
	now := map[string]*entry{}
	err = p.eachOldLine(d, passwdName, func(line []byte) error {
		if old, err := roster.ParsePasswd(string(line)); err == nil && now[old.Name] == nil {
			now[old.Name] = &entry{shell: !p.r.rules.refusesLogin(old.Shell), shadowed: old.Password == "x"}
		}
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	err = p.eachOldLine(d, shadowName, func(line []byte) error {
		if old, err := roster.ParseShadow(string(line)); err == nil {
			if e := now[old.Name]; e != nil && e.hash == "" {
				e.open, e.hash = p.r.open(old), old.Password
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range p.now.passwd.count() {
		account := p.newPasswd(i)
		if p.r.rules.refusesLogin(account.Shell) {
			continue
		}
		var shadow roster.Shadow
		if i < p.now.shadow.count() {
			if shadow, err = roster.ParseShadow(string(p.now.shadow.line(i))); err != nil || !p.r.open(shadow) {
				continue
			}
		}
		e := now[account.Name]
		switch {
		case e == nil || !e.shell || e.shadowed && !e.open:
			in = append(in, account.Name)
		case e.hash != shadow.Password:
			passwords = append(passwords, account.Name)
		}
	}
	return in, passwords, keys, nil
}
