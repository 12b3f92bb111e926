package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func update(t testing.TB, s *Store, fn func(tx *tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), func(x scimserver.Tx) error { return fn(x.(*tx)) }); err != nil {
		t.Fatal(err)
	}
}

func position(t testing.TB, s *Store) (p roster.Position) {
	t.Helper()
	if err := s.View(context.Background(), func(v scimserver.View) (err error) {
		p, err = v.Position()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

// raw opens the file as a stranger does.
func raw(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName), false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// tamper runs a statement on a store that nobody has open.
func tamper(t *testing.T, dir, text string) error {
	if err := openStore(t, dir).Close(); err != nil {
		return err
	}
	db := raw(t, dir)
	_, err := db.Exec(text)
	return errors.Join(err, db.Close())
}

func account(id string, uid uint32) roster.Row {
	return roster.Row{Account: &roster.Account{ID: id, Name: id, UID: uid, GID: uid}}
}

func TestOpenMakesADirectoryForTheOwnerAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // modes are chosen, not left to chance
	dir := filepath.Join(newDir(t), "new", "data")
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return tx.PutRow(account("u1", 1000)) })
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]os.FileMode{".": 0}
	for _, name := range append([]string{"."}, names(entries)...) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = info.Mode().Perm()
	}
	want := map[string]os.FileMode{".": 0o700, FileName: 0o600, FileName + "-wal": 0o600, FileName + "-shm": 0o600}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("modes %v, want %v", seen, want)
	}
}

func names(entries []os.DirEntry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestOpenClosesAFileThatOthersCouldRead(t *testing.T) {
	dir := newDir(t)
	if err := openStore(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, FileName)
	if err := os.Chmod(file, 0o664); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir)
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestWhatRootMakesBelongsToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must run this test, but root is needed")
		}
		t.Skip("NOT TESTED HERE: root is needed")
	}
	const uid, gid = 4711, 4712
	for _, c := range []struct {
		name   string
		before func(t *testing.T, path string)
		uid    uint32
	}{
		{"a new store", func(*testing.T, string) {}, uid},
		{"a store that root copied there", func(t *testing.T, path string) {
			if err := openStore(t, filepath.Dir(path)).Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, 0, 0); err != nil {
				t.Fatal(err)
			}
		}, uid},
		{"a second link to a file of root's", func(t *testing.T, path string) {
			other := filepath.Join(t.TempDir(), "other")
			if err := errors.Join(os.WriteFile(other, nil, 0o600), os.Link(other, path)); err != nil {
				t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, uid, gid)); err != nil {
				t.Fatal(err)
			}
			c.before(t, filepath.Join(dir, FileName))
			s := openStore(t, dir)
			update(t, s, func(tx *tx) error { return nil })
			for _, suffix := range []string{"", "-wal", "-shm"} {
				info, err := os.Stat(filepath.Join(dir, FileName+suffix))
				if err != nil {
					t.Fatal(err)
				}
				if st := info.Sys().(*syscall.Stat_t); st.Uid != c.uid {
					t.Errorf("%s belongs to %d, not %d", info.Name(), st.Uid, c.uid)
				}
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		sentence string
		prepare  func(t *testing.T, dir string) error
		why      string
	}{
		{"a directory that the group may read", func(_ *testing.T, dir string) error { return os.Chmod(dir, 0o750) }, "chmod 0700"},
		{"a directory that others may pass through", func(_ *testing.T, dir string) error { return os.Chmod(dir, 0o701) }, "chmod 0700"},
		{"a file in place of the directory", func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600))
		}, "data directory"},
		{"a directory in place of the file", func(_ *testing.T, dir string) error {
			return os.Mkdir(filepath.Join(dir, FileName), 0o700)
		}, "is a directory"},
		{"a file that is no store", func(_ *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("root:x:0:0\n", 100)), 0o600)
		}, "not a database"},
		{"a store of a newer version", func(t *testing.T, dir string) error {
			return tamper(t, dir, "PRAGMA user_version = 99")
		}, "schema version 99 and this program knows"},
		{"a store without its row of state", func(t *testing.T, dir string) error {
			return tamper(t, dir, "DELETE FROM meta")
		}, "no rows"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := newDir(t)
			if err := c.prepare(t, dir); err != nil {
				t.Fatal(err)
			}
			before := descriptors(t)
			s, err := Open(context.Background(), dir)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v does not say %q and where", err, c.why)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors were open and %d are", before, after)
			}
		})
	}
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	return len(entries)
}

func TestOpenWithAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if s, err := Open(ctx, newDir(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestManyProcessesMayMakeTheStoreAtOnce(t *testing.T) {
	dir := newDir(t)
	var all sync.WaitGroup
	epochs := make([]string, 6)
	for i := range epochs {
		all.Go(func() {
			s, err := Open(context.Background(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			epochs[i] = position(t, s).Epoch
		})
	}
	all.Wait()
	for _, e := range epochs {
		if e == "" || e != epochs[0] {
			t.Fatalf("epochs %q", epochs)
		}
	}
}

func TestMigrationsAreNumberedAndEachRunsOnce(t *testing.T) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if prefix := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(f.Name(), prefix) {
			t.Errorf("migration %s does not begin with %s", f.Name(), prefix)
		}
	}
	dir := newDir(t)
	for range 3 {
		s := openStore(t, dir)
		var version, rows int
		err := s.View(context.Background(), func(v scimserver.View) error {
			return errors.Join(
				v.(*view).c.row("PRAGMA user_version", nil, &version),
				v.(*view).c.row("SELECT count(*) FROM meta", nil, &rows),
			)
		})
		if err != nil || version != len(files) || rows != 1 {
			t.Errorf("version %d of %d, %d rows of state, %v", version, len(files), rows, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPragmasAreInForceOnEveryConnection(t *testing.T) {
	s := openStore(t, newDir(t))
	check := func(what string, c *conn, queryOnly string) {
		t.Helper()
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0",
			"temp_store": "2", "busy_timeout": fmt.Sprint(busyTimeout.Milliseconds()), "query_only": queryOnly,
		} {
			var got string
			if err := c.row("PRAGMA "+pragma, nil, &got); err != nil || got != want {
				t.Errorf("%s: %s is %q, %v, want %q", what, pragma, got, err, want)
			}
		}
	}
	update(t, s, func(tx *tx) error {
		check("writer", tx.c, "0")
		return nil
	})
	// Views within views, so that each has a connection of its own.
	var look func(i int) error
	look = func(i int) error {
		return s.View(context.Background(), func(v scimserver.View) error {
			c := v.(*view).c
			check(fmt.Sprint("reader ", i), c, "1")
			if _, err := c.exec("DELETE FROM tokens"); err == nil {
				t.Errorf("reader %d can write", i)
			}
			if i+1 == cap(s.readers) {
				return nil
			}
			return look(i + 1)
		})
	}
	if err := look(0); err != nil {
		t.Error(err)
	}
}

func TestUpdatesThatWaitShareOneCommit(t *testing.T) {
	s := openStore(t, newDir(t))
	const waiting = 50
	begun, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		update(t, s, func(tx *tx) error {
			close(begun)
			<-release
			return tx.PutRow(account("first", 1))
		})
	})
	<-begun
	no := errors.New("no")
	for i := range waiting {
		all.Go(func() {
			err := s.Update(context.Background(), func(tx scimserver.Tx) error {
				if err := tx.PutRow(account(fmt.Sprint(i), 1)); err != nil {
					return err
				}
				if i%10 == 0 {
					return no
				}
				return nil
			})
			if i%10 == 0 && err != no || i%10 != 0 && err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	for len(s.jobs) < waiting {
		runtime.Gosched()
	}
	close(release)
	all.Wait()
	// Each commit that moves the feed leaves one position.
	var commits int
	if err := s.View(context.Background(), func(v scimserver.View) error {
		return v.(*view).c.row("SELECT count(*) FROM positions WHERE seq > 0", nil, &commits)
	}); err != nil {
		t.Fatal(err)
	}
	if commits != 2 {
		t.Errorf("%d updates took %d commits, want 2", waiting+1, commits)
	}
	if at := position(t, s); at.Seq != 1+waiting-waiting/10 {
		t.Errorf("the feed stands at %d", at.Seq)
	}
}

func TestAFullDiskFailsTheUpdatesAndNothingElse(t *testing.T) {
	s := openStore(t, newDir(t))
	update(t, s, func(tx *tx) error { return tx.PutRow(account("before", 1)) })
	var pages int
	update(t, s, func(tx *tx) error {
		if err := tx.c.row("PRAGMA page_count", nil, &pages); err != nil {
			return err
		}
		var limit int
		return tx.c.row(fmt.Sprintf("PRAGMA max_page_count = %d", pages+4), nil, &limit)
	})
	large := []byte(`{"userName":"` + strings.Repeat("x", 64<<10) + `"}`)
	const callers = 40
	errs := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			id := fmt.Sprint(i)
			errs[i] = s.Update(context.Background(), func(tx scimserver.Tx) error {
				if err := tx.PutRow(account(id, 1)); err != nil {
					return err
				}
				if i%4 != 0 {
					return nil
				}
				err := tx.Insert(scimserver.Resource{Kind: scimserver.KindUser, ID: id, Name: id, Version: 1, Doc: large})
				if i%8 != 0 {
					return nil // whoever ignores the error gets no half either
				}
				return err
			})
		})
	}
	all.Wait()
	failed := 0
	check := func() {
		t.Helper()
		err := s.View(context.Background(), func(v scimserver.View) error {
			for i, err := range errs {
				_, rowErr := v.Row(roster.AccountKey(fmt.Sprint(i)))
				switch {
				case err == nil && rowErr != nil:
					t.Errorf("update %d was acknowledged, its row: %v", i, rowErr)
				case err != nil && !errors.Is(rowErr, scimserver.ErrNotFound):
					t.Errorf("update %d failed with %v, its row: %v", i, err, rowErr)
				case err != nil:
					failed++
				}
			}
			var sum roster.Sum
			if err := v.Snapshot(func(c roster.Change) error { sum.Add(c.Line); return nil }); err != nil {
				return err
			}
			at, err := v.Position()
			if at.Sum != sum {
				t.Error("the digest is not that of the rows")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	check()
	if failed == 0 {
		t.Error("no update failed: the disk was not full")
	}
	// There is room again.
	for id := 0; ; id++ {
		err := s.Update(context.Background(), func(x scimserver.Tx) error {
			var limit int
			return x.(*tx).c.row("PRAGMA max_page_count = 1000000", nil, &limit)
		})
		if err == nil {
			break
		}
		if id == 3 {
			t.Fatalf("the store does not come back: %v", err)
		}
	}
	for i := range errs {
		if errs[i] == nil {
			continue
		}
		errs[i] = s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.PutRow(account(fmt.Sprint(i), 1)) })
		if errs[i] != nil {
			t.Errorf("update %d, again: %v", i, errs[i])
		}
	}
	check()
}

func TestALockThatAnotherProcessKeepsFailsTheUpdateAlone(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error {
		_, err := tx.c.exec("PRAGMA busy_timeout = 1") // in place of ten seconds
		return err
	})
	other, err := raw(t, dir).Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	before := position(t, s)
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1)) }); err == nil {
		t.Error("an update went through a lock")
	}
	if at := position(t, s); at != before {
		t.Errorf("position %v became %v", before, at)
	}
	if _, err := other.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *tx) error { return tx.PutRow(account("u1", 1)) })
}

