package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pwb/scimserver"
)

// backup makes a backup of the store in dir and returns its file.
func backup(t testing.TB, dir string) string {
	t.Helper()
	file := filepath.Join(newDir(t), "pwb.backup")
	if err := Backup(context.Background(), dir, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// filesIn lists a directory.
func filesIn(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(names(entries), " ")
}

func TestABackupBesideWritersIsOneMomentOfTheStore(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	var stop atomic.Bool
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return enrol(tx, fmt.Sprintf("b-%d-%d", c, i)) }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var files []string
	for range 5 {
		before := position(t, s).Seq
		files = append(files, backup(t, dir))
		for position(t, s).Seq == before { // the writers are at work
		}
	}
	stop.Store(true)
	all.Wait()
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if got := filesIn(t, filepath.Dir(file)); got != filepath.Base(file) {
			t.Errorf("beside the backup there is %s", got)
		}
		// It is a store by itself, in which nothing is half.
		alone := newDir(t)
		if err := copyFile(file, filepath.Join(alone, FileName)); err != nil {
			t.Fatal(err)
		}
		inspect(t, alone, nil)
	}
}

func TestABackupIsRefusedAndLeavesNothing(t *testing.T) {
	for _, c := range []struct {
		sentence string
		prepare  func(t *testing.T, dir, file string) error
		why      string
	}{
		{"to a file that is there", func(_ *testing.T, _, file string) error { return os.WriteFile(file, nil, 0o600) }, "replaces nothing"},
		{"to a link that leads nowhere", func(_ *testing.T, _, file string) error { return os.Symlink("nowhere", file) }, "replaces nothing"},
		{"to a directory that is not there", func(_ *testing.T, _, file string) error { return os.Remove(filepath.Dir(file)) }, "no such file"},
		{"without a store", func(_ *testing.T, dir, _ string) error { return os.Remove(filepath.Join(dir, FileName)) }, "no store is there"},
		{"without a directory", func(_ *testing.T, dir, _ string) error { return os.RemoveAll(dir) }, "no store is there"},
		{"of a file that never became a store", func(_ *testing.T, dir, _ string) error { return os.Truncate(filepath.Join(dir, FileName), 0) }, "no store is there"},
		{"of another program's database", func(t *testing.T, dir, _ string) error {
			return errors.Join(os.Remove(filepath.Join(dir, FileName)), foreignDatabase(filepath.Join(dir, FileName)))
		}, "holds no store"},
		{"of a newer store", func(t *testing.T, dir, _ string) error { return tamper(t, dir, "PRAGMA user_version = 99") }, "schema version 99"},
		{"of a store whose roster is not what its digest says", func(t *testing.T, dir, _ string) error {
			return tamper(t, dir, "UPDATE roster SET line = replace(line, 'n', 'm')")
		}, "damaged"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := newDir(t)
			s := openStore(t, dir)
			update(t, s, func(tx *tx) error { return enrol(tx, "u1") })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(newDir(t), "pwb.backup")
			if err := c.prepare(t, dir, file); err != nil {
				t.Fatal(err)
			}
			before := filesIn(t, filepath.Dir(file))
			inStore := filesIn(t, dir)
			err := Backup(context.Background(), dir, file)
			if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v does not say %q, of what and to where", err, c.why)
			}
			if after := filesIn(t, filepath.Dir(file)); after != before {
				t.Errorf("there was %q and is %q", before, after)
			}
			if after := filesIn(t, dir); after != inStore {
				t.Errorf("in the store's directory there was %q and is %q", inStore, after)
			}
		})
	}
}

func foreignDatabase(path string) error {
	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return err
	}
	_, err = db.Exec("CREATE TABLE songs (title TEXT)")
	return errors.Join(err, db.Close())
}

func TestABackupIsNotMadeUnderANameThatBelongsToAStore(t *testing.T) {
	dir := newDir(t)
	if err := openStore(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"-wal", "-shm", "-journal"} {
		if err := Backup(context.Background(), dir, filepath.Join(dir, FileName+name)); err == nil || !strings.Contains(err.Error(), "another name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := filesIn(t, dir); got != FileName {
		t.Errorf("there is %s", got)
	}
}

func TestABackupThatIsGivenUpLeavesNothing(t *testing.T) {
	dir := newDir(t)
	if err := openStore(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	file := filepath.Join(newDir(t), "pwb.backup")
	if err := Backup(ctx, dir, file); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup: %v", err)
	}
	if got := filesIn(t, filepath.Dir(file)); got != "" {
		t.Errorf("there is %s", got)
	}
}

func TestOfTwoBackupsToOneFileOneIsMade(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return enrol(tx, "u1") })
	file := filepath.Join(newDir(t), "a?b%20c #1.backup")
	var all sync.WaitGroup
	var made atomic.Int64
	for range 4 {
		all.Go(func() {
			switch err := Backup(context.Background(), dir, file); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := filesIn(t, filepath.Dir(file)); made.Load() != 1 || got != filepath.Base(file) {
		t.Errorf("%d were made: %s", made.Load(), got)
	}
}

func TestAStoreOfAnOlderVersionIsBackedUpAsItIs(t *testing.T) {
	dir := newDir(t)
	firstStore(t, dir)
	if version, err := verify(context.Background(), backup(t, dir)); version != 1 || err != nil {
		t.Errorf("version %d, %v", version, err)
	}
}
