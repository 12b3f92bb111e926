package pam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// Homes makes homes, and archives those of who left.
type Homes struct {
	// Root is "/", but for tests.
	Root string
	// Skel is the directory that new homes are copies of; empty for none.
	Skel string
	// Umask is taken off the mode of all that is copied.
	Umask uint32
	// WorkDir holds the lock; it is made for root alone.
	WorkDir string
	// ArchiveDir is where homes of who left are put, see Archive.
	ArchiveDir string
	// Label, which may be nil, sets the SELinux label of a home that was made.
	Label func(ctx context.Context, home string) error
	// Tell, which may be nil, tells whoever logs in something that is no failure.
	Tell func(string)
	Log  *slog.Logger

	// step is called before each step by tests, which end the process there.
	step func(string)
}

// buildPrefix begins the names of homes under way, beside their places.
const buildPrefix = ".pwb-"

func (h *Homes) at(step string) {
	if h.step != nil {
		h.step(step)
	}
}

// Make makes the home of an account if it is not there. What is there belongs to the
// account, or is left alone and refused with a *Refusal: a home is never made through
// a link, nor where others than root could have put one. It is complete, with its
// owner and mode, when it appears in its place; of two logins at once one makes it.
// When it fails nothing is left but, where the process was killed, a hidden directory
// for root alone or for the account, which the next one that is made removes.
func (h *Homes) Make(ctx context.Context, p roster.Passwd) error {
	if done, err := h.there(p); done || err != nil {
		return err
	}
	if err := roster.CheckHome(p.Home); err != nil {
		return refuse(err.Error(), "The home %s of %s cannot be made there.", p.Home, p.Name)
	}
	if err := roster.CheckNumber(p.UID); err != nil {
		return refuse(err.Error(), "No home is made for uid %d.", p.UID)
	}
	lock, err := h.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if done, err := h.there(p); done || err != nil { // of another login
		return err
	}
	parent, err := h.parent(path.Dir(p.Home))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := h.make(ctx, lock, parent, p); err != nil {
		say := "The home %s of %s could not be made. Please ask your administrator."
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			say = "There is no room on the disk for the home %s of %s. Please ask your administrator."
		}
		var refusal *Refusal
		if errors.As(err, &refusal) {
			return err
		}
		return refuse(fmt.Sprintf("make the home %s: %v", p.Home, err), say, p.Home, p.Name)
	}
	if h.Label != nil {
		if err := h.Label(ctx, p.Home); err != nil {
			h.Log.Error("the new home has not got its SELinux label; run restorecon -R on it", "home", p.Home, "error", err)
		}
	}
	h.Log.Info("made a home", "home", p.Home, "user", p.Name, "uid", p.UID)
	return nil
}

// there reports whether the home is there, in whatever way an administrator put it.
func (h *Homes) there(p roster.Passwd) (bool, error) {
	var st unix.Stat_t
	err := unix.Stat(filepath.Join(h.Root, p.Home), &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, refuse(fmt.Sprintf("look at the home %s: %v", p.Home, err), "The home %s of %s cannot be reached. Please ask your administrator.", p.Home, p.Name)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return false, refuse("the home "+p.Home+" is no directory", "The home %s of %s is not a directory. Please ask your administrator.", p.Home, p.Name)
	case st.Uid != p.UID:
		return false, refuse(fmt.Sprintf("the home %s belongs to uid %d, not to %d; chown it, or give the account another home", p.Home, st.Uid, p.UID),
			"The home %s belongs to somebody else. Please ask your administrator.", p.Home)
	}
	return true, nil
}

