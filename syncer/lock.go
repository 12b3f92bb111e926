package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

const (
	lockFile = "lock"
	// lockPoll is how often a held lock is tried again.
	lockPoll = 20 * time.Millisecond
)

// locked calls f while no other pass runs on this state directory, which it
// creates and checks first.
func (s *Syncer) locked(ctx context.Context, f func() (Result, error)) (Result, error) {
	if err := MakeStateDir(s.cfg.StateDir); err != nil {
		return Result{}, err
	}
	unlock, err := lock(ctx, s.cfg.StateDir, s.cfg.LockWait)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	sweep(s.cfg.StateDir)
	s.ripenLeft()
	return f()
}

var errHeld = errors.New("another pass holds")

// lock takes the lock, waiting for it up to wait. The kernel releases it with
// the process.
func lock(ctx context.Context, stateDir string, wait time.Duration) (unlock func(), err error) {
	path := filepath.Join(stateDir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	retry := time.NewTicker(lockPoll)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-retry.C:
		case <-deadline.C:
			f.Close()
			return nil, fmt.Errorf("%w %s and did not finish within %v; wait for it or see with fuser who it is", errHeld, path, wait)
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for %s, which another pass holds: %w", path, context.Cause(ctx))
		}
	}
}

// MakeStateDir creates the state directory, or fails when others may write to
// the one there is: whoever writes the mirror decides who logs in here.
func MakeStateDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return fmt.Errorf("create the state directory: %w", err)
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the state directory: %w", err)
	}
	return checkStateDir(dir)
}

func checkStateDir(dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("state directory %s is not a directory", dir)
	}
	if fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("state directory %s has mode %04o, so that others may write to it; run chmod 0700 %s", dir, fi.Mode().Perm(), dir)
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("state directory %s belongs to uid %d; it must belong to root or to uid %d, which runs this", dir, st.Uid, os.Geteuid())
	}
	return nil
}

// CheckWritable fails when nothing can be written to the state directory, as far
// as that can be seen without trying: the state there may then be of a time before
// passes began to fail. A directory that is not there yet is none of these.
func CheckWritable(stateDir string) error {
	const writable = 2 // W_OK of access(2)
	err := syscall.Access(stateDir, writable)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(stateDir, &f)
	}
	switch { // some file systems count no blocks or no inodes: these are never full
	case err != nil:
		return fmt.Errorf("nothing can be written to %s: %w", stateDir, err)
	case f.Blocks > 0 && f.Bfree == 0:
		return fmt.Errorf("nothing can be written to %s: its file system is full", stateDir)
	case f.Files > 0 && f.Ffree == 0:
		return fmt.Errorf("nothing can be written to %s: its file system has no inodes left", stateDir)
	}
	return nil
}

var leftover = regexp.MustCompile(`^\.(mirror|state\.json|report\.json|pin\.json)[0-9]+$`)

// sweep removes what a pass left that was killed while it wrote. Should that
// fail, the file lies there until the next pass: no reason to stop this one.
func sweep(stateDir string) {
	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if leftover.MatchString(e.Name()) {
			_ = os.Remove(filepath.Join(stateDir, e.Name()))
		}
	}
}
