package altfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

var (
	oldRows = []roster.Row{account("1", "ada", 2000, withKeys(1)), account("2", "bob", 2001, withKeys(2, 3)), group("1", "eng", 3000), member("1", "1")}
	newRows = []roster.Row{account("1", "ada", 2000, locked, withKeys(1)), account("3", "carol", 2002, withKeys(4)), group("1", "eng", 3000), member("1", "3")}
)

func stamps(t *testing.T, r *Renderer) map[string]stamp {
	t.Helper()
	all := map[string]stamp{}
	for _, dir := range []string{r.cfg.Dir, r.cfg.StateDir} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Join(dir, e.Name())] = stampOf(info)
		}
	}
	return all
}

func TestCommitWritesTheFilesWithTheirModes(t *testing.T) {
	r := newRenderer(t, scratch(t))
	p := commit(t, r, oldRows)
	for _, f := range p.files {
		if got := read(t, r, f.name); got != string(f.data) {
			t.Errorf("%s holds %q", f.name, got)
		}
		dir := r.cfg.Dir
		if f.name == KeysFile {
			dir = r.cfg.StateDir
		}
		info, err := os.Lstat(filepath.Join(dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		st := stampOf(info)
		want := fs.FileMode(0o644)
		if f.name == shadowName {
			if want = 0o600; os.Geteuid() == 0 {
				want = 0o640
				if st.gid != 42 {
					t.Errorf("shadow has gid %d, not that of the group shadow", st.gid)
				}
			}
		} else if os.Geteuid() == 0 && st.gid != 0 {
			t.Errorf("%s has gid %d", f.name, st.gid)
		}
		if st.mode != want || int(st.uid) != os.Geteuid() {
			t.Errorf("%s has mode %v, uid %d", f.name, st.mode, st.uid)
		}
	}
	info, err := os.Stat(filepath.Join(r.cfg.StateDir, manifestName))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("manifest: %v, %v", info.Mode(), err)
	}
	noTemps(t, r)
}

func TestWithoutAShadowGroupOnlyRootReadsShadow(t *testing.T) {
	r := newRendererWith(t, scratch(t), func(c *Config) { c.ShadowGroup = "hasnone" })
	commit(t, r, oldRows)
	if info, err := os.Stat(filepath.Join(r.cfg.Dir, shadowName)); err != nil || info.Mode() != 0o600 {
		t.Errorf("shadow: %v, %v", info.Mode(), err)
	}
}

func TestASecondCommitTouchesNothing(t *testing.T) {
	r := newRenderer(t, scratch(t))
	first := commit(t, r, oldRows)
	before := stamps(t, r)
	p := commit(t, r, oldRows)
	if p.Changed() {
		t.Error("a change is planned")
	}
	if err := first.Commit(roster.Position{}); err != nil {
		t.Errorf("the first plan again: %v", err)
	}
	after := stamps(t, r)
	if len(before) != len(after) {
		t.Errorf("files %v, before %v", after, before)
	}
	for name, st := range before {
		if after[name] != st {
			t.Errorf("%s was touched", name)
		}
	}
}

func TestOnlyWhatChangesIsWritten(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	before := stamps(t, r)
	rows := append([]roster.Row{}, oldRows...)
	rows[0] = account("1", "ada", 2000, func(a *roster.Account) { a.Hash = "$6$other$hash" })
	commit(t, r, rows)
	after := stamps(t, r)
	for _, name := range []string{passwdName, groupName} {
		if path := filepath.Join(r.cfg.Dir, name); before[path] != after[path] {
			t.Errorf("%s was touched", name)
		}
	}
	if path := filepath.Join(r.cfg.Dir, shadowName); before[path].ino == after[path].ino {
		t.Error("shadow was written in place")
	}
}

func TestEditedAndDeletedFilesOfOursAreRepaired(t *testing.T) {
	r := newRenderer(t, scratch(t))
	want := commit(t, r, oldRows)
	path := func(name string) string { return filepath.Join(r.cfg.Dir, name) }
	for name, damage := range map[string]func() error{
		"passwd edited":     func() error { return os.WriteFile(path(passwdName), []byte("evil:x:0:0:::\n"), 0o644) },
		"passwd emptied":    func() error { return os.Truncate(path(passwdName), 0) },
		"shadow deleted":    func() error { return os.Remove(path(shadowName)) },
		"shadow made open":  func() error { return os.Chmod(path(shadowName), 0o644) },
		"passwd made suid":  func() error { return os.Chmod(path(passwdName), 0o644|fs.ModeSetuid) },
		"group one too few": func() error { return os.Truncate(path(groupName), 5) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			p := commit(t, r, oldRows)
			if !p.Changed() {
				t.Error("no change is planned")
			}
			for _, f := range want.files {
				if read(t, r, f.name) != string(f.data) {
					t.Errorf("%s is not repaired", f.name)
				}
			}
			if plan(t, r, oldRows).Changed() {
				t.Error("a change is left")
			}
		})
	}
}

