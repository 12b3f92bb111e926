package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	passwdText = `root:x:0:0:root:/root:/bin/bash
_apt:x:100:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
ada:x:1000:1000:Ada:/home/ada:/bin/bash
svc:x:990:1005::/:/bin/false
`
	groupText = "root:x:0:\nusers:x:100:ada\nnogroup:x:65534:\nada:x:1000:\nproject:x:5000:ada,bob\n"
)

// newLocal is a passwd and a group file of some age.
func newLocal(t *testing.T, passwd, group string) *localFiles {
	t.Helper()
	dir := t.TempDir()
	l := &localFiles{passwd: filepath.Join(dir, "passwd"), group: filepath.Join(dir, "group")}
	write(t, l.passwd, passwd, time.Now().Add(-time.Hour))
	write(t, l.group, group, time.Now().Add(-time.Hour))
	return l
}

// write puts content into a file, in place, and gives it a time.
func write(t *testing.T, path, content string, at time.Time) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, at, at)); err != nil {
		t.Fatal(err)
	}
}

func checkLocal(t *testing.T, l *localFiles, ids []uint32, names ...string) {
	t.Helper()
	gotIDs, gotNames, err := l.read()
	gotIDs, gotNames = slices.Clone(gotIDs), slices.Clone(gotNames)
	slices.Sort(gotIDs)
	slices.Sort(gotNames)
	if gotIDs, gotNames = slices.Compact(gotIDs), slices.Compact(gotNames); err != nil || !slices.Equal(gotIDs, ids) || !slices.Equal(gotNames, names) {
		t.Errorf("read %v and %q: %v\nwant %v and %q", gotIDs, gotNames, err, ids, names)
	}
}

func TestLocalFilesGiveTheIDsThatAccountsMayHaveAndTheirNames(t *testing.T) {
	checkLocal(t, newLocal(t, passwdText, groupText), []uint32{1000, 1005, 5000}, "ada", "project", "svc")
}

func TestLocalLinesAreReadAsGenerouslyAsLookupsDo(t *testing.T) {
	for line, want := range map[string]string{
		"":                         "",
		":":                        "",
		"# ada:x:1000:1000":        "",
		"+ada:x:1000:1000":         "",
		"-ada:x:1000:1000":         "",
		"+@netgroup::::::":         "",
		":x:1000:1000:::":          "",
		"ada":                      "",
		"ada:x":                    "",
		"ada:x:":                   "",
		"ada:x:many:1.5e3":         "",
		"ada:x:-1000:+1000":        "",
		"ada:x:4294967295:65535":   "",
		"ada:x:4294968296:1000":    "ada",
		"ada:x:1000":               "ada",
		"  ada:x: 1000 :\t0:::\r":  "ada",
		"ada:x:999:1000:a:b:c:d:e": "ada",
		"a\xffda:x:1000:0:":        "a\xffda",
	} {
		l := newLocal(t, line, "")
		ids, names, err := l.read()
		if err != nil || strings.Join(names, " ") != want || (want != "") != slices.Equal(ids, []uint32{1000}) {
			t.Errorf("%q gives %v and %q: %v", line, ids, names, err)
		}
	}
}

func TestUnchangedLocalFilesAreNotReadAgain(t *testing.T) {
	l := newLocal(t, passwdText, groupText)
	checkLocal(t, l, []uint32{1000, 1005, 5000}, "ada", "project", "svc")
	fi, err := os.Stat(l.passwd)
	if err != nil {
		t.Fatal(err)
	}
	// The same inode, size and time: only reading could tell.
	write(t, l.passwd, strings.ReplaceAll(passwdText, "1005", "1006"), fi.ModTime())
	checkLocal(t, l, []uint32{1000, 1005, 5000}, "ada", "project", "svc")
	// Another time.
	write(t, l.passwd, strings.ReplaceAll(passwdText, "1005", "1006"), fi.ModTime().Add(1))
	checkLocal(t, l, []uint32{1000, 1006, 5000}, "ada", "project", "svc")
	// Another size.
	write(t, l.group, groupText+"more:x:6000:\n", fi.ModTime())
	checkLocal(t, l, []uint32{1000, 1006, 5000, 6000}, "ada", "more", "project", "svc")
	// Another inode, with size and time as before.
	write(t, l.group+"+", groupText+"more:x:7000:\n", fi.ModTime())
	if err := os.Rename(l.group+"+", l.group); err != nil {
		t.Fatal(err)
	}
	checkLocal(t, l, []uint32{1000, 1006, 5000, 7000}, "ada", "more", "project", "svc")
}

func TestATimeThatIsTooYoungTellsNothing(t *testing.T) {
	l := newLocal(t, passwdText, groupText)
	at := time.Now().Add(time.Hour) // so that no test is too slow for it
	write(t, l.group, "a:x:1001:\n", at)
	checkLocal(t, l, []uint32{1000, 1001, 1005}, "a", "ada", "svc")
	write(t, l.group, "a:x:1002:\n", at)
	checkLocal(t, l, []uint32{1000, 1002, 1005}, "a", "ada", "svc")
}

func TestLocalFilesThatCannotBeReadAreAnErrorUntilTheyCan(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"absent", func(string) error { return nil }, "no such file"},
		{"a directory", func(p string) error { return os.Mkdir(p, 0o755) }, "not a regular file"},
		{"a FIFO", func(p string) error { return syscall.Mkfifo(p, 0o644) }, "not a regular file"},
		{"too large", func(p string) error { // and sparse
			return errors.Join(os.WriteFile(p, nil, 0o644), os.Truncate(p, maxLocalFile+1))
		}, "more than 67108864 bytes"},
	} {
		for _, which := range []string{"passwd", "group"} {
			t.Run(test.name+", "+which, func(t *testing.T) {
				l := newLocal(t, passwdText, groupText)
				checkLocal(t, l, []uint32{1000, 1005, 5000}, "ada", "project", "svc")
				path := filepath.Join(filepath.Dir(l.passwd), which)
				aside := path + ".aside"
				if err := errors.Join(os.Rename(path, aside), test.make(path)); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if ids, names, err := l.read(); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || ids != nil || names != nil {
						t.Errorf("read %v, %q: %v", ids, names, err)
					}
				}
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				if err := os.Rename(aside, path); err != nil {
					t.Fatal(err)
				}
				checkLocal(t, l, []uint32{1000, 1005, 5000}, "ada", "project", "svc")
			})
		}
	}
}
