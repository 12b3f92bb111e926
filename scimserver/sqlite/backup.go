package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Backup copies the store in dir to a new file of mode 0600, as it is at one
// moment, while others may write to it. The copy is read back and checked
// before it gets its name; when anything fails, no file is left. A file that is
// there is never replaced.
//
// The copy holds password hashes, as the store does. It needs no other file
// beside it; Restore reads it.
func Backup(ctx context.Context, dir, file string) (err error) {
	path := filepath.Join(dir, FileName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up the store %s to %s: %w", path, file, err)
		}
	}()
	if err := checkStore(path); err != nil {
		return err
	}
	target, err := newTarget(file)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, temporary.Close())
		if gone := os.Remove(temporary.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	if err := vacuumInto(ctx, path, temporary.Name()); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	switch _, err := verify(ctx, temporary.Name()); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("the copy does not stand the check, so that it was removed; the store itself may be damaged: %w", err)
	}
	if err := renameNew(temporary.Name(), target); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(target)); err != nil {
		return errors.Join(err, os.Remove(target)) // it may not survive a power cut
	}
	return nil
}

// checkStore fails unless a store is at path.
func checkStore(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0:
		return errors.New("no store is there: name the data directory of a server")
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a file")
	}
	return nil
}

// newTarget makes the path absolute, since SQLite would read some relative ones
// as URIs, and fails when something is there.
func newTarget(file string) (string, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if besideStore := []string{FileName + "-wal", FileName + "-shm", FileName + "-journal"}; slices.Contains(besideStore, filepath.Base(file)) {
		return "", errors.New("SQLite would take a file of this name for a part of a store: choose another name")
	}
	switch _, err := os.Lstat(file); {
	case err == nil:
		return "", errExists
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return file, nil
}

var errExists = fmt.Errorf("%w, and a backup replaces nothing: choose another name or move that file away", fs.ErrExist)

// vacuumInto writes the store to a file that is there and empty. It waits for
// nobody and holds nobody up: it reads a snapshot.
func vacuumInto(ctx context.Context, path, file string) (err error) {
	db, err := sql.Open("sqlite", fileURI(path, url.Values{"mode": {"rw"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	switch version, err := schemaVersion(ctx, db); {
	case err != nil:
		return err
	case version == 0:
		return errors.New("the file holds no store")
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", file)
	return err
}

// renameNew renames a file unless there is one of that name.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // NFS and old kernels cannot
		err = os.Link(from, to) // the first name is removed with the rest
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return errExists
	case err != nil:
		return fmt.Errorf("give the copy its name: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