func TestForeignTargetsAreRefused(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a symbolic link":           func(p string) error { return os.Symlink("/etc/hostname", p) },
		"a broken symbolic link":    func(p string) error { return os.Symlink("nowhere", p) },
		"a directory":               func(p string) error { return os.Mkdir(p, 0o755) },
		"a named pipe":              func(p string) error { return unix.Mkfifo(p, 0o644) },
		"a socket":                  func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o644, 0) },
		"somebody's content":        func(p string) error { return os.WriteFile(p, []byte("core:x:500:500::/:/bin/sh\n"), 0o644) },
		"a hard link, though empty": func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o644), os.Link(p, p+"2")) },
	} {
		for _, file := range []string{passwdName, groupName, shadowName} {
			t.Run(file+" is "+name, func(t *testing.T) {
				r := newRenderer(t, scratch(t))
				path := filepath.Join(r.cfg.Dir, file)
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				before, _ := os.Lstat(path)
				_, err := r.Plan(each(oldRows))
				var foreign *ForeignError
				if !errors.As(err, &foreign) || foreign.Path != path || !strings.Contains(err.Error(), "--dir") {
					t.Errorf("error %v", err)
				}
				after, err := os.Lstat(path)
				if err != nil || stampOf(before) != stampOf(after) {
					t.Error("it was touched")
				}
				if entries, _ := os.ReadDir(r.cfg.Dir); len(entries) > 2 {
					t.Errorf("files were made: %v", entries)
				}

				// The same must hold when it appears behind the plan's back.
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				_ = os.Remove(path + "2")
				p := plan(t, r, oldRows)
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				if err := p.Commit(roster.Position{}); !errors.As(err, &foreign) && !errors.Is(err, ErrStale) {
					t.Errorf("commit: %v", err)
				}
				noTemps(t, r)
			})
		}
	}
}

