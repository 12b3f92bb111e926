package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"pwb/roster"
)

// cacheLookup looks a key up as libnss-cache does (nss_cache.c, 0.18): by the
// index unless that is absent, empty or older than the file, else from line to line.
// It fails where the module would answer with something else than the line.
func cacheLookup(dir, file, by, key string, field int) (line string, indexed bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return "", false, nil
	}
	fieldOf := func(line string) string { return strings.Split(line, ":")[field] }
	index, err := os.ReadFile(filepath.Join(dir, file+".ix"+by))
	if err == nil && len(index) > 0 {
		is, _ := os.Stat(filepath.Join(dir, file+".ix"+by))
		of, _ := os.Stat(filepath.Join(dir, file))
		if is.ModTime().Unix() >= of.ModTime().Unix() {
			size := bytes.IndexByte(index, '\n') + 1
			if len(index)%size != 0 {
				return "", true, fmt.Errorf("%s: lines differ in length", file+by)
			}
			n := len(index) / size
			at := func(i int) []string { return strings.SplitN(string(index[i*size:(i+1)*size-1]), "\x00", 3) }
			i := sort.Search(n, func(i int) bool { return at(i)[0] >= key })
			if i == n || at(i)[0] != key {
				return "", true, nil
			}
			offset, err := strconv.Atoi(at(i)[1])
			if err != nil || offset >= len(data) {
				return "", true, fmt.Errorf("%s: offset %q of %q", file+by, at(i)[1], key)
			}
			line, _, _ := strings.Cut(string(data[offset:]), "\n")
			if offset > 0 && data[offset-1] != '\n' || fieldOf(line) != key {
				return "", true, fmt.Errorf("%s: %q leads to %q", file+by, key, line)
			}
			return line, true, nil
		}
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); fieldOf(line) == key {
			return line, false, nil
		}
	}
	return "", false, nil
}

func newCache(t *testing.T, dir string) *Renderer {
	return newRendererWith(t, dir, func(c *Config) { c.Layout = LayoutNsscache })
}

// checkCache looks every line up by all its keys.
func checkCache(t *testing.T, dir string, wantIndexed bool) {
	t.Helper()
	for _, c := range []struct {
		file, by string
		field    int
	}{{"passwd", "name", 0}, {"passwd", "uid", 2}, {"group", "name", 0}, {"group", "gid", 2}, {"shadow", "name", 0}} {
		data, err := os.ReadFile(filepath.Join(dir, c.file+".cache"))
		if err != nil {
			continue
		}
		seen := map[string]bool{}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSuffix(line, "\n")
			key := strings.Split(line, ":")[c.field]
			got, indexed, err := cacheLookup(dir, c.file+".cache", c.by, key, c.field)
			if err != nil || got != line && !seen[key] || wantIndexed && !indexed {
				t.Errorf("%s by %s %s: %q, indexed %v, %v", c.file, c.by, key, got, indexed, err)
			}
			seen[key] = true
		}
		if got, _, err := cacheLookup(dir, c.file+".cache", c.by, "zzz", c.field); got != "" || err != nil {
			t.Errorf("%s: zzz is %q, %v", c.file, got, err)
		}
	}
}

func TestCacheFilesAreFoundThroughTheirIndexes(t *testing.T) {
	r := newCache(t, scratch(t))
	commit(t, r, rowsOf(t, "testdata/roster.jsonl"))
	checkCache(t, r.cfg.Dir, true)
	golden(t, "group.cache.ixgid.golden", []byte(read(t, r, "group.cache.ixgid")))
	for _, name := range []string{"passwd", "group", "shadow"} {
		want, err := os.ReadFile("testdata/" + name + ".golden")
		if err != nil || read(t, r, name+".cache") != string(want) {
			t.Errorf("%s.cache is not %s of the other layouts", name, name)
		}
		if read(t, r, name) != "" {
			t.Errorf("%s is there too", name)
		}
	}
	if p := plan(t, r, rowsOf(t, "testdata/roster.jsonl")); p.Changed() {
		t.Error("a second plan would write again")
	}
	info, err := os.Stat(filepath.Join(r.cfg.Dir, "shadow.cache.ixname"))
	if err != nil || info.Mode()&0o007 != 0 {
		t.Errorf("shadow's index has mode %v, %v", info.Mode(), err)
	}
}

