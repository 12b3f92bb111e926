package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"pwb/roster"
)

// restoreTimeout bounds the wait of a restore for the store's lock.
const restoreTimeout = 2 * time.Minute

// restoreCache is how many KiB of the store a restore keeps in memory: with less
// it would write many pages more than once, while others wait.
const restoreCache = 256 << 10

// Restoration is what Restore did.
type Restoration struct {
	// Position is where the feed stands: in an epoch of its own.
	Position roster.Position
	// Users and Groups count the resources that were put back.
	Users, Groups int
	// StayLocked names the accounts that the backup has unlocked and that were
	// locked, departed or buried before: they are locked. Ascending.
	StayLocked []string
	// Forgotten names the accounts that the backup does not know: they are
	// buried. Ascending.
	Forgotten []string
}

// Restore puts the backup in file back into the store in dir, which is made when
// there is none, as one transaction: it is there wholly or not at all. Others
// may have the store open meanwhile; their updates wait.
//
// Resources, memberships, roster and subjects become those of the backup, but
// what was given, locked or held since stays so: the ledger is that of both, and
// accounts that the backup does not know are buried. Tokens, events and nodes of
// the store stay. Into a new store, which never gave anything, tokens and events
// come back, too, and the cursors go margin numbers further, for what was given
// after the backup and is not known here. The audit log has an event of actor for each account that is another
// than before. Agents take the new position as that of another store.
//
// The file is only read. When it is no whole backup, or that of another store,
// Restore fails and nothing changes. Should tidying up fail after the restore,
// the error says so and comes with the Restoration.
func Restore(ctx context.Context, dir, file string, margin uint32, actor string, now time.Time) (done Restoration, err error) {
	path := filepath.Join(dir, FileName)
	committed := false
	defer func() {
		switch {
		case err != nil && committed:
			err = fmt.Errorf("%s is restored into the store %s, but what is left behind could not be tidied: %w", file, path, err)
		case err != nil:
			err = fmt.Errorf("restore %s into the store %s: %w", file, path, err)
		}
	}()
	source, cleanUp, err := openBackup(ctx, dir, file)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, cleanUp()) }()
	if err := prepareFile(dir, path); err != nil {
		return done, err
	}
	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		return done, fmt.Errorf("%w (of the present store: if it is damaged, move it away and restore into an empty directory)", err)
	}
	c, err := newConn(ctx, db)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := c.exec(`ATTACH ? AS backup`, untouched(source)); err != nil {
		return done, fmt.Errorf("open the backup beside the store: %w", err)
	}
	// Writers do not queue for the lock: beside a busy server it is a matter of
	// chance when it is this one's turn.
	if err := errors.Join(pragma(c, "busy_timeout", restoreTimeout.Milliseconds()), pragma(c, "cache_size", -restoreCache)); err != nil {
		return done, err
	}
	if _, err := c.exec(`BEGIN IMMEDIATE`); err != nil {
		return done, fmt.Errorf("lock the store: %w", err)
	}
	r := &restorer{ctx: ctx, tx: tx{view: view{c}}, file: file, actor: actor, now: now.UTC()}
	if err := r.run(margin); err != nil {
		_, undo := c.exec(`ROLLBACK`)
		return done, errors.Join(err, undo)
	}
	if _, err := c.exec(`COMMIT`); err != nil {
		_, undo := c.exec(`ROLLBACK`)
		return done, errors.Join(fmt.Errorf("commit: %w", err), undo)
	}
	committed = true
	return r.done, nil
}

func pragma(c *conn, name string, value int64) error {
	if _, err := c.c.ExecContext(context.Background(), fmt.Sprintf("PRAGMA %s = %d", name, value)); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// openBackup checks the file and returns the path of a store of this program's
// schema: the file itself, or a migrated copy of it that cleanUp removes.
func openBackup(ctx context.Context, dir, file string) (path string, cleanUp func() error, err error) {
	none := func() error { return nil }
	if path, err = filepath.Abs(file); err != nil {
		return "", none, err
	}
	if err := checkBackup(path, filepath.Join(dir, FileName)); err != nil {
		return "", none, err
	}
	version, err := verify(ctx, path)
	switch {
	case ctx.Err() != nil:
		return "", none, context.Cause(ctx)
	case err != nil:
		return "", none, fmt.Errorf("this is no backup to restore: %w", err)
	}
	if version == len(migrationNames()) {
		return path, none, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", none, fmt.Errorf("make the data directory: %w", err)
	}
	private, err := os.MkdirTemp(dir, "restore-*") // of mode 0700
	if err != nil {
		return "", none, fmt.Errorf("make a place for a copy of the older backup: %w", err)
	}
	cleanUp = func() error { return os.RemoveAll(private) }
	older := path
	path = filepath.Join(private, FileName)
	if err := migratedCopy(ctx, older, path); err != nil {
		return "", none, errors.Join(fmt.Errorf("bring a copy of the older backup to the schema of this program: %w", err), cleanUp())
	}
	return path, cleanUp, nil
}

// checkBackup looks at the file without opening it: should it be a store that
// this process has open, to close it again would end the locks on it.
func checkBackup(file, store string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("the backup is not a file")
	}
	if present, err := os.Stat(store); err == nil && os.SameFile(info, present) {
		return errors.New("the backup is the store itself")
	}
	for _, beside := range []string{file + "-wal", file + "-journal"} {
		switch info, err := os.Stat(beside); {
		case err == nil && info.Size() > 0:
			return fmt.Errorf("%s is there, so this is no backup but a store that is open or was not closed: make a backup of it first", beside)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// migratedCopy makes a copy of mode 0600 and brings it to the newest version.
func migratedCopy(ctx context.Context, from, to string) (err error) {
	if err := copyFile(from, to); err != nil {
		return err
	}
	// It need not survive anything, but must not keep files beside it.
	db, err := sql.Open("sqlite", fileURI(to, url.Values{"mode": {"rw"}, "_txlock": {"immediate"}}, "journal_mode(DELETE)", "synchronous(OFF)"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := errors.Join(migrate(ctx, db), db.Close()); err != nil {
		return err
	}
	_, err = verify(ctx, to)
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
