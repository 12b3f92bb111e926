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
	"sync"
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
		if got := openToOthers(t, r.cfg.StateDir); !slices.Equal(got, []string{". 0711", RosterIndex + " 0644"}) {
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

func TestWithoutShadowThereIsNoIndexOfIt(t *testing.T) {
	dir := scratch(t)
	commit(t, newRenderer(t, dir), oldRows)
	r := newRendererWith(t, dir, func(c *Config) { c.Policy.Shadow = false })
	commit(t, r, oldRows)
	checkIndexes(t, r)
	if plan(t, r, oldRows).Changed() {
		t.Error("a change is left")
	}
}

func TestAStateDirectoryThatIsShutIsOpenedForTheIndexAlone(t *testing.T) {
	dir := scratch(t)
	r := newRenderer(t, dir)
	commit(t, r, oldRows)
	mark, _, err := r.Mark()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if now, _, err := r.Mark(); err != nil || now == mark {
		t.Errorf("the mark is the same, %v", err)
	}
	without := newRendererWith(t, dir, func(c *Config) { c.Index = false })
	commit(t, without, oldRows)
	if info, err := os.Stat(r.cfg.StateDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("without an index it has mode %v, %v", info.Mode(), err)
	}
	commit(t, r, oldRows)
	if info, err := os.Stat(r.cfg.StateDir); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("it has mode %v, %v", info.Mode(), err)
	}
	checkIndexes(t, r)
}

func TestWhatAKilledCommitLeftOfAnIndexIsRemoved(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	left := indexPath(r, tempPrefix(ShadowIndex)+strings.Repeat("A", 26))
	if err := os.WriteFile(left, []byte("$6$hash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := commit(t, r, oldRows); !p.Changed() {
		t.Error("no change is planned")
	}
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestALinkInAnIndexsPlaceIsRefused(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	target := filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Remove(indexPath(r, RosterIndex)), os.Symlink(target, indexPath(r, RosterIndex))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Plan(each(newRows)); !errors.As(err, new(*ForeignError)) {
		t.Errorf("error %v", err)
	}
	if _, err := OpenIndex(indexPath(r, RosterIndex)); err == nil {
		t.Error("a link was followed")
	}
}

func TestPuttingBackAGenerationPutsItsIndexesBack(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	want := rendered(t, oldRows)
	commit(t, r, newRows)
	restore(t, r, 1)
	for _, name := range []string{RosterIndex, ShadowIndex} {
		if read(t, r, name) != want[name] {
			t.Errorf("%s is not that of the generation", name)
		}
	}
	checkIndexes(t, r)
	// What is in place stays, though the policy would refuse it now, and its index is mended.
	strict := newRendererWith(t, filepath.Dir(r.cfg.StateDir), func(c *Config) { c.Policy.Shells = []string{"/bin/zsh"} })
	if err := os.Remove(indexPath(r, RosterIndex)); err != nil {
		t.Fatal(err)
	}
	restore(t, strict, 1)
	checkIndexes(t, strict)
}

func TestTheHeaderSaysWhetherThePolicyRestricts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Policy)
		want   bool
	}{
		"nothing set":       {func(*Policy) {}, false},
		"min-id":            {func(p *Policy) { p.MinID = 1001 }, true},
		"max-id":            {func(p *Policy) { p.MaxID = 70000 }, true},
		"allow-users":       {func(p *Policy) { p.AllowUsers = []string{"ada"} }, true},
		"deny-users":        {func(p *Policy) { p.DenyUsers = []string{"ada"} }, true},
		"allow-groups":      {func(p *Policy) { p.AllowGroups = []string{"eng"} }, true},
		"deny-groups":       {func(p *Policy) { p.DenyGroups = []string{"eng"} }, true},
		"render-groups":     {func(p *Policy) { p.RenderGroups = RenderUsed }, true},
		"render-groups all": {func(p *Policy) { p.RenderGroups = RenderAll }, false},
		"shell-map":         {func(p *Policy) { p.ShellMap = []string{"/bin/zsh=/bin/bash"} }, true},
		"home-pattern":      {func(p *Policy) { p.HomePattern = "/srv/%u" }, true},
		"protect-names":     {func(p *Policy) { p.ProtectNames = []string{"ada"} }, true},
		"fewer shells":      {func(p *Policy) { p.Shells = []string{"/bin/bash"} }, true},
		"more shells":       {func(p *Policy) { p.Shells = append(p.Shells, "/opt/sh") }, false},
		"allow-names":       {func(p *Policy) { p.AllowNames = []string{"docker"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRendererWith(t, scratch(t), func(cfg *Config) { c.change(&cfg.Policy) })
			commit(t, r, oldRows)
			for _, name := range []string{RosterIndex, ShadowIndex} {
				if got := openIndex(t, r, name).Restricted(); got != c.want {
					t.Errorf("%s: restricted is %v", name, got)
				}
			}
		})
	}
}

// TestAnIndexIsWholeAtEveryMoment looks up while hundreds of commits happen, with
// files and indexes drafted at once as outside of tests.
func TestAnIndexIsWholeAtEveryMoment(t *testing.T) {
	r := newRenderer(t, scratch(t))
	r.beside = both
	commit(t, r, oldRows)
	done := make(chan struct{})
	var readers sync.WaitGroup
	rounds := 0
	readers.Go(func() {
		for {
			x, err := OpenIndex(indexPath(r, RosterIndex))
			if err != nil {
				t.Error(err)
				return
			}
			p, ok, err := x.Passwd("ada")
			q, there, err2 := x.PasswdByUID(2000)
			if err := errors.Join(err, err2, x.Close()); err != nil || !ok || !there || p != q {
				t.Errorf("%v, %v, %v", p, q, err)
				return
			}
			rounds++
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range 300 {
		commit(t, r, [][]roster.Row{newRows, oldRows}[i%2])
	}
	close(done)
	readers.Wait()
	checkIndexes(t, r)
	t.Logf("%d rounds of reading", rounds)
}
