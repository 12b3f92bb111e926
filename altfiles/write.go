package altfiles

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hook runs a step of a commit. Tests break steps with it; elsewhere it is
// runStep.
type hook func(step string, op func() error) error

func runStep(_ string, op func() error) error { return op() }

// owner is whom a file belongs to and who may read it. An id of -1 is left as
// the kernel made it.
type owner struct {
	uid, gid int
	perm     fs.FileMode
}

// holds reports whether a file has this owner and mode already.
func (o owner) holds(st stamp) bool {
	return st.exists && st.mode == o.perm && (o.uid < 0 || int(st.uid) == o.uid) && (o.gid < 0 || int(st.gid) == o.gid)
}

// draft is a file that is complete and durable, but not yet in its place.
type draft struct {
	dir        *dir
	name, temp string
	step       hook
	published  bool // it is in its place, though perhaps not durably
	// old is the digest under which what it replaces is to be kept, empty if it is
	// not. swapped says that this has the temporary name now; instead, where files
	// cannot be exchanged, is called first.
	old     string
	swapped bool
	instead func()
}

// tempPrefix begins the names of all temporary files for name.
func tempPrefix(name string) string { return ".pwb-" + name + "." }

// draft writes a temporary file beside name and makes it durable. When it fails
// the temporary file is gone again.
func (d *dir) draft(name string, data []byte, own owner, step hook) (*draft, error) {
	return d.draftOf(name, own, step, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// draftOf is draft for what write writes.
func (d *dir) draftOf(name string, own owner, step hook, write func(io.Writer) error) (_ *draft, err error) {
	dr := &draft{dir: d, name: name, temp: tempPrefix(name) + rand.Text(), step: step}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", dr.tempPath(), err), dr.discard())
		}
	}()
	var f *os.File
	err = step("create "+name, func() (err error) {
		// Nobody else may read it before it has its owner and mode.
		f, err = d.OpenFile(dr.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		return err
	})
	if f != nil {
		defer f.Close() // after a failure; the step below closes it in good time
	}
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		what string
		op   func() error
	}{
		{"chown", func() error { return f.Chown(own.uid, own.gid) }},
		{"chmod", func() error { return f.Chmod(own.perm) }},
		{"label", func() error { return d.copyLabel(name, f) }},
		{"write", func() error { return write(f) }},
		{"sync", f.Sync},
		{"close", f.Close},
	} {
		if err := step(s.what+" "+name, s.op); err != nil {
			return nil, err
		}
	}
	return dr, nil
}

// publish puts the file in its place and makes that durable. When it fails,
// either version may be in place, each whole.
func (dr *draft) publish() error {
	err := dr.step("rename "+dr.name, dr.rename)
	if err != nil {
		return fmt.Errorf("replace %s: %w", filepath.Join(dr.dir.path, dr.name), err)
	}
	dr.published = true
	return dr.dir.sync(dr.name, dr.step)
}

// rename puts the file in its place. What it replaces takes its temporary name if
// it is to be kept: in one step, so that at no time the file has two names or none.
func (dr *draft) rename() error {
	if dr.old != "" {
		err := dr.dir.exchange(dr.temp, dr.name)
		if !errors.Is(err, errNoExchange) {
			dr.swapped = err == nil
			return err
		}
		dr.instead()
	}
	return dr.dir.Rename(dr.temp, dr.name)
}

// discard removes the temporary file, if it is still there.
func (dr *draft) discard() error {
	if err := dr.dir.Remove(dr.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", dr.tempPath(), err)
	}
	return nil
}

func (dr *draft) tempPath() string { return filepath.Join(dr.dir.path, dr.temp) }

// sync makes a change of name's entry in the directory durable.
func (d *dir) sync(name string, step hook) error {
	f, err := d.Open(".")
	if err != nil {
		return fmt.Errorf("directory %s: %w", d.path, err)
	}
	defer f.Close()
	if err := step("sync directory after "+name, f.Sync); err != nil {
		return fmt.Errorf("sync directory %s: %w", d.path, err)
	}
	return nil
}

const labelAttr = "security.selinux"

// copyLabel gives f the SELinux label of the file that it will replace: a new
// file has that of its directory, and by the time that restorecon(8) came
// lookups would have failed. Without a label, or without SELinux, there is
// nothing to do.
func (d *dir) copyLabel(name string, f *os.File) error {
	old, err := d.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	label := make([]byte, 4096)
	n, err := unix.Fgetxattr(int(old.Fd()), labelAttr, label)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err == nil {
		err = unix.Fsetxattr(int(f.Fd()), labelAttr, label[:n], 0)
	}
	if err != nil {
		return fmt.Errorf("SELinux label: %w", err)
	}
	return nil
}

// leftovers are the temporary files that a killed commit left for name.
func (d *dir) leftovers(names ...string) ([]string, error) {
	f, err := d.Open(".")
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", d.path, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", d.path, err)
	}
	var left []string
	for _, e := range entries {
		for _, name := range names {
			random, ok := strings.CutPrefix(e.Name(), tempPrefix(name))
			if ok && e.Type().IsRegular() && len(random) == len(rand.Text()) && strings.Trim(random, base32Digits) == "" {
				left = append(left, e.Name())
			}
		}
	}
	return left, nil
}

// base32Digits are what rand.Text is made of.
const base32Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// sweep removes leftovers. Only who holds the lock may: they might be at work.
func (d *dir) sweep(left []string, step hook) error {
	for _, name := range left {
		if err := step("remove leftover", func() error { return d.Remove(name) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s, left by a pass that was killed: %w", filepath.Join(d.path, name), err)
		}
	}
	return nil
}

// lock keeps other processes from committing until it is released, by the call
// or by the end of the process. It fails with ErrBusy at once.
func (d *dir) lock(name string) (release func() error, err error) {
	path := filepath.Join(d.path, name)
	f, err := d.OpenFile(name, os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w, it holds %s: let it finish and run again", ErrBusy, path)
	} else if err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
