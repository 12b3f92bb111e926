package altfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pwb/roster"
)

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
	commit(t, without, tiny)
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

func TestAnotherNameOfAnIndexStopsNothing(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	other := filepath.Join(filepath.Dir(r.cfg.StateDir), "other")
	for _, name := range stateFiles {
		if err := os.Link(indexPath(r, name), other+name); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, r, newRows)
	checkIndexes(t, r)
	if got, err := os.ReadFile(other + ShadowIndex); err != nil || string(got) != rendered(t, oldRows)[ShadowIndex] {
		t.Errorf("what the other name has was written to: %v", err)
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
