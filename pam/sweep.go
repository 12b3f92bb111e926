package pam

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// abandoned is the age from which a home under way is nobody's any more. Another node
// may be making a younger one on the same file system.
const abandoned = 24 * time.Hour

// note writes down, in the lock, which directory is about to be made.
func note(lock *os.File, build string) error {
	err := lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt([]byte(build), 0)
	}
	if err != nil {
		return fmt.Errorf("note which home is under way: %w", err)
	}
	return nil
}

// sweep removes what killed processes left: the one that this node noted last, and in
// parent whatever is abandoned. Nobody else here makes homes meanwhile.
func (h *Homes) sweep(lock *os.File, parent int) {
	err := h.sweepNoted(lock)
	names, unread := namesIn(parent)
	err = errors.Join(err, unread)
	for _, name := range names {
		if !buildName.MatchString(name) {
			continue
		}
		var st unix.Stat_t
		if unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && time.Since(time.Unix(st.Mtim.Unix())) > abandoned {
			err = errors.Join(err, removeAll(parent, name, 0))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.Log.Warn("what was left of homes under way stays", "error", err)
	}
}

func (h *Homes) sweepNoted(lock *os.File) error {
	noted, err := io.ReadAll(io.NewSectionReader(lock, 0, unix.PathMax))
	build := string(noted)
	if err != nil || roster.CheckPath(build) != nil || !buildName.MatchString(path.Base(build)) {
		return err // none yet
	}
	dir, err := h.parent(path.Dir(build))
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return nil // the place is no longer one for homes
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return removeAll(dir, path.Base(build), 0)
}
