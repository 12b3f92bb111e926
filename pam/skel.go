package pam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// Bounds on a skeleton. One beyond them is a mistake, and would be one in every home.
const (
	maxSkelEntries = 4096
	maxSkelBytes   = 64 << 20
	maxSkelDepth   = 16
)

// copying is a skeleton on its way into a home.
type copying struct {
	homes   *Homes
	ctx     context.Context
	p       roster.Passwd
	entries int
	bytes   int64
}

// copySkel copies the skeleton, if there is one, into an open directory. It must be
// root's alone. Links are copied as they are, and lead nobody anywhere here; set-id
// bits are dropped; devices, sockets and pipes are an error.
func (h *Homes) copySkel(ctx context.Context, into int, p roster.Passwd) error {
	if h.Skel == "" {
		return nil
	}
	skel, err := unix.Open(h.Skel, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: h.Skel, Err: err}
	}
	defer unix.Close(skel)
	var st unix.Stat_t
	if err := unix.Fstat(skel, &st); err != nil {
		return &os.PathError{Op: "stat", Path: h.Skel, Err: err}
	}
	if st.Uid != 0 || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s belongs to uid %d with mode %04o, so that others than root may write to it; run chown root and chmod go-w on it", h.Skel, st.Uid, st.Mode&0o7777)
	}
	return (&copying{homes: h, ctx: ctx, p: p}).dir(skel, into, h.Skel, 0)
}

// dir copies what is in an open directory, name, into another.
func (c *copying) dir(from, into int, name string, depth int) error {
	if depth > maxSkelDepth {
		return fmt.Errorf("%s lies more than %d deep", name, maxSkelDepth)
	}
	names, err := namesIn(from)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, n := range names {
		if err := c.entry(from, into, n, path.Join(name, n), depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) entry(from, into int, n, full string, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	if c.entries++; c.entries > maxSkelEntries {
		return fmt.Errorf("%s has more than %d entries", c.homes.Skel, maxSkelEntries)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(from, n, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: full, Err: err}
	}
	c.homes.at("copy")
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return c.link(from, into, n, full)
	case unix.S_IFDIR:
		return c.subdir(from, into, n, full, depth)
	case unix.S_IFREG:
		return c.file(from, into, n, full)
	}
	return fmt.Errorf("%s is neither file, directory nor link, and nothing for a home: remove it", full)
}

func (c *copying) link(from, into int, n, full string) error {
	target := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(from, n, target)
	if err != nil {
		return &os.PathError{Op: "readlink", Path: full, Err: err}
	}
	if err := unix.Symlinkat(string(target[:size]), into, n); err != nil {
		return &os.PathError{Op: "symlink", Path: full, Err: err}
	}
	if err := unix.Fchownat(into, n, int(c.p.UID), int(c.p.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "chown", Path: full, Err: err}
	}
	return nil
}

func (c *copying) subdir(from, into int, n, full string, depth int) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	src, err := unix.Openat(from, n, flags, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: full, Err: err}
	}
	defer unix.Close(src)
	if err := unix.Mkdirat(into, n, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: full, Err: err}
	}
	dst, err := unix.Openat(into, n, flags, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: full, Err: err}
	}
	defer unix.Close(dst)
	if err := c.dir(src, dst, full, depth+1); err != nil {
		return err
	}
	return errors.Join(c.give(src, dst, full), unix.Fsync(dst))
}

func (c *copying) file(from, into int, n, full string) (err error) {
	fd, err := unix.Openat(from, n, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: full, Err: err}
	}
	src := os.NewFile(uintptr(fd), full)
	defer src.Close()
	if info, err := src.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%s is no file any more", full), err)
	}
	fd, err = unix.Openat(into, n, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: full, Err: err}
	}
	dst := os.NewFile(uintptr(fd), full)
	defer func() { err = errors.Join(err, dst.Close()) }()
	copied, err := io.Copy(dst, io.LimitReader(src, maxSkelBytes-c.bytes+1))
	if err != nil {
		return fmt.Errorf("copy %s: %w", full, err)
	}
	if c.bytes += copied; c.bytes > maxSkelBytes {
		return fmt.Errorf("%s has more than %d bytes", c.homes.Skel, maxSkelBytes)
	}
	return errors.Join(c.give(int(src.Fd()), int(dst.Fd()), full), dst.Sync())
}

// give sets owner and mode of a copy, in this order: chown(2) drops set-id bits.
func (c *copying) give(src, dst int, full string) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return &os.PathError{Op: "stat", Path: full, Err: err}
	}
	if err := unix.Fchown(dst, int(c.p.UID), int(c.p.GID)); err != nil {
		return &os.PathError{Op: "chown", Path: full, Err: err}
	}
	if err := unix.Fchmod(dst, st.Mode&0o777&^c.homes.Umask); err != nil {
		return &os.PathError{Op: "chmod", Path: full, Err: err}
	}
	return nil
}
