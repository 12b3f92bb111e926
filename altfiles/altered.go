package altfiles

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
)

// Altered says of each file that Commit would put right how somebody else changed
// it since it was written here, in a few words: "/usr/lib/passwd is gone". What
// only the roster, the policy or the node's own files changed is not among them.
//
// It reads files that were touched since, and fails with ErrStale if they changed
// after the plan was made.
func (p *Plan) Altered() (all []string, err error) {
	d, err := p.r.openBoth()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	for i := range p.files {
		f := &p.files[i]
		if f.right || f.gone || f.had.Written == nil {
			continue
		}
		how, err := f.altered(d)
		if err != nil {
			return nil, err
		}
		if how != "" {
			all = append(all, d.pathOf(f.name)+" "+how)
		}
	}
	for _, x := range p.indexes {
		if how := x.altered(); how != "" {
			all = append(all, filepath.Join(p.r.cfg.StateDir, x.name)+" "+how)
		}
	}
	return all, nil
}

// altered says how the file differs from what was left there; empty if it does not.
func (f *plannedFile) altered(d *dir) (string, error) {
	switch {
	case !f.was.exists:
		return "is gone", nil
	case f.had.Placed == f.was.mark():
		return "", nil
	case f.was.size != f.had.Written.Size && (f.had.Intended == nil || f.was.size != f.had.Intended.Size):
		return fmt.Sprintf("has %d bytes in place of %d", f.was.size, f.had.Written.Size), nil
	}
	sum, err := d.of(f.name).digest(f.name, f.was)
	if err != nil {
		return "", err
	}
	digest := hex.EncodeToString(sum[:])
	if digest != f.had.Written.SHA256 && (f.had.Intended == nil || digest != f.had.Intended.SHA256) {
		return "holds something else", nil
	}
	if !f.owner.holds(f.was) {
		return fmt.Sprintf("has mode %#o and belongs to %d:%d", f.was.mode.Perm(), f.was.uid, f.was.gid), nil
	}
	return "", nil
}
