package pam

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// Accounts are all that the agent rendered.
type Accounts interface {
	// All are the accounts in the order of the file.
	All() ([]roster.Passwd, error)
	// Departed reports whether an account is locked or has expired.
	Departed(p roster.Passwd) (bool, error)
}

// Home is one of somebody who left: who is locked or expired, or whose uid nobody has.
type Home struct {
	Path string
	// User is who has the uid, empty for nobody.
	User string
	UID  uint32
}

// Departed lists the homes of who left: directories that lie beside homes of accounts
// and have an owner from least to most who left, or whom neither accounts nor the
// node's own passwd, local, know.
func (h *Homes) Departed(accounts Accounts, local func(uid uint32) (bool, error), least, most uint32) ([]Home, error) {
	all, err := accounts.All()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("nothing is rendered, so that nobody can tell who left")
	}
	byUID := make(map[uint32]roster.Passwd, len(all))
	var parents []string
	for _, p := range all {
		if _, ok := byUID[p.UID]; !ok { // aliases come later
			byUID[p.UID] = p
		}
		if parent := path.Dir(p.Home); !slices.Contains(parents, parent) {
			parents = append(parents, parent)
		}
	}
	slices.Sort(parents)
	var found []Home
	for _, parent := range parents {
		dir, err := h.parent(parent)
		var refusal *Refusal
		if errors.As(err, &refusal) {
			h.Log.Info("no homes are looked for there", "directory", parent, "why", refusal.Why)
			continue
		}
		if err != nil {
			return nil, err
		}
		names, err := namesIn(dir)
		slices.Sort(names)
		for _, name := range names {
			var st unix.Stat_t
			if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid < least || st.Uid > most || strings.HasPrefix(name, buildPrefix) {
				continue
			}
			home, gone, why := departed(byUID, accounts, local, path.Join(parent, name), st.Uid)
			err = errors.Join(err, why)
			if gone {
				found = append(found, home)
			}
		}
		unix.Close(dir)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func departed(byUID map[uint32]roster.Passwd, accounts Accounts, local func(uint32) (bool, error), home string, uid uint32) (Home, bool, error) {
	if own, err := local(uid); err != nil || own {
		return Home{}, false, err
	}
	p, known := byUID[uid]
	if !known {
		return Home{Path: home, UID: uid}, true, nil
	}
	gone, err := accounts.Departed(p)
	return Home{Path: home, User: p.Name, UID: uid}, gone, err
}

// Archive renames a home of who left to ArchiveDir/NAME-UID-DATE, where NAME is the
// home's last part, on the same file system; nobody but root can reach it there.
func (h *Homes) Archive(home Home, now time.Time) (to string, err error) {
	lock, err := h.lock()
	if err != nil {
		return "", err
	}
	defer lock.Close()
	archive, err := h.archive()
	if err != nil {
		return "", err
	}
	defer unix.Close(archive)
	dir, err := h.parent(path.Dir(home.Path))
	if err != nil {
		return "", err
	}
	defer unix.Close(dir)
	base := path.Base(home.Path)
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", &os.PathError{Op: "stat", Path: home.Path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != home.UID {
		return "", fmt.Errorf("%s is no longer a directory of uid %d", home.Path, home.UID)
	}
	name := archiveName(base, home.UID, now)
	err = unix.Renameat2(dir, base, archive, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EXDEV) {
		return "", fmt.Errorf("%s is on another file system than %s: set archive-dir to a directory on the same one", home.Path, h.ArchiveDir)
	}
	if err != nil {
		return "", &os.LinkError{Op: "rename", Old: home.Path, New: path.Join(h.ArchiveDir, name), Err: err}
	}
	return path.Join(h.ArchiveDir, name), errors.Join(unix.Fsync(dir), unix.Fsync(archive))
}

func archiveName(base string, uid uint32, now time.Time) string {
	return base + "-" + strconv.FormatUint(uint64(uid), 10) + "-" + now.UTC().Format("20060102T150405Z")
}

// archive opens the archive, and makes it in a directory that is root's alone.
func (h *Homes) archive() (int, error) {
	parent, err := h.parent(path.Dir(h.ArchiveDir))
	if err != nil {
		return -1, fmt.Errorf("archive-dir %s: %w", h.ArchiveDir, err)
	}
	defer unix.Close(parent)
	base := path.Base(h.ArchiveDir)
	if err := unix.Mkdirat(parent, base, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, &os.PathError{Op: "mkdir", Path: h.ArchiveDir, Err: err}
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: h.ArchiveDir, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Uid != 0 || st.Mode&0o077 != 0 {
		unix.Close(fd)
		return -1, errors.Join(fmt.Errorf("archive-dir %s is not for root alone; run chown root and chmod 0700 on it", h.ArchiveDir), err)
	}
	return fd, nil
}

// archived is a home of a uid in the archive; empty where there is none.
func (h *Homes) archived(uid uint32) string {
	if h.ArchiveDir == "" {
		return ""
	}
	part := "-" + strconv.FormatUint(uint64(uid), 10) + "-"
	entries, err := os.ReadDir(filepath.Join(h.Root, h.ArchiveDir))
	if err != nil {
		return ""
	}
	for _, e := range slices.Backward(entries) {
		if i := strings.LastIndexByte(e.Name(), '-'); i > 0 && strings.HasSuffix(e.Name()[:i+1], part) {
			return path.Join(h.ArchiveDir, e.Name())
		}
	}
	return ""
}
