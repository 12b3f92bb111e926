package altfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
)

func indexPath(r *Renderer, name string) string { return filepath.Join(r.cfg.StateDir, name) }

// openIndex is an index in its place, nil if there is none.
func openIndex(tb testing.TB, r *Renderer, name string) *Index {
	tb.Helper()
	x, err := OpenIndex(indexPath(r, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { x.Close() })
	return x
}

// checkIndexes fails unless the indexes show what the files show.
func checkIndexes(t *testing.T, r *Renderer) {
	t.Helper()
	s := scan(t, []byte(read(t, r, passwdName)), []byte(read(t, r, groupName)), []byte(read(t, r, shadowName)))
	x, y := openIndex(t, r, RosterIndex), openIndex(t, r, ShadowIndex)
	if x == nil || (y == nil) == r.rules.shadow {
		t.Fatalf("indexes %v, %v", x, y)
	}
	s.check(t, x, y, false)
}

// openToOthers are the files and directories below the state directory that others
// can reach and that have any bit for them.
func openToOthers(t *testing.T, dir string) (open []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o007 != 0 {
			name, _ := filepath.Rel(dir, path)
			open = append(open, fmt.Sprintf("%s %#o", name, info.Mode().Perm()))
		} else if err == nil && e.IsDir() {
			return fs.SkipDir // former files in it have the modes that they had
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return open
}

func TestOthersReadTheIndexOfAccountsAndNothingElseOfTheState(t *testing.T) {
	r := newRenderer(t, scratch(t))
	for _, rows := range [][]roster.Row{oldRows, newRows, tiny} {
		commit(t, r, rows)
		checkIndexes(t, r)
		want := []string{". 0711", KeysFile + " 0644", RosterIndex + " 0644"}
		if read(t, r, KeysFile) == "" {
			want = slices.Delete(want, 1, 2)
		}
		if got := openToOthers(t, r.cfg.StateDir); !slices.Equal(got, want) {
			t.Errorf("others may look at %v", got)
		}
	}
	shadow, err := os.Stat(filepath.Join(r.cfg.Dir, shadowName))
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.Stat(indexPath(r, ShadowIndex))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := stampOf(shadow), stampOf(index); a.mode != b.mode || a.uid != b.uid || a.gid != b.gid {
		t.Errorf("%s has %v %d:%d, shadow %v %d:%d", ShadowIndex, b.mode, b.uid, b.gid, a.mode, a.uid, a.gid)
	}
	if data := read(t, r, RosterIndex); strings.Contains(data, "$6$") {
		t.Error("a hash is in the index that all may read")
	}
}

// loginsOf are those whom the indexes let in, as pam_unix would find: a shell, and
// an open password where the account has one in shadow.
func loginsOf(t *testing.T, r *Renderer, names ...string) (in []string) {
	t.Helper()
	x, y := openIndex(t, r, RosterIndex), openIndex(t, r, ShadowIndex)
	for _, name := range names {
		if x == nil || y == nil {
			continue
		}
		p, ok, err := x.Passwd(name)
		if err != nil {
			t.Fatal(err)
		}
		s, hashed, err := y.Shadow(name)
		if err != nil {
			t.Fatal(err)
		}
		if ok && hashed && !r.rules.refusesLogin(p.Shell) && r.open(s) {
			in = append(in, name)
		}
	}
	return in
}

// TestADyingCommitLetsNobodyInByTheIndex: ada is locked, bob removed, carol new.
func TestADyingCommitLetsNobodyInByTheIndex(t *testing.T) {
	states := map[string]int{}
	for _, kind := range []fault{fails, applied} {
		for n := 0; ; n++ {
			r := newRenderer(t, scratch(t))
			commit(t, r, oldRows)
			before := read(t, r, ShadowIndex)
			p := plan(t, r, newRows)
			count := breakStep(r, n, kind)
			err := p.Commit(roster.Position{})
			r.step = runStep
			in := strings.Join(loginsOf(t, r, "ada", "bob", "carol"), " ")
			want := map[bool]string{true: "ada bob", false: ""}[read(t, r, ShadowIndex) == before]
			if read(t, r, passwdName) == rendered(t, newRows)[passwdName] && read(t, r, RosterIndex) == rendered(t, newRows)[RosterIndex] {
				want = "carol"
			}
			if in != want {
				t.Errorf("step %d %s: %q are let in, not %q", n, kind, in, want)
			}
			states[in]++
			if *count <= n {
				if err != nil {
					t.Error(err)
				}
				break
			}
		}
	}
	if len(states) != 3 {
		t.Errorf("seen were %v", states)
	}
}

func TestAnIndexThatIsMissingOrAlteredIsMadeAnew(t *testing.T) {
	for _, name := range []string{RosterIndex, ShadowIndex} {
		for what, c := range map[string]struct {
			do    func(path string) error
			tells bool
		}{
			"deleted":        {os.Remove, true},
			"emptied":        {func(path string) error { return os.Truncate(path, 0) }, true},
			"opened to all":  {func(path string) error { return os.Chmod(path, 0o666) }, true},
			"closed":         {func(path string) error { return os.Chmod(path, 0o400) }, true},
			"edited":         {func(path string) error { return flip(path, 300) }, true},
			"its generation": {func(path string) error { return flip(path, 32) }, true},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				r := newRenderer(t, scratch(t))
				commit(t, r, oldRows)
				want, before := read(t, r, name), stamps(t, r)
				mark, _, err := r.Mark()
				if err != nil {
					t.Fatal(err)
				}
				if err := c.do(indexPath(r, name)); err != nil {
					t.Fatal(err)
				}
				if now, _, err := r.Mark(); err != nil || now == mark {
					t.Errorf("the mark is the same, %v", err)
				}
				p := plan(t, r, oldRows)
				if e := p.Effect(); !p.Changed() || e.Before != 2 || e.After != 2 || e.Changed+e.Harm() != 0 {
					t.Errorf("changed %v, effect %v", p.Changed(), e)
				}
				if all, err := p.Altered(); err != nil || len(all) != 1 || !strings.HasPrefix(all[0], indexPath(r, name)+" ") {
					t.Errorf("altered: %q, %v", all, err)
				}
				var diff strings.Builder
				if err := p.WriteDiff(&diff); err != nil || !strings.Contains(diff.String(), "--- "+indexPath(r, name)+"\n") {
					t.Errorf("%v, difference\n%s", err, diff.String())
				}
				if err := p.Commit(roster.Position{}); err != nil {
					t.Fatal(err)
				}
				if read(t, r, name) != want || plan(t, r, oldRows).Changed() {
					t.Error("not made anew")
				}
				for path, st := range stamps(t, r) {
					if file := filepath.Base(path); file != name && file != manifestName && before[path] != st {
						t.Errorf("%s was touched", file)
					}
				}
				noTemps(t, r)
			})
		}
	}
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 1
	_, err2 := f.WriteAt(b[:], at)
	return errors.Join(err, err2, f.Close())
}

