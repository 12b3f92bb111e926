package setup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the node's file system below a root.
type tree struct {
	root string
	// step runs each step of a write; tests break steps with it.
	step func(name string, op func() error) error
}

func (t *tree) run(name string, op func() error) error {
	if t.step != nil {
		return t.step(name, op)
	}
	return op()
}

// path is where a path of the node lies, without symbolic links in its directory. It
// fails when these lead out of the root: an absolute link in an image leads into the
// system that builds it.
func (t *tree) path(name string) (string, error) {
	full := filepath.Join(t.root, name)
	dir, err := realDir(filepath.Dir(full))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	root, err := filepath.EvalSymlinks(t.root)
	if err != nil {
		return "", fmt.Errorf("root: %w", err)
	}
	if in, err := filepath.Rel(root, dir); err != nil || in == ".." || strings.HasPrefix(in, "../") {
		return "", fmt.Errorf("%s leads to %s, out of the root %s: make the symbolic link in it a relative one", name, dir, t.root)
	}
	return filepath.Join(dir, filepath.Base(full)), nil
}

// realDir is a directory without symbolic links, as far as it exists.
func realDir(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path {
		return real, err
	}
	parent, err := realDir(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// exists reports whether there is anything by that name.
func (t *tree) exists(name string) bool {
	_, err := os.Stat(filepath.Join(t.root, name))
	return err == nil
}

// status is what is at a path.
type status struct {
	Exists   bool        `json:"exists"`
	Mode     fs.FileMode `json:"mode,omitempty"` // permissions, set-id and sticky bits
	UID      int         `json:"uid"`
	GID      int         `json:"gid"`
	Modified time.Time   `json:"modified,omitzero"`
	dir      bool
}

const maxFile = 1 << 20

// look returns what is at a path, and of a regular file its content. Anything else
// but a directory is refused, symbolic links too: somebody else manages what they
// lead to.
func (t *tree) look(name string) (st status, content string, err error) {
	path, err := t.path(name)
	if err != nil {
		return st, "", err
	}
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return st, "", nil
	}
	if err != nil {
		return st, "", err
	}
	var raw unix.Stat_t
	if err := unix.Lstat(path, &raw); err != nil {
		return st, "", fmt.Errorf("look at %s: %w", path, err)
	}
	st = status{Exists: true, Mode: fi.Mode() & permissions, UID: int(raw.Uid), GID: int(raw.Gid), Modified: fi.ModTime(), dir: fi.IsDir()}
	switch {
	case fi.IsDir():
		return st, "", nil
	case fi.Mode()&fs.ModeSymlink != 0:
		to, _ := os.Readlink(path) // it is only named
		return st, "", fmt.Errorf("%s is a symbolic link to %s, which something else manages: edit what that is made from, and leave this part out here", name, to)
	case !fi.Mode().IsRegular():
		return st, "", fmt.Errorf("%s is not a regular file", name)
	case fi.Size() > maxFile:
		return st, "", fmt.Errorf("%s has more than %d bytes: see whether it is the right file", name, maxFile)
	}
	data, err := os.ReadFile(path)
	return st, string(data), err
}

const permissions = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// write puts content in place of what is at the path, whole or not at all, durably,
// with this mode and owner and the SELinux label of what was there; an owner of -1 is
// whoever runs this. With a time, that is the file's.
func (t *tree) write(name, content string, st status) (err error) {
	path, err := t.path(name)
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), tempPrefix+rand.Text())
	defer func() {
		if err != nil {
			_ = os.Remove(temp) // it is there only if the rename has not been
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // after a failure; the step below closes it in good time
	for _, op := range []func() error{
		func() error { return f.Chown(st.UID, st.GID) },
		func() error { return f.Chmod(st.Mode) },
		func() error { return copyLabel(path, f) },
		func() error { _, err := f.WriteString(content); return err },
		f.Sync,
		f.Close,
		func() error {
			if st.Modified.IsZero() {
				return nil
			}
			return os.Chtimes(temp, time.Now(), st.Modified)
		},
	} {
		if err := op(); err != nil {
			return err
		}
	}
	if err := t.run("write "+name, func() error { return os.Rename(temp, path) }); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// tempPrefix begins the names of files that are not complete.
const tempPrefix = ".pwb-setup-"

// remove removes a file durably; one that is not there is no error.
func (t *tree) remove(name string) error {
	path, err := t.path(name)
	if err != nil {
		return err
	}
	err = t.run("remove "+name, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// mode changes a path's mode and owner.
func (t *tree) mode(name string, st status) error {
	path, err := t.path(name)
	if err != nil {
		return err
	}
	return t.run("mode "+name, func() error {
		return errors.Join(os.Lchown(path, st.UID, st.GID), os.Chmod(path, st.Mode))
	})
}

func (t *tree) mkdir(name string, mode fs.FileMode) error {
	path, err := t.path(name)
	if err != nil {
		return err
	}
	err = t.run("mkdir "+name, func() error { return os.Mkdir(path, mode) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(os.Chmod(path, mode), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

const labelAttr = "security.selinux"

// copyLabel gives f the SELinux label of the file at path, if there are any labels.
func copyLabel(path string, f *os.File) error {
	label := make([]byte, 4096)
	n, err := unix.Lgetxattr(path, labelAttr, label)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
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
