package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var rendered = []string{"passwd", "group", "shadow"}

// fileState is what a file must keep when it is not touched.
type fileState struct {
	Content string
	Inode   uint64
	Changed time.Time
}

func stateOf(t testing.TB, path string) fileState {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fileState{string(data), info.Sys().(*syscall.Stat_t).Ino, info.ModTime()}
}

// filesOf is the state of the three rendered files.
func filesOf(t testing.TB, dir string) map[string]fileState {
	t.Helper()
	all := map[string]fileState{}
	for _, name := range rendered {
		all[name] = stateOf(t, filepath.Join(dir, name))
	}
	return all
}

// lines maps a file's lines by their first field.
func lines(t testing.TB, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		name, _, _ := strings.Cut(line, ":")
		if _, twice := all[name]; twice {
			t.Fatalf("%s has two lines of %q", path, name)
		}
		all[name] = line
	}
	return all
}
