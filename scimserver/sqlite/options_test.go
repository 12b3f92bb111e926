package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

// TestCommitsAreHeardOf before they are answered, and those of another store on
// the same file, too.
func TestCommitsAreHeardOf(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	commits, moved := make(chan Commit, 10), make(chan int64, 10)
	s, err := Open(t.Context(), dir, Observed(func(c Commit) { commits <- c }, func(seq int64) { moved <- seq }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	put := func(id string) func(scimserver.Tx) error {
		return func(tx scimserver.Tx) error {
			return tx.PutRow(roster.Row{Group: &roster.Group{ID: id, Name: id, GID: 5000}})
		}
	}
	if err := s.Update(t.Context(), put("one")); err != nil {
		t.Fatal(err)
	}
	if c := <-commits; c.Updates != 1 || c.Err != nil || c.Took <= 0 {
		t.Errorf("heard of %+v", c)
	}
	if seq := <-moved; seq != 1 {
		t.Errorf("the feed stands at %d", seq)
	}
	broken := errors.New("no")
	if err := s.Update(t.Context(), func(scimserver.Tx) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if c := <-commits; c.Updates != 1 || c.Err != nil {
		t.Errorf("an update that fails by itself makes %+v", c)
	}
	if err := other.Update(context.Background(), put("two")); err != nil {
		t.Fatal(err)
	}
	select {
	case seq := <-moved:
		if seq != 2 {
			t.Errorf("the feed stands at %d", seq)
		}
	case <-time.After(30 * time.Second):
		t.Error("another store's commit is not heard of")
	}
	if len(commits) != 0 || len(moved) != 0 {
		t.Errorf("more is heard of: %d commits, %d moves", len(commits), len(moved))
	}
}

func TestCheckFindsWhatIsDamagedAndLeavesTheRestAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if err := Check(t.Context(), dir); err != nil {
		t.Errorf("without a store: %v", err)
	}
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), dir); err != nil {
		t.Errorf("while it is open: %v", err)
	}
	if size, err := SizeOf(dir); err != nil || size.Bytes < 4096 || size.Free == 0 || size.Total < size.Free {
		t.Errorf("size %+v, %v", size, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[len(data)/2&^4095:], strings.Repeat("\xa5", 8192))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged store: %v", err)
	}
	if _, err := SizeOf(filepath.Join(dir, "absent")); err == nil {
		t.Error("a directory that is not there has a size")
	}
}