func TestEmptyFilesMayBeTakenOver(t *testing.T) {
	r := newRenderer(t, scratch(t))
	for _, name := range []string{passwdName, groupName, shadowName} {
		if err := os.WriteFile(filepath.Join(r.cfg.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, r, oldRows)
	if plan(t, r, oldRows).Changed() {
		t.Error("not written")
	}
}

func TestDirectoriesThatOthersRuleAreRefused(t *testing.T) {
	for _, state := range []bool{false, true} {
		for name, spoil := range map[string]func(dir string) error{
			"writable by others":   func(d string) error { return os.Chmod(d, 0o757) },
			"writable by a group":  func(d string) error { return os.Chmod(d, 0o775) },
			"writable, but sticky": func(d string) error { return os.Chmod(d, 0o777|fs.ModeSticky) },
			"somebody's":           func(d string) error { return os.Chown(d, 12345, 0) },
			"a file":               func(d string) error { return errors.Join(os.RemoveAll(d), os.WriteFile(d, nil, 0o644)) },
			"a bare link":          func(d string) error { return errors.Join(os.RemoveAll(d), os.Symlink("nowhere/at/all", d)) },
		} {
			t.Run(fmt.Sprint(name, ", state ", state), func(t *testing.T) {
				if name == "somebody's" && os.Geteuid() != 0 {
					t.Skip("SKIPPED: only root can give a directory away")
				}
				r := newRenderer(t, scratch(t))
				commit(t, r, oldRows)
				dir := r.cfg.Dir
				if state {
					dir = r.cfg.StateDir
				}
				if err := spoil(dir); err != nil {
					t.Fatal(err)
				}
				p, err := r.Plan(each(newRows))
				if err == nil {
					err = p.Commit(roster.Position{}) // a state directory that is missing is found here
				}
				if err == nil {
					t.Error("committed")
				}
			})
		}
	}
}

func TestTheNodesOwnDirectoryIsRefused(t *testing.T) {
	dir := scratch(t)
	r := newRendererWith(t, dir, func(c *Config) {
		c.PasswdFile, c.GroupFile = filepath.Join(c.Dir, "passwd"), filepath.Join(c.Dir, "group")
	})
	var foreign *ForeignError
	if _, err := r.Plan(each(oldRows)); !errors.As(err, &foreign) {
		t.Errorf("error %v", err)
	}
}

func TestUnreadableLocalFilesAbort(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.PasswdFile = "testdata/none" },
		func(c *Config) { c.GroupFile = "testdata/none" },
		func(c *Config) { c.GroupFile = "testdata/etc" },
	} {
		r := newRendererWith(t, scratch(t), change)
		if _, err := r.Plan(each(oldRows)); err == nil {
			t.Error("planned without the node's own files")
		}
	}
}