// lock keeps others from making homes until it is closed. It is none that users could
// hold. What is under way is noted in it, see sweep.
func (h *Homes) lock() (*os.File, error) {
	if err := makePrivateDir(h.WorkDir); err != nil {
		return nil, fmt.Errorf("lock the making of homes: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(h.WorkDir, "homes.lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the making of homes: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the making of homes: %w", err), f.Close())
	}
	return f, nil
}

// parent opens the directory that a home is to lie in. From the root on, none of what
// leads there may be a link, or of others than root, or writable for them: else
// somebody could lead root elsewhere.
func (h *Homes) parent(dir string) (fd int, err error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at, err := unix.Open(h.Root, flags, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: h.Root, Err: err}
	}
	so := "/"
	for _, name := range strings.Split(strings.Trim(dir, "/"), "/") {
		if name == "" {
			continue
		}
		so = path.Join(so, name)
		next, err := unix.Openat(at, name, flags, 0)
		unix.Close(at)
		switch {
		case errors.Is(err, unix.ENOENT):
			return -1, refuse(so+" is not there; make it, owned by root and with mode 0755", "There is no directory %s for homes. Please ask your administrator.", so)
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return -1, refuse(so+" is a link or no directory; set home-pattern in agent.yaml to the place itself", "No home is made in %s, which is not a directory. Please ask your administrator.", so)
		case err != nil:
			return -1, &os.PathError{Op: "open", Path: so, Err: err}
		}
		at = next
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil {
			unix.Close(at)
			return -1, &os.PathError{Op: "stat", Path: so, Err: err}
		}
		if st.Uid != 0 || st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && st.Gid != 0 {
			unix.Close(at)
			return -1, refuse(fmt.Sprintf("%s belongs to %d:%d with mode %04o, so that others than root may write to it; run chown root and chmod go-w on it", so, st.Uid, st.Gid, st.Mode&0o7777),
				"No home is made in %s, which others may write to. Please ask your administrator.", so)
		}
	}
	// To read it and sync it; "." is what was looked at.
	fd, err = unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	unix.Close(at)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}

// make builds the home beside its place and renames it there.
func (h *Homes) make(ctx context.Context, lock *os.File, parent int, p roster.Passwd) error {
	base := path.Base(p.Home)
	if strings.HasPrefix(base, buildPrefix) {
		return refuse("homes under way have such names", "The home %s has a name that no home may have. Please ask your administrator.", p.Home)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return refuse(p.Home+" is a link that leads nowhere", "The home %s of %s is not a directory. Please ask your administrator.", p.Home, p.Name)
	} else if !errors.Is(err, unix.ENOENT) {
		return err
	}
	h.at("sweep")
	h.sweep(lock, parent)
	if kept := h.archived(p.UID); kept != "" {
		h.Log.Warn("a new home is made though an old one is in the archive; move it back if it is the same person's", "uid", p.UID, "archived", kept)
		if h.Tell != nil {
			h.Tell("Your former home was archived, and this is a new one. Ask your administrator for " + kept + ".")
		}
	}
	build, err := randomName(p.Name)
	if err != nil {
		return err
	}
	h.at("note")
	if err := note(lock, path.Join(path.Dir(p.Home), build)); err != nil {
		return err
	}
	h.at("mkdir")
	if err := unix.Mkdirat(parent, build, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: build, Err: err}
	}
	err = h.fill(ctx, parent, build, p)
	if err == nil {
		h.at("rename")
		err = renameNew(parent, build, base)
	}
	if err != nil {
		if gone := removeAll(parent, build, 0); gone != nil {
			h.Log.Warn("what was made of a home stays until the next one is made", "directory", path.Join(path.Dir(p.Home), build), "error", gone)
		}
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) { // another node on the same file system
			if done, why := h.there(p); done || why != nil {
				return why
			}
		}
		return err
	}
	h.at("sync")
	return unix.Fsync(parent)
}

// fill copies the skeleton into the directory under way, and gives it away last.
func (h *Homes) fill(ctx context.Context, parent int, build string, p roster.Passwd) error {
	dir, err := unix.Openat(parent, build, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: build, Err: err}
	}
	defer unix.Close(dir)
	if err := h.copySkel(ctx, dir, p); err != nil {
		return err
	}
	h.at("chown")
	if err := unix.Fchown(dir, int(p.UID), int(p.GID)); err != nil {
		return &os.PathError{Op: "chown", Path: build, Err: err}
	}
	h.at("chmod")
	if err := unix.Fchmod(dir, 0o777&^h.Umask); err != nil {
		return &os.PathError{Op: "chmod", Path: build, Err: err}
	}
	return unix.Fsync(dir)
}

// renameNew renames within a directory, onto nothing. NFS knows no such rename; what
// is there then is at most an empty directory that another node made in this moment.
func renameNew(dir int, from, to string) error {
	err := unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, to, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: unix.EEXIST}
		} else if !errors.Is(err, unix.ENOENT) {
			return err
		}
		err = unix.Renameat(dir, from, dir, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
