package altfiles

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"pwb/roster"
)

// Out returns those of leavers who are not let in by the files as they are now:
// neither the name nor the number has an account that can log in, in the rendered
// files or, whatever its state, in the node's own passwd. Order stays.
//
// It fails when it cannot tell; a rendered passwd that is not there says nothing
// of anybody.
func (r *Renderer) Out(leavers []roster.Leaver) (out []roster.Leaver, err error) {
	d, err := openDir(r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	names, uids := map[string][]int{}, map[uint32][]int{}
	for i, l := range leavers {
		names[l.Name], uids[l.UID] = append(names[l.Name], i), append(uids[l.UID], i)
	}
	in := make([]bool, len(leavers))
	letIn := func(line roster.Passwd) {
		for _, i := range slices.Concat(names[line.Name], uids[line.UID]) {
			in[i] = true
		}
	}
	// Their own, or those of the same number; by name, until shadow has spoken.
	waiting := map[string]roster.Passwd{}
	err = r.eachLineNow(d, passwdName, func(line []byte) {
		p, err := roster.ParsePasswd(string(line))
		if err != nil || len(names[p.Name]) == 0 && len(uids[p.UID]) == 0 || r.rules.refusesLogin(p.Shell) {
			return
		}
		if _, again := waiting[p.Name]; p.Password == "x" && !again {
			waiting[p.Name] = p
		} else if p.Password != "x" {
			letIn(p)
		}
	})
	if err != nil {
		return nil, err
	}
	if len(waiting) > 0 {
		err = r.eachLineNow(d, shadowName, func(line []byte) {
			p, ok := waiting[string(nameOf(line))]
			if !ok {
				return
			}
			if s, err := roster.ParseShadow(string(line)); err == nil && r.open(s) {
				letIn(p)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	local, err := readLocal(r.cfg.PasswdFile, r.cfg.GroupFile)
	if err != nil {
		return nil, err
	}
	for i, l := range leavers {
		if !in[i] && !local.has(l) {
			out = append(out, l)
		}
	}
	return out, nil
}

// eachLineNow calls do with each line of one of the rendered files as it is now.
func (r *Renderer) eachLineNow(d *dir, kind string, do func(line []byte)) error {
	files := r.cfg.Layout.files()
	name := files[slices.IndexFunc(files, func(f plannedFile) bool { return f.kind == kind })].name
	f, err := d.Open(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(d.path, name), err)
	}
	defer f.Close()
	return eachLine(f, filepath.Join(d.path, name), func(line []byte) error { do(line); return nil })
}
