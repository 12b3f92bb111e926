package pam

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"

	"golang.org/x/sys/unix"
)

// buildName is what randomName makes.
var buildName = regexp.MustCompile(`^\.pwb-[a-z_][a-z0-9_.-]*-[0-9a-f]{16}$`)

func randomName(user string) (string, error) {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	name := buildPrefix + user + "-" + hex.EncodeToString(b[:])
	if !buildName.MatchString(name) {
		return "", fmt.Errorf("%q cannot be in the name of a directory", user)
	}
	return name, nil
}

// namesIn reads an open directory from its beginning, without touching its offset.
func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: ".", Err: err}
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}

// maxDepth bounds how deep trees are that are copied or removed.
const maxDepth = 64

// removeAll removes what has a name in a directory, and what is in it, following no
// link whoever changes it meanwhile.
func removeAll(dir int, name string, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	if depth > maxDepth {
		return fmt.Errorf("remove %s: it lies more than %d deep", name, maxDepth)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	names, err := namesIn(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		err = errors.Join(err, removeAll(fd, n, depth+1))
	}
	if gone := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); gone != nil && !errors.Is(gone, unix.ENOENT) {
		err = errors.Join(err, &os.PathError{Op: "rmdir", Path: name, Err: gone})
	}
	return err
}
