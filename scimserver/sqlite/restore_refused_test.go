package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pwb/scimserver/ledger"
)

func TestABackupOfAnotherStoreIsRefused(t *testing.T) {
	one, other := newDir(t), newDir(t)
	a, b := openStore(t, one), openStore(t, other)
	for n := range uint32(4) { // three disagreements each
		update(t, a, func(tx *tx) error { return settle(tx, fmt.Sprint("u", n), 1000+n) })
		update(t, b, func(tx *tx) error {
			e := ledger.Entry{Subject: fmt.Sprint("s", n), Name: fmt.Sprint("nu", n), Given: created}
			return errors.Join(tx.GiveUID(1000+n, e), tx.GiveGID(1000+n, e), tx.GiveName(e.Name, e), tx.GiveUID(2000+n, e))
		})
	}
	before := contents(t, one)
	done, err := Restore(context.Background(), one, backup(t, other), 10, "test", restore)
	if err == nil || !reflect.DeepEqual(done, Restoration{}) {
		t.Fatalf("restored %+v", done)
	}
	for _, part := range []string{"another store", "move the present store away", "uid 1000 is that of u0 here and of s0 there", "and 2 more"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if n := strings.Count(err.Error(), "is that of"); n != maxListed {
		t.Errorf("%d disagreements are listed, want %d", n, maxListed)
	}
	if after := contents(t, one); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	// The uid of one and the gid of another are no disagreement.
	third := newDir(t)
	c := openStore(t, third)
	update(t, c, func(tx *tx) error {
		return tx.GiveGID(2000, ledger.Entry{Subject: "group", Name: "group", Given: created})
	})
	mustRestore(t, third, backup(t, other), 10)
}

// flip changes one byte of the file, in the one place where text stands.
func flip(file, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte(text)); n != 1 {
		return fmt.Errorf("%q stands in the file %d times", text, n)
	}
	data[bytes.Index(data, []byte(text))] ^= 1
	return os.WriteFile(file, data, 0o600)
}

func TestARestoreIsRefusedAndChangesNothing(t *testing.T) {
	cut := func(share int64) func(t *testing.T, dir, file string) error {
		return func(_ *testing.T, _, file string) error {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			return os.Truncate(file, info.Size()*share/100)
		}
	}
	change := func(text string) func(t *testing.T, dir, file string) error {
		return func(t *testing.T, _, file string) error {
			dir := newDir(t)
			path := filepath.Join(dir, FileName)
			if err := errors.Join(os.Rename(file, path), tamper(t, dir, text)); err != nil {
				return err
			}
			return os.Rename(path, file)
		}
	}
	for _, c := range []struct {
		sentence string
		prepare  func(t *testing.T, dir, file string) error
		why      string
	}{
		{"a file that is not there", func(_ *testing.T, _, file string) error { return os.Remove(file) }, "no such file"},
		{"a directory", func(_ *testing.T, _, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }, "not a file"},
		{"an empty file", func(_ *testing.T, _, file string) error { return os.Truncate(file, 0) }, "holds no store"},
		{"a file that is no database", func(_ *testing.T, _, file string) error {
			return os.WriteFile(file, []byte(strings.Repeat("root:x:0:0\n", 1000)), 0o600)
		}, "not a database"},
		{"another program's database", func(_ *testing.T, _, file string) error {
			return errors.Join(os.Remove(file), foreignDatabase(file))
		}, "holds no store"},
		{"a file that was cut in half", cut(50), "no backup to restore"},
		{"a file that was cut at its end", cut(97), "no backup to restore"},
		{"a file with zeros in its middle", func(_ *testing.T, _, file string) error {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			return errors.Join(os.Truncate(file, info.Size()/2), os.Truncate(file, info.Size()))
		}, "no backup to restore"},
		{"a file with one flipped byte in a line of the roster", func(_ *testing.T, _, file string) error { return flip(file, "/home/nflipped") }, "digest"},
		{"a file with one flipped byte in a key of the roster", func(_ *testing.T, _, file string) error { return flip(file, `["a/flipped`) }, "something else"},
		{"a file with a row of the roster less", change("DELETE FROM roster WHERE key = 'a/flipped'"), "digest"},
		{"a store of a newer version", change("PRAGMA user_version = 99"), "schema version 99"},
		{"the store itself", func(_ *testing.T, dir, file string) error {
			return errors.Join(os.Remove(file), os.Symlink(filepath.Join(dir, FileName), file))
		}, "the store itself"},
		{"another store that is open", func(t *testing.T, _, file string) error {
			dir := newDir(t)
			s := openStore(t, dir)
			update(t, s, func(tx *tx) error { return settle(tx, "u1", 1000) })
			return errors.Join(os.Remove(file), os.Symlink(filepath.Join(dir, FileName), file), os.Symlink(filepath.Join(dir, FileName+"-wal"), file+"-wal"))
		}, "a store that is open"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := newDir(t)
			s := openStore(t, dir)
			update(t, s, func(tx *tx) error {
				errs := []error{settle(tx, "u1", 1000), settle(tx, "flipped", 1001)}
				for n := range uint32(300) { // so that a part of the file is no whole one
					errs = append(errs, settle(tx, fmt.Sprint("more", n), 2000+n))
				}
				return errors.Join(errs...)
			})
			file := backup(t, dir)
			update(t, s, func(tx *tx) error { return lock(tx, "u1", 1000) })
			if err := c.prepare(t, dir, file); err != nil {
				t.Fatal(err)
			}
			beside := filesIn(t, filepath.Dir(file))
			before, moved := contents(t, dir), s.Moved()
			done, err := Restore(context.Background(), dir, file, 10, "test", restore)
			if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), file) || !reflect.DeepEqual(done, Restoration{}) {
				t.Errorf("%+v, error %v does not say %q, and of what", done, err, c.why)
			}
			if contents(t, dir) != before {
				t.Error("the store is another")
			}
			select {
			case <-moved:
				t.Error("the store moved")
			default:
			}
			if left := filesIn(t, dir); strings.Contains(left, "restore") {
				t.Errorf("the restore left %s", left)
			}
			if after := filesIn(t, filepath.Dir(file)); after != beside {
				t.Errorf("beside the file there was %q and is %q", beside, after)
			}
			if c.sentence == "the store itself" {
				return
			}
			fresh := filepath.Join(newDir(t), "data")
			if _, err := Restore(context.Background(), fresh, file, 10, "test", restore); err == nil {
				t.Error("restored into an empty directory")
			}
			if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a store was made, %v", err)
			}
		})
	}
}

func TestARestoreThatIsGivenUpChangesNothing(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return settle(tx, "u1", 1000) })
	file := backup(t, dir)
	before := contents(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Restore(ctx, dir, file, 10, "test", restore); !errors.Is(err, context.Canceled) {
		t.Errorf("Restore: %v", err)
	}
	if contents(t, dir) != before {
		t.Error("the store is another")
	}
}

func TestARestoreIntoADamagedStoreSaysWhatToDo(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return settle(tx, "u1", 1000) })
	file := backup(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("root:x:0:0\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(context.Background(), dir, file, 10, "test", restore); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("Restore: %v", err)
	}
}
