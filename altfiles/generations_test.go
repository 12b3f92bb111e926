package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// at is a position.
func at(seq int64) roster.Position { return roster.Position{Epoch: "e", Seq: seq} }

func commitAt(tb testing.TB, r *Renderer, rows []roster.Row, seq int64) *Plan {
	tb.Helper()
	p := plan(tb, r, rows)
	if err := errors.Join(p.Commit(at(seq)), p.NotKept()); err != nil {
		tb.Fatalf("commit: %v", err)
	}
	return p
}

func restore(tb testing.TB, r *Renderer, number int64) *Plan {
	tb.Helper()
	p, err := r.PlanGeneration(number)
	if err != nil {
		tb.Fatalf("plan generation %d: %v", number, err)
	}
	if err := errors.Join(p.Commit(roster.Position{}), p.NotKept()); err != nil {
		tb.Fatalf("put generation %d back: %v", number, err)
	}
	return p
}

// held are the bytes, mode and owner of each file of the layout.
func filesHeld(tb testing.TB, r *Renderer) map[string]string {
	tb.Helper()
	all := map[string]string{}
	for _, name := range r.cfg.Layout.names() {
		info, err := os.Lstat(filepath.Join(r.cfg.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			tb.Fatal(err)
		}
		st := stampOf(info)
		all[name] = fmt.Sprintf("%v %d:%d\n%s", st.mode, st.uid, st.gid, read(tb, r, name))
	}
	return all
}

func checkHeld(tb testing.TB, r *Renderer, want map[string]string) {
	tb.Helper()
	got := filesHeld(tb, r)
	for name := range want {
		if got[name] != want[name] {
			tb.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			tb.Errorf("%s should not be there", name)
		}
	}
}

// list is the generations' numbers, the one in place with a star.
func list(tb testing.TB, r *Renderer) string {
	tb.Helper()
	all, err := r.Generations()
	if err != nil {
		tb.Fatal(err)
	}
	var words []string
	for _, g := range all {
		word := fmt.Sprint(g.Number)
		if g.InPlace {
			word += "*"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// inStore are the names in the store.
func inStore(tb testing.TB, r *Renderer) []string {
	tb.Helper()
	entries, err := os.ReadDir(filepath.Join(r.cfg.StateDir, storeName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// crowd is a roster of n accounts.
func crowd(n int) []roster.Row {
	var rows []roster.Row
	for i := range n {
		rows = append(rows, account(fmt.Sprintf("%03d", i), fmt.Sprintf("user%d", i), uint32(2000+i)))
	}
	return rows
}

func TestAGenerationComesBackByteForByte(t *testing.T) {
	for _, layout := range []Layout{LayoutExtrausers, LayoutAltfiles, LayoutNsscache} {
		for _, shadow := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, shadow %v", layout, shadow), func(t *testing.T) {
				r := newRendererWith(t, scratch(t), func(c *Config) { c.Layout, c.Policy.Shadow = layout, shadow })
				var was []map[string]string
				for n := 1; n <= 3; n++ {
					commitAt(t, r, crowd(n), int64(10*n))
					was = append(was, filesHeld(t, r))
				}
				if got := list(t, r); got != "1 2 3*" {
					t.Fatalf("generations %s", got)
				}
				for _, n := range []int64{1, 3, 2, 1} {
					p := restore(t, r, n)
					checkHeld(t, r, was[n-1])
					if e := p.Effect(); e.After != int(n) {
						t.Errorf("effect %v", e)
					}
					if got := list(t, r); !strings.Contains(got, fmt.Sprintf("%d*", n)) || len(got) != 6 {
						t.Errorf("after %d was put back the generations are %s", n, got)
					}
					again, err := r.PlanGeneration(n)
					if err != nil || again.Changed() {
						t.Errorf("generation %d is in place, but plans a change (%v)", n, err)
					}
					noTemps(t, r)
				}
				all, err := r.Generations()
				if err != nil || all[1].Position != at(20) || all[1].Accounts != 2 || time.Since(all[1].Time) > time.Hour {
					t.Errorf("%+v, %v", all, err)
				}
				// What was put back is followed by a number of its own.
				commitAt(t, r, crowd(4), 40)
				if got := list(t, r); !strings.HasSuffix(got, "4*") {
					t.Errorf("generations %s", got)
				}
			})
		}
	}
}

func TestModeAndOwnerComeBackWithTheBytes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root gives files to others")
	}
	r := newRenderer(t, scratch(t))
	commitAt(t, r, crowd(1), 1)
	was := filesHeld(t, r)
	commitAt(t, r, crowd(2), 2)
	for _, name := range []string{shadowName, passwdName} {
		path := filepath.Join(r.cfg.Dir, name)
		if err := errors.Join(os.Chmod(path, 0o604), os.Chown(path, 12, 12)); err != nil {
			t.Fatal(err)
		}
	}
	restore(t, r, 1)
	checkHeld(t, r, was)
}

func TestShadowThatWentComesBack(t *testing.T) {
	dir := scratch(t)
	r := newRenderer(t, dir)
	commitAt(t, r, crowd(2), 1)
	was := filesHeld(t, r)
	without := newRendererWith(t, dir, func(c *Config) { c.Policy.Shadow = false })
	commitAt(t, without, crowd(2), 2)
	if _, ok := filesHeld(t, r)[shadowName]; ok {
		t.Fatal("shadow is still there")
	}
	if _, err := without.PlanGeneration(1); err == nil || !strings.Contains(err.Error(), "does not pass") {
		t.Errorf("where NSS reads no shadow, x in passwd: %v", err)
	}
	restore(t, r, 1)
	checkHeld(t, r, was)
	restore(t, r, 1)
}

func TestTheLastGenerationsStayAndNoOtherBytes(t *testing.T) {
	r := newRenderer(t, scratch(t)) // keeps 2
	day := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	r.now = func() time.Time { return day }
	for n := 1; n <= 5; n++ {
		commitAt(t, r, crowd(n), int64(n))
	}
	if got := list(t, r); got != "3 4 5*" {
		t.Fatalf("generations %s", got)
	}
	if n := len(inStore(t, r)); n != 6 {
		t.Errorf("%d files in the store, want three each of two generations", n)
	}
	if info, err := os.Stat(filepath.Join(r.cfg.StateDir, storeName)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := r.PlanGeneration(2); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "of 3 to 5") {
		t.Errorf("error %v", err)
	}
	// A burst does not push out what was there at the ends of days before.
	for n := 6; n <= 30; n++ {
		day = day.Add(6 * time.Hour)
		commitAt(t, r, crowd(n), int64(n))
	}
	burst := day.Add(24 * time.Hour)
	r.now = func() time.Time { return burst }
	for n := 31; n <= 39; n++ {
		commitAt(t, r, crowd(n), int64(n))
	}
	if got := list(t, r); got != "22 26 30 37 38 39*" {
		t.Errorf("generations %s", got)
	}
	restore(t, r, 22)
	if got := read(t, r, passwdName); strings.Count(got, "\n") != 22 {
		t.Errorf("passwd is\n%s", got)
	}
}

func TestNothingIsKeptWhereNothingShallBe(t *testing.T) {
	dir := scratch(t)
	r := newRenderer(t, dir)
	commitAt(t, r, crowd(1), 1)
	commitAt(t, r, crowd(2), 2)
	if len(inStore(t, r)) == 0 {
		t.Fatal("nothing is kept")
	}
	none := newRendererWith(t, dir, func(c *Config) { c.KeepGenerations = 0 })
	commitAt(t, none, crowd(3), 3)
	if left := inStore(t, r); len(left) > 0 || list(t, r) != "3*" {
		t.Errorf("left in the store: %v; generations %s", left, list(t, r))
	}
}

func TestWhatSomebodyElseWroteIsNoGeneration(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commitAt(t, r, crowd(1), 1)
	path := filepath.Join(r.cfg.Dir, passwdName)
	data := strings.Replace(read(t, r, passwdName), "user0", "evil0", 1) // as long as before
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	commitAt(t, r, crowd(2), 2)
	for _, name := range inStore(t, r) {
		stored, err := os.ReadFile(filepath.Join(r.cfg.StateDir, storeName, name))
		if err != nil || bytes.Contains(stored, []byte("evil0")) {
			t.Errorf("kept %q, %v", stored, err)
		}
	}
	if got := list(t, r); got != "2*" {
		t.Errorf("generations %s, though the first cannot be put back", got)
	}
	// Who only touches a file, or has it mended first, loses nothing.
	was := filesHeld(t, r)
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	commitAt(t, r, crowd(3), 3)
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	commitAt(t, r, crowd(3), 4)
	commitAt(t, r, crowd(4), 5)
	if got := list(t, r); got != "2 3 4*" {
		t.Errorf("generations %s", got)
	}
	restore(t, r, 2)
	checkHeld(t, r, was)
}

func TestADamagedGenerationIsRefusedAndNamed(t *testing.T) {
	for how, damage := range map[string]func(path string) error{
		"cut":      func(path string) error { return os.Truncate(path, 3) },
		"removed":  os.Remove,
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"edited": func(path string) error {
			data, err := os.ReadFile(path)
			if err == nil {
				data[0] ^= 1
				err = os.WriteFile(path, data, 0o600)
			}
			return err
		},
	} {
		t.Run(how, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			commitAt(t, r, crowd(1), 1)
			commitAt(t, r, crowd(2), 2)
			before := filesHeld(t, r)
			for _, name := range inStore(t, r) {
				if err := damage(filepath.Join(r.cfg.StateDir, storeName, name)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := r.PlanGeneration(1)
			if _, ok := errors.AsType[*DamagedError](err); !ok || !strings.Contains(err.Error(), "generation 1 cannot be put back") {
				t.Errorf("error %v", err)
			}
			if err := r.Hold(1); err == nil {
				t.Error("it is held")
			}
			checkHeld(t, r, before)
			commitAt(t, r, crowd(3), 3)
		})
	}
}

func TestAHeldGenerationOutlivesItsFiles(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commitAt(t, r, crowd(2), 1)
	was := filesHeld(t, r)
	if err := r.Hold(1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{shadowName, groupName, passwdName} {
		if err := os.Remove(filepath.Join(r.cfg.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	restore(t, r, 1)
	checkHeld(t, r, was)
	for _, name := range inStore(t, r) {
		if info, err := os.Stat(filepath.Join(r.cfg.StateDir, storeName, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestFilesFromBeforeThereWereGenerationsAreTheFirst(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commitAt(t, r, crowd(1), 1)
	was := filesHeld(t, r)
	path := filepath.Join(r.cfg.StateDir, manifestName)
	m, err := r.manifest()
	if err != nil {
		t.Fatal(err)
	}
	m.Memory = memory{}
	for name, rec := range m.Dirs[r.cfg.Dir] {
		rec.Placed = ""
		m.Dirs[r.cfg.Dir][name] = rec
	}
	state, err := openState(filepath.Dir(path), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.write(state, runStep), state.Close()); err != nil {
		t.Fatal(err)
	}
	commitAt(t, r, crowd(2), 2)
	all, err := r.Generations()
	if err != nil || len(all) != 2 || all[0].Position != (roster.Position{}) || all[0].Accounts != 1 || all[1].Number != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	restore(t, r, 1)
	checkHeld(t, r, was)
}

func TestReadmitsNamesWhoGetsInAgain(t *testing.T) {
	r := newRenderer(t, scratch(t))
	reset := func(a *roster.Account) { a.Hash = "$6$salt$another" }
	nologin := func(a *roster.Account) { a.Shell = "/usr/sbin/nologin" }
	commitAt(t, r, []roster.Row{account("1", "ada", 2001), account("2", "bob", 2002), account("3", "carol", 2003, withKeys(3)), account("4", "dan", 2004, withKeys(4, 5)), account("5", "eve", 2005, locked), account("6", "fay", 2006, nologin)}, 1)
	commitAt(t, r, []roster.Row{account("1", "ada", 2001), account("2", "bob", 2002, locked), account("4", "dan", 2004, reset, withKeys(4)), account("5", "eve", 2005, locked), account("7", "gus", 2007)}, 2)
	p, err := r.PlanGeneration(1)
	if err != nil {
		t.Fatal(err)
	}
	in, passwords, keys, err := p.Readmits()
	if err != nil || !slices.Equal(in, []string{"bob", "carol"}) || !slices.Equal(passwords, []string{"dan"}) || !slices.Equal(keys, []string{"carol", "dan"}) {
		t.Errorf("lets in %v, former passwords %v, former keys %v, %v", in, passwords, keys, err)
	}
	var out strings.Builder
	if err := p.WriteDiff(&out); err != nil || strings.Contains(out.String(), "hash") || !strings.Contains(out.String(), "+carol:") || !strings.Contains(out.String(), "-gus:") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestLocalAccountsSinceThenAreRespected(t *testing.T) {
	dir := scratch(t)
	passwd := filepath.Join(dir, "passwd")
	if err := os.WriteFile(passwd, []byte("root:x:0:0::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRendererWith(t, dir, func(c *Config) { c.PasswdFile = passwd })
	commitAt(t, r, crowd(2), 1)
	commitAt(t, r, crowd(1), 2)
	before := filesHeld(t, r)
	if err := os.WriteFile(passwd, []byte("root:x:0:0::/:/bin/sh\nuser1:x:1500:1500::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PlanGeneration(1); err == nil || !strings.Contains(err.Error(), "local account") {
		t.Errorf("error %v", err)
	}
	checkHeld(t, r, before)
}

// TestWhereFilesCannotBeExchanged is a file system such as NFS.
func TestWhereFilesCannotBeExchanged(t *testing.T) {
	renameat2 = func(int, string, int, string, uint) error { return unix.EINVAL }
	defer func() { renameat2 = unix.Renameat2 }()
	r := newRenderer(t, scratch(t))
	commitAt(t, r, crowd(1), 1)
	was := filesHeld(t, r)
	commitAt(t, r, crowd(2), 2)
	restore(t, r, 1)
	checkHeld(t, r, was)
	noTemps(t, r)
}
