package altfiles

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dir is an opened directory: no path that is used in it leads out of it.
type dir struct {
	*os.Root
	path string // absolute, without symbolic links
	id   inode
	// state is the state directory, beside that of the files: KeysFile lies there.
	// It is nil where it is not needed, or not there.
	state *dir
}

// of is the directory in which a file of a commit lies, or a temporary one of it; nil
// if there is none yet.
func (d *dir) of(name string) *dir {
	if name == KeysFile || strings.HasPrefix(name, tempPrefix(KeysFile)) {
		return d.state
	}
	return d
}

// pathOf is the path of a file in messages.
func (d *dir) pathOf(name string) string {
	if at := d.of(name); at != nil {
		return filepath.Join(at.path, name)
	}
	return name
}

// find is inspect for a file of a commit, wherever it lies.
func (d *dir) find(name string) (stamp, error) {
	switch at := d.of(name); at {
	case nil:
		return stamp{}, nil
	case d:
		return d.inspect(name)
	default:
		return at.inspectState(name)
	}
}

// closeAll closes the state directory, too.
func (d *dir) closeAll() error {
	err := d.Close()
	if d.state != nil {
		err = errors.Join(err, d.state.Close())
	}
	return err
}

// openBoth opens the directory of the files, and that of the state if it is there.
func (r *Renderer) openBoth() (*dir, error) {
	d, err := openDir(r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	if d.state, err = openState(r.cfg.StateDir, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// inode says which file or directory something is, whatever it holds.
type inode struct{ dev, ino uint64 }

// openDir opens a directory that root, or the user we are, owns and nobody else
// may write to. It fails with a *ForeignError where that does not hold: whoever
// may write there could put another file in the place of ours.
func openDir(path string) (*dir, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory %s: %w: create it with: install -d -m 0755 %s", path, err, path)
	}
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", path, err)
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", real, err)
	}
	d := &dir{Root: root, path: real}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("directory %s: %w", real, err), root.Close())
	}
	st := stampOf(info)
	switch {
	case st.uid != 0 && int(st.uid) != os.Geteuid():
		err = &ForeignError{real, fmt.Sprintf("belongs to uid %d", st.uid), "mend it with: chown root " + real + ", or choose another directory"}
	case st.mode.Perm()&0o022 != 0:
		err = &ForeignError{real, fmt.Sprintf("has mode %#o, others may write to it", st.mode.Perm()), "mend it with: chmod go-w " + real + ", or choose another directory"}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	d.id = st.inode
	return d, nil
}

// stamp tells one version of a file from every other: a change of its bytes, or
// of anything about it, moves its ctime. The zero stamp is that of no file.
type stamp struct {
	exists bool
	inode
	size         int64
	mtime, ctime unix.Timespec
	mode         fs.FileMode
	uid, gid     uint32
}

func stampOf(info fs.FileInfo) stamp {
	st := info.Sys().(*syscall.Stat_t)
	return stamp{
		exists: true,
		inode:  inode{uint64(st.Dev), st.Ino},
		size:   info.Size(),
		mtime:  unix.Timespec(st.Mtim),
		ctime:  unix.Timespec(st.Ctim),
		mode:   info.Mode(),
		uid:    st.Uid,
		gid:    st.Gid,
	}
}

// mark is a stamp as text, empty for no file.
func (st stamp) mark() string {
	if !st.exists {
		return ""
	}
	return fmt.Sprintf("%x:%x:%d:%d.%09d:%d.%09d:%o:%d:%d", st.dev, st.ino, st.size,
		st.mtime.Sec, st.mtime.Nsec, st.ctime.Sec, st.ctime.Nsec, uint32(st.mode), st.uid, st.gid)
}

// inspect looks at a file without opening it. It fails with a *ForeignError
// unless that is absent or a regular file with one name: a rename would do away
// with a link or a device that somebody made on purpose, and another name of
// the same file would keep old hashes alive.
func (d *dir) inspect(name string) (stamp, error) {
	info, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	path := filepath.Join(d.path, name)
	if err != nil {
		return stamp{}, fmt.Errorf("look at %s: %w", path, err)
	}
	why := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		if n := info.Sys().(*syscall.Stat_t).Nlink; n > 1 {
			why = fmt.Sprintf("has %d names (hard links)", n)
		}
	case mode&fs.ModeSymlink != 0:
		why = "is a symbolic link"
	case mode.IsDir():
		why = "is a directory"
	case mode&fs.ModeNamedPipe != 0:
		why = "is a named pipe"
	default:
		why = "is a device or a socket"
	}
	if why != "" {
		return stamp{}, &ForeignError{path, why, "move it away, or choose another directory (--dir)"}
	}
	return stampOf(info), nil
}

// inspectState is inspect for the state directory, where a file may have other names:
// whoever can make one there, with fs.protected_hardlinks 0, must not stop a pass by
// it. Nothing is lost, as files are replaced and never written to.
func (d *dir) inspectState(name string) (stamp, error) {
	if info, err := d.Lstat(name); err == nil && info.Mode().IsRegular() {
		return stampOf(info), nil
	}
	return d.inspect(name)
}

// open opens a file that inspect found, and fails with ErrStale if that is no
// longer the one.
func (d *dir) open(name string, was stamp) (*os.File, error) {
	path := filepath.Join(d.path, name)
	f, err := d.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrStale)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	info, err := f.Stat()
	if err == nil && stampOf(info) != was {
		err = fmt.Errorf("%s: %w", path, ErrStale)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// holds reports whether a file has just these bytes.
func (d *dir) holds(name string, was stamp, want []byte) (bool, error) {
	if !was.exists || was.size != int64(len(want)) {
		return false, nil
	}
	f, err := d.open(name, was)
	if err != nil {
		return false, err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if !bytes.HasPrefix(want, buf[:n]) {
			return false, nil
		}
		want = want[n:]
		if err == io.EOF {
			return len(want) == 0, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", filepath.Join(d.path, name), err)
		}
	}
}

// digest is the SHA-256 of a file.
func (d *dir) digest(name string, was stamp) (sum [sha256.Size]byte, err error) {
	f, err := d.open(name, was)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, fmt.Errorf("read %s: %w", filepath.Join(d.path, name), err)
	}
	h.Sum(sum[:0])
	return sum, nil
}