func TestIndexesAreMadeAnewWhereTheyAreOldOrWrong(t *testing.T) {
	rows := policyRows()
	r := newCache(t, scratch(t))
	path := func(name string) string { return filepath.Join(r.cfg.Dir, name) }
	for name, spoil := range map[string]func() error{
		"older than the file": func() error {
			return os.Chtimes(path("passwd.cache.ixuid"), time.Unix(1000, 0), time.Unix(1000, 0))
		},
		"gone":                 func() error { return os.Remove(path("passwd.cache.ixname")) },
		"edited":               func() error { return os.WriteFile(path("group.cache.ixgid"), []byte("x\x000\x00\n"), 0o644) },
		"of a file that moved": func() error { return os.Chmod(path("shadow.cache"), 0o644) },
		"of a file of the future": func() error {
			at := time.Now().Add(time.Hour)
			return os.Chtimes(path("passwd.cache"), at, at)
		},
	} {
		commit(t, r, rows)
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		p := plan(t, r, rows)
		var diff bytes.Buffer
		if err := p.WriteDiff(&diff); err != nil || !p.Changed() || p.Effect().Harm() != 0 {
			t.Errorf("%s: changed %v, %v, %v", name, p.Changed(), p.Effect(), err)
		}
		if err := p.Commit(roster.Position{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkCache(t, r.cfg.Dir, true)
		if p := plan(t, r, rows); p.Changed() {
			t.Errorf("%s: not mended\n%s", name, diff.String())
		}
	}
}

// TestAnswersFromTheCacheAreRightAtEveryMoment stops a commit before each of its
// steps, with old and new files of the same second.
func TestAnswersFromTheCacheAreRightAtEveryMoment(t *testing.T) {
	stop := errors.New("stopped")
	for at := 0; ; at++ {
		dir := scratch(t)
		r := newCache(t, dir)
		commit(t, r, oldRows)
		n, done := 0, true
		r.step = func(_ string, op func() error) error {
			if n++; n > at {
				done = false
				return stop
			}
			return op()
		}
		p := plan(t, r, newRows)
		err := p.Commit(roster.Position{})
		checkCache(t, r.cfg.Dir, false)
		r.step = runStep
		if done && err == nil {
			if at < 30 {
				t.Errorf("only %d steps", at)
			}
			return
		}
		commit(t, r, newRows)
		checkCache(t, r.cfg.Dir, true)
	}
}

func TestCacheLiesBesideTheNodesOwnFiles(t *testing.T) {
	dir := scratch(t)
	etc := filepath.Join(dir, "lib")
	r := newRendererWith(t, dir, func(c *Config) {
		c.Layout, c.PasswdFile, c.GroupFile = LayoutNsscache, filepath.Join(etc, "passwd"), filepath.Join(etc, "group")
	})
	for _, name := range []string{"passwd", "group"} {
		data, err := os.ReadFile("testdata/etc/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(etc, name), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(t, r, policyRows())
	checkCache(t, etc, true)
	r.cfg.Layout = LayoutExtrausers
	var foreign *ForeignError
	if _, err := r.Plan(each(policyRows())); !errors.As(err, &foreign) {
		t.Errorf("the node's own files: %v", err)
	}
	r.cfg.Layout, r.cfg.PasswdFile = LayoutNsscache, filepath.Join(etc, "passwd.cache")
	if _, err := r.Plan(each(policyRows())); !errors.As(err, &foreign) {
		t.Errorf("the node's own file is called like ours: %v", err)
	}
}

func TestWithoutShadowTheCachesShadowGoes(t *testing.T) {
	dir := scratch(t)
	commit(t, newCache(t, dir), policyRows())
	r := newRendererWith(t, dir, func(c *Config) { c.Layout = LayoutNsscache; c.Policy.Shadow = false })
	commit(t, r, policyRows())
	if left, _ := filepath.Glob(filepath.Join(r.cfg.Dir, "shadow*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	checkCache(t, r.cfg.Dir, true)
	if plan(t, r, policyRows()).Changed() {
		t.Error("not settled")
	}
}

func TestEmptyCacheIsNoIndex(t *testing.T) {
	r := newCache(t, scratch(t))
	commit(t, r, policyRows())
	commit(t, r, []roster.Row{})
	checkCache(t, r.cfg.Dir, false)
	commit(t, r, policyRows())
	checkCache(t, r.cfg.Dir, true)
}

func TestLayoutFollowsTheSystem(t *testing.T) {
	file := filepath.Join(scratch(t), "os-release")
	for text, want := range map[string]Layout{
		"ID=debian\n":                 LayoutExtrausers,
		"ID=ubuntu\nID_LIKE=debian\n": LayoutExtrausers,
		"NAME=\"Rocky\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": LayoutAltfiles,
		"ID=fedora\n":                  LayoutAltfiles,
		"ID='rhel'\n":                  LayoutAltfiles,
		"VARIANT_ID=fedora\nID=arch\n": LayoutExtrausers,
		"":                             LayoutExtrausers,
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := LayoutFor(file+".absent", file); err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	if got, err := LayoutFor(file + ".absent"); err != nil || got != LayoutExtrausers {
		t.Errorf("no file: %s, %v", got, err)
	}
	if _, err := New(Config{Dir: "a", StateDir: "b", Layout: "sssd"}); err == nil {
		t.Error("a layout that is none: accepted")
	}
}

func TestImagesAreNotWrittenTo(t *testing.T) {
	dir := scratch(t)
	mark := filepath.Join(dir, "ostree-booted")
	r := newRenderer(t, dir)
	r.image, r.usr = []string{mark}, dir
	if err := r.Preflight(); err != nil {
		t.Errorf("without a mark: %v", err)
	}
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := r.Plan(each(policyRows()))
	var foreign *ForeignError
	if !errors.As(err, &foreign) || !strings.Contains(err.Error(), "extrausers") || !strings.Contains(err.Error(), "--root") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(r.cfg.StateDir); err == nil {
		t.Error("something was written")
	}
	// Below /usr it is the same, whether the directory is there or not.
	for path, refused := range map[string]bool{"/usr/lib": true, "/usr/local/none/such": true, "/lib": true, "/var/lib/extrausers": false, "/usrlocal": false} {
		r.cfg.Dir, r.usr = path, "/usr"
		if err := r.Preflight(); (err != nil) != refused {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Whoever names a root builds an image.
	r = newRendererWith(t, dir, func(c *Config) {
		c.Root, c.PasswdFile, c.GroupFile = dir, dir+"/passwd", dir+"/group"
	})
	r.image, r.usr = []string{mark}, dir
	if err := r.Preflight(); err != nil {
		t.Errorf("with a root: %v", err)
	}
}

func TestNoLinkLeadsOutOfTheRoot(t *testing.T) {
	dir := scratch(t)
	outside := scratch(t)
	r := newRendererWith(t, dir, func(c *Config) {
		c.Root, c.Dir, c.PasswdFile, c.GroupFile = dir, dir+"/var/extrausers", dir+"/etc/passwd", dir+"/etc/group"
	})
	for link, ok := range map[string]bool{outside: false, "/": false, "../" + filepath.Base(outside): false, "lib": true} {
		if err := os.Symlink(link, dir+"/var"); err != nil {
			t.Fatal(err)
		}
		err := r.Preflight()
		if (err == nil) != ok {
			t.Errorf("/var is a link to %s: %v", link, err)
		}
		if err := os.Remove(dir + "/var"); err != nil {
			t.Fatal(err)
		}
	}
}