func TestTheFileItselfRefusesToForgetLedgerAndEvents(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error {
		e := ledger.Entry{Subject: "u1", Name: "ada"}
		return errors.Join(tx.GiveUID(1000, e), tx.GiveName("ada", e), tx.Record(scimserver.Event{Actor: "server", Action: "user.create"}))
	})
	db := raw(t, dir)
	for _, text := range []string{
		"DELETE FROM ledger_ids", "DELETE FROM ledger_names",
		"UPDATE ledger_ids SET subject = 'u2'", "UPDATE ledger_ids SET number = 1001", "UPDATE ledger_ids SET kind = 'gid'",
		"UPDATE ledger_names SET subject = 'u2'", "UPDATE ledger_names SET name = 'eda'",
		"DELETE FROM events", "UPDATE events SET actor = 'nobody'", "UPDATE events SET seq = 2", "UPDATE events SET changes = NULL",
		"INSERT INTO ledger_ids (number, kind, subject, name, given) VALUES (0, 'uid', 'u1', 'root', 0)",
	} {
		if _, err := db.Exec(text); err == nil {
			t.Errorf("%s: done", text)
		}
	}
}

func TestWhatIsFarBackIsForgottenAndNothingElse(t *testing.T) {
	s := openStore(t, newDir(t))
	var past []roster.Position
	put := func(id string, uid uint32) {
		update(t, s, func(tx *tx) error { return tx.PutRow(account(id, uid)) })
		past = append(past, position(t, s))
	}
	put("u1", 1)
	put("u2", 1)
	update(t, s, func(tx *tx) error { return tx.DropRow("a/u1") })
	past = append(past, position(t, s))
	put("u3", 1)
	put("u4", 1)
	// As if ever so many changes had passed.
	update(t, s, func(tx *tx) error {
		tx.meta.seq = keepChanges + past[3].Seq - 1
		return tx.PutRow(account("u5", 1))
	})
	at := position(t, s)
	if at.Seq%pruneEvery > past[3].Seq+1 {
		t.Fatalf("seq %d is not just after a multiple of %d", at.Seq, pruneEvery)
	}
	err := s.View(context.Background(), func(v scimserver.View) error {
		for i, p := range past {
			keys := []string{}
			err := v.Changes(p, func(c roster.Change) error { keys = append(keys, c.Key); return nil })
			if known := i >= 3; known != (err == nil) || !known && !errors.Is(err, scimserver.ErrUnknownPosition) {
				t.Errorf("changes after %v: %v, %v", p, keys, err)
			}
			if i == 3 && fmt.Sprint(keys) != "[a/u4 a/u5]" {
				t.Errorf("changes after %v: %v", p, keys)
			}
		}
		var tombstones int
		if err := v.(*view).c.row("SELECT count(*) FROM roster WHERE line IS NULL", nil, &tombstones); err != nil || tombstones != 0 {
			t.Errorf("%d tombstones are left, %v", tombstones, err)
		}
		var sum roster.Sum
		n := 0
		err := v.Snapshot(func(c roster.Change) error { sum.Add(c.Line); n++; return nil })
		if sum != at.Sum || n != 4 {
			t.Errorf("%d rows with the digest %v, want %v", n, sum, at.Sum)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	put("u1", 1) // whose tombstone is forgotten
	put("u2", 2)
}

func TestARowThatNoReaderWouldTakeIsRefused(t *testing.T) {
	s := openStore(t, newDir(t))
	long := account("u1", 1)
	long.Account.Gecos = strings.Repeat("x", roster.MaxLine)
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.PutRow(long) }); err == nil {
		t.Error("a row longer than a line of the feed was taken")
	}
}

func TestCloseMayBeCalledAgain(t *testing.T) {
	s := openStore(t, newDir(t))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}