func TestADamagedManifestAborts(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"half of it":          func(p string) error { return os.Truncate(p, 20) },
		"another version":     func(p string) error { return os.WriteFile(p, []byte(`{"version":2}`), 0o600) },
		"writable by anybody": func(p string) error { return os.Chmod(p, 0o666) },
		"a link":              func(p string) error { return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			commit(t, r, oldRows)
			if err := spoil(filepath.Join(r.cfg.StateDir, manifestName)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Plan(each(newRows)); err == nil || !strings.Contains(err.Error(), manifestName) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestStalePlansAreNotCommitted(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	p, other := plan(t, r, newRows), plan(t, r, nil)
	if err := other.Commit(roster.Position{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(roster.Position{}); !errors.Is(err, ErrStale) {
		t.Errorf("error %v", err)
	}
	if err := p.WriteDiff(&strings.Builder{}); !errors.Is(err, ErrStale) {
		t.Errorf("difference: error %v", err)
	}
	if read(t, r, passwdName) != "" {
		t.Error("written all the same")
	}
}

func TestTwoCommitsAtOnceAreKeptApart(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	p := plan(t, r, newRows)
	rival := plan(t, r, newRows)
	var once sync.Once
	r.step = func(_ string, op func() error) error {
		once.Do(func() {
			if err := rival.Commit(roster.Position{}); !errors.Is(err, ErrBusy) {
				t.Errorf("rival: error %v", err)
			}
		})
		return op()
	}
	if err := p.Commit(roster.Position{}); err != nil {
		t.Fatal(err)
	}
	if plan(t, r, newRows).Changed() {
		t.Error("a change is left")
	}
}

func TestShadowOfOursGoesWhenNoneIsWanted(t *testing.T) {
	dir := scratch(t)
	commit(t, newRenderer(t, dir), oldRows)
	r := newRendererWith(t, dir, func(c *Config) { c.Policy.Shadow = false })
	p := commit(t, r, oldRows)
	if !p.Changed() || p.Effect().Harm() != 0 {
		t.Errorf("effect %v", p.Effect())
	}
	if _, err := os.Lstat(filepath.Join(r.cfg.Dir, shadowName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("shadow: %v", err)
	}
	if plan(t, r, oldRows).Changed() {
		t.Error("a change is left")
	}
	// Now that it is not ours any more, whatever lies there stays.
	if err := os.WriteFile(filepath.Join(r.cfg.Dir, shadowName), []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	commit(t, r, newRows)
	if read(t, r, shadowName) != "theirs" {
		t.Error("a foreign shadow was touched")
	}
}

func TestLinkedDirectoriesAreOneDirectory(t *testing.T) {
	dir := scratch(t)
	commit(t, newRenderer(t, dir), oldRows)
	if err := os.Symlink("lib", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	r := newRendererWith(t, dir, func(c *Config) { c.StateDir = filepath.Join(dir, "state") })
	r.cfg.Dir = filepath.Join(dir, "link")
	if plan(t, r, oldRows).Changed() {
		t.Error("the files are not known by their other path")
	}
}

func TestLabelsSurvive(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	path := filepath.Join(r.cfg.Dir, passwdName)
	label := []byte("system_u:object_r:passwd_file_t:s0\x00")
	if err := unix.Setxattr(path, labelAttr, label, 0); err != nil {
		t.Skipf("no SELinux labels can be set here: %v", err)
	}
	commit(t, r, newRows)
	got := make([]byte, 100)
	n, err := unix.Getxattr(path, labelAttr, got)
	if err != nil || string(got[:n]) != string(label) {
		t.Errorf("label %q, %v", got[:max(n, 0)], err)
	}
}

func TestOnlyLeftoversOfOursAreRemoved(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	random := "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	ours := []string{".pwb-passwd." + random, ".pwb-group." + random, ".pwb-shadow." + random}
	theirs := []string{".pwb-passwd.notes", ".pwb-passwd." + random[1:], ".pwb-gshadow." + random, "passwd-", ".pwb-shadow." + random[1:] + "0"}
	for _, name := range append(ours, theirs...) {
		edit(t, r, name, "anything")
	}
	if err := os.Mkdir(filepath.Join(r.cfg.Dir, ".pwb-group.Z"+random[1:]), 0o755); err != nil {
		t.Fatal(err)
	}
	// There may be hashes in them: they are a change by themselves.
	if p := commit(t, r, oldRows); !p.Changed() || plan(t, r, oldRows).Changed() {
		t.Error("leftovers wait for another change")
	}
	for _, name := range ours {
		if read(t, r, name) != "" {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range theirs {
		if read(t, r, name) == "" {
			t.Errorf("%s was removed", name)
		}
	}
	if _, err := os.Stat(filepath.Join(r.cfg.Dir, ".pwb-group.Z"+random[1:])); err != nil {
		t.Error(err)
	}
}

// TestReadersNeverSeeHalf reads while a thousand commits happen: each file is
// always there and always one of the two versions, and whoever was there before
// and after has a shadow line at every moment.
func TestReadersNeverSeeHalf(t *testing.T) {
	r := newRenderer(t, scratch(t))
	versions := map[string]map[string]bool{passwdName: {}, groupName: {}, shadowName: {}, KeysFile: {}}
	sets := [][]roster.Row{oldRows, newRows}
	for _, rows := range sets {
		for _, f := range commit(t, r, rows).files {
			versions[f.name][string(f.data)] = true
		}
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	rounds := make([]int, 2)
	for i := range rounds {
		readers.Go(func() {
			for {
				for name, dir := range map[string]string{passwdName: r.cfg.Dir, groupName: r.cfg.Dir, shadowName: r.cfg.Dir, KeysFile: r.cfg.StateDir} {
					data, err := os.ReadFile(filepath.Join(dir, name))
					if err != nil || !versions[name][string(data)] {
						t.Errorf("%s: %v, %q", name, err, data)
						return
					}
					if name != KeysFile && !strings.HasPrefix(string(data), "ada:") {
						t.Errorf("ada is not in %s", name)
						return
					}
				}
				rounds[i]++
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 1000 {
		commit(t, r, sets[i%2])
	}
	close(done)
	readers.Wait()
	t.Logf("%v rounds of reading", rounds)
}
