package altfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Mark tells the state of all that Plan looks at besides the rows: the policy
// and paths, the node's own files, the manifest, and the rendered files. It reads
// none of them: a change of any moves its ctime. While Mark returns the same, a
// plan of the same rows comes to the same end, provided that no file was as young
// as newest, the youngest ctime, when the first mark was taken: two changes in
// the same moment may leave the same times.
//
// It fails when something is in the way of Plan as far as that can be seen.
func (r *Renderer) Mark() (mark string, newest time.Time, err error) {
	d, err := openDir(r.cfg.Dir)
	if err != nil {
		return "", time.Time{}, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := r.checkApart(d); err != nil {
		return "", time.Time{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %q %q %v\n", os.Geteuid(), []string{string(r.cfg.Layout), r.cfg.Dir, r.cfg.StateDir, r.cfg.PasswdFile, r.cfg.GroupFile, r.cfg.ShadowGroup, fmt.Sprint(r.cfg.Index)}, d.path, r.rules.fingerprint(), d.id)
	note := func(name string, st stamp) {
		if changed := time.Unix(st.ctime.Unix()); st.exists && changed.After(newest) {
			newest = changed
		}
		fmt.Fprintf(h, "%s %+v\n", name, st)
	}
	for _, name := range r.cfg.Layout.names() {
		st, err := d.inspect(name)
		if err != nil {
			return "", time.Time{}, err
		}
		note(name, st)
	}
	if err := r.noteState(note, h); err != nil {
		return "", time.Time{}, err
	}
	for _, path := range r.local() {
		info, err := os.Stat(path)
		if err != nil {
			return "", time.Time{}, err
		}
		note(path, stampOf(info))
	}
	return hex.EncodeToString(h.Sum(nil)), newest, nil
}

// Paths are those of the files that Mark looks at, but for the manifest: the rendered
// ones, their indexes, the keys and the node's own.
func (r *Renderer) Paths() []string {
	all := append(r.local(), filepath.Join(r.cfg.StateDir, KeysFile))
	for _, name := range r.cfg.Layout.names() {
		all = append(all, filepath.Join(r.cfg.Dir, name))
	}
	if r.cfg.Index {
		all = append(all, filepath.Join(r.cfg.StateDir, RosterIndex), filepath.Join(r.cfg.StateDir, ShadowIndex))
	}
	return all
}

func (r *Renderer) local() []string { return []string{r.cfg.PasswdFile, r.cfg.GroupFile} }

// noteState looks at the state directory: at the manifest, the lookup indexes and the keys in
// it, and whether others can reach these. Its times say nothing.
func (r *Renderer) noteState(note func(string, stamp), h io.Writer) (err error) {
	state, err := openState(r.cfg.StateDir, false)
	if errors.Is(err, fs.ErrNotExist) {
		note(manifestName, stamp{})
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	public := r.cfg.Index
	for _, name := range stateFiles {
		st, err := state.inspectState(name)
		if err != nil {
			return err
		}
		note(name, st)
		public = public || name == KeysFile && st.exists
	}
	shut, err := r.shut(state, public)
	fmt.Fprintln(h, shut)
	return err
}

// fingerprint is the same for rules that decide the same.
func (r *rules) fingerprint() string {
	return fmt.Sprintf("%+v", *r) // maps are printed in the order of their keys
}
