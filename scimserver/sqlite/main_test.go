package sqlite

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"pwb/scimserver"
	"pwb/scimserver/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if file := os.Getenv(crashBackup); file != "" {
			os.Exit(beKilledRestoring(dir, file))
		}
		os.Exit(beKilled(dir))
	}
	goleak.VerifyTestMain(m)
}

// openStore opens a store and closes it when the test ends.
func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newDir is a directory that Open accepts.
func newDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStoreKeepsItsPromises(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (scimserver.Store, func() scimserver.Store) {
		dir := newDir(t)
		open := func() scimserver.Store {
			s, err := Open(context.Background(), dir)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		return open(), open
	})
}