func TestEachIndexIsWrittenForWhatItShowsAlone(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	for name, c := range map[string]struct {
		change func(*roster.Account)
		same   string
	}{
		"another hash":  {func(a *roster.Account) { a.Hash = "$6$other$hash" }, RosterIndex},
		"another gecos": {func(a *roster.Account) { a.Gecos = "Ada" }, ShadowIndex},
	} {
		t.Run(name, func(t *testing.T) {
			before := stamps(t, r)
			rows := slices.Clone(oldRows)
			rows[0] = account("1", "ada", 2000, c.change)
			commit(t, r, rows)
			for path, st := range stamps(t, r) {
				if filepath.Ext(path) == ".idx" && (before[path] == st) != (filepath.Base(path) == c.same) {
					t.Errorf("%s: untouched %v", path, before[path] == st)
				}
			}
			checkIndexes(t, r)
			commit(t, r, oldRows)
		})
	}
}

func TestEqualRostersHaveEqualIndexesAndOthersAnotherGeneration(t *testing.T) {
	seen := map[uint64]string{}
	for name, c := range map[string]struct {
		rows   []roster.Row
		change func(*Config)
	}{
		"old":        {oldRows, func(*Config) {}},
		"new":        {newRows, func(*Config) {}},
		"tiny":       {tiny, func(*Config) {}},
		"restricted": {tiny, func(c *Config) { c.Policy.DenyUsers = []string{"nobody-here"} }},
		"least":      {tiny, func(c *Config) { c.Policy.MinID = 1500 }},
	} {
		var first map[string]string
		for range 2 {
			r := newRendererWith(t, scratch(t), c.change)
			commit(t, r, c.rows)
			now := map[string]string{RosterIndex: read(t, r, RosterIndex), ShadowIndex: read(t, r, ShadowIndex)}
			if first != nil {
				if !maps.Equal(now, first) {
					t.Errorf("%s: not twice the same", name)
				}
				continue
			}
			first = now
			for file := range now {
				g := openIndex(t, r, file).Generation()
				if other, twice := seen[g]; twice {
					t.Errorf("%s of %s has the generation of %s", file, name, other)
				}
				seen[g] = file + " of " + name
			}
		}
	}
}

// TestWithoutTheKeyIndexesAreGoneBeforeAnyFileIsNew breaks each step of the commit
// that removes them.
func TestWithoutTheKeyIndexesAreGoneBeforeAnyFileIsNew(t *testing.T) {
	after := rendered(t, newRows)
	for n := 0; ; n++ {
		r := newRenderer(t, scratch(t))
		commit(t, r, oldRows)
		r.cfg.Index = false
		p := plan(t, r, newRows)
		count := breakStep(r, n, fails)
		err := p.Commit(roster.Position{})
		r.step = runStep
		if read(t, r, RosterIndex)+read(t, r, ShadowIndex) != "" && read(t, r, shadowName) == after[shadowName] {
			t.Fatalf("step %d: an index shows what the files do not", n)
		}
		commit(t, r, newRows)
		for _, name := range []string{RosterIndex, ShadowIndex} {
			if _, err := os.Lstat(indexPath(r, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("step %d: %s: %v", n, name, err)
			}
		}
		if plan(t, r, newRows).Changed() {
			t.Errorf("step %d: a change is left", n)
		}
		if *count <= n {
			if err != nil {
				t.Error(err)
			}
			r.cfg.Index = true
			commit(t, r, newRows)
			checkIndexes(t, r)
			return
		}
	}
}
