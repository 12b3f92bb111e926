package altfiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/roster"
)

// keysOf are the keys that sshd would be told for a name on a day.
func keysOf(t *testing.T, r *Renderer, name string, today int64) []string {
	t.Helper()
	keys, err := ReadKeys(filepath.Join(r.cfg.StateDir, KeysFile), r.cfg.PasswdFile, name, time.Unix(today*24*60*60, 0))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// theKeys are the nth keys, as ReadKeys has them.
func theKeys(all ...int) (keys []string) {
	for _, n := range all {
		keys = append(keys, sshKey(n))
	}
	slices.Sort(keys)
	return keys
}

func TestWhoHasKeysAndWhoHasNone(t *testing.T) {
	r := newRendererWith(t, scratch(t), func(c *Config) { c.Policy.DenyUsers = []string{"denied"} })
	commit(t, r, []roster.Row{
		account("01", "zoe", 2001, withKeys(1, 2)),
		account("02", "ada", 2002, withKeys(3), aliases("countess", "a-l")),
		account("03", "locked", 2003, withKeys(4), locked),
		account("04", "hashed", 2004, withKeys(5), func(a *roster.Account) { a.Hash = "!" + a.Hash }),
		account("05", "ends", 2005, withKeys(6), expires(20000)),
		account("06", "denied", 2006, withKeys(7)),
		account("07", "root", 2007, withKeys(8)),
		account("08", "plain", 2008),
		account("09", "shared", 2009, withKeys(9), func(a *roster.Account) { a.GID = 4000 }),
		account("10", "ad", 2010, withKeys(10), func(a *roster.Account) { a.Hash = "" }),
		account("11", "nologin", 2011, withKeys(11), func(a *roster.Account) { a.Shell = DefaultNologin }),
	})
	for _, c := range []struct {
		sentence, name string
		day            int64
		want           []string
	}{
		{"an account has its keys", "zoe", 19000, theKeys(1, 2)},
		{"so has one whose name begins others", "ad", 19000, theKeys(10)},
		{"so has one by its name", "ada", 19000, theKeys(3)},
		{"and by an alias", "countess", 19000, theKeys(3)},
		{"and by another", "a-l", 19000, theKeys(3)},
		{"a locked account has none", "locked", 19000, nil},
		{"one whose password is locked has none", "hashed", 19000, nil},
		{"one that is to expire has some", "ends", 19999, theKeys(6)},
		{"and none from the day on", "ends", 20000, nil},
		{"nor later", "ends", 30000, nil},
		{"one that is left out has none", "denied", 19000, nil},
		{"one that is quarantined has none", "root", 19000, nil},
		{"one that loses its line late has none", "shared", 19000, nil},
		{"one without keys has none", "plain", 19000, nil},
		{"one without a shell has keys, for transfers of files", "nologin", 19000, theKeys(11)},
		{"nobody has none", "nobody-here", 19000, nil},
		{"what is no name has none", "../ada", 19000, nil},
		{"nor has a part of a line", "ada 0", 19000, nil},
		{"nor has nothing", "", 19000, nil},
	} {
		if got := keysOf(t, r, c.name, c.day); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.sentence, got, c.want)
		}
	}
	if text := read(t, r, KeysFile); strings.Contains(text, "hash") || !slices.IsSorted(strings.Split(strings.TrimSuffix(text, "\n"), "\n")) {
		t.Errorf("the file holds\n%s", text)
	}
}

func TestKeysThatAreNoneAreLeftOutAloneAndReported(t *testing.T) {
	r := newRenderer(t, scratch(t))
	hostile := func(a *roster.Account) {
		a.Keys = []string{`command="sh" ` + sshKey(1), sshKey(2), sshKey(3) + "\nroot 0 " + sshKey(4), sshKey(2) + " again", "ssh-ed25519 AAAA"}
	}
	many := func(a *roster.Account) {
		for n := range roster.MaxKeys + 2 {
			a.Keys = append(a.Keys, sshKey(n))
		}
	}
	p := commit(t, r, []roster.Row{account("1", "ada", 2001, hostile), account("2", "bob", 2002, many)})
	if got := keysOf(t, r, "ada", 1); !slices.Equal(got, theKeys(2)) {
		t.Errorf("ada has %q", got)
	}
	if got := keysOf(t, r, "bob", 1); len(got) != roster.MaxKeys {
		t.Errorf("bob has %d keys", len(got))
	}
	if got := keysOf(t, r, "root", 1); got != nil {
		t.Errorf("root has %q", got)
	}
	e := p.Effect()
	if e.After != 2 || len(e.Quarantined) != 5 {
		t.Fatalf("effect %v, quarantined %v", e, e.Quarantined)
	}
	for i, q := range e.Quarantined {
		want := []string{"key 1 of 5 is left out: it has options", "key 3 of 5 is left out: it holds a control", "key 5 of 5 is left out: ", "key 33 of 34 is left out: it is more", "key 34 of 34"}[i]
		if q.Part != roster.PartKey || q.Name == "" || !strings.HasPrefix(q.Reason, want) {
			t.Errorf("quarantined %+v, not %q", q, want)
		}
	}
	all, err := r.Explain(each([]roster.Row{account("1", "ada", 2001, hostile)}), "ada")
	if err != nil || len(all) != 1 || all[0].Outcome != OutcomeRendered || !strings.Contains(fmt.Sprint(all), roster.KeyFingerprint(sshKey(2))) || !strings.Contains(fmt.Sprint(all), "key 1 of 5") {
		t.Errorf("explained as %+v, %v", all, err)
	}
}

func TestThereIsNoFileOfKeysUntilThereIsAKey(t *testing.T) {
	dir := scratch(t)
	none := func(c *Config) { c.Index = false }
	r := newRendererWith(t, dir, none)
	bare, one := []roster.Row{account("1", "ada", 2001)}, []roster.Row{account("1", "ada", 2001, withKeys(1))}
	path := filepath.Join(r.cfg.StateDir, KeysFile)
	is := func(sentence string, want bool, perm os.FileMode) {
		t.Helper()
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v", sentence, err)
		}
		if info, err := os.Stat(r.cfg.StateDir); err != nil || info.Mode().Perm() != perm {
			t.Errorf("%s: the state directory has mode %v, %v", sentence, info.Mode(), err)
		}
		noTemps(t, r)
	}
	commit(t, r, bare)
	is("without keys", false, 0o700)
	p := commit(t, r, one)
	is("with one", true, 0o711)
	if e := p.Effect(); e.Changed != 1 || e.Added+e.Harm() != 0 {
		t.Errorf("effect %v", e)
	}
	if plan(t, r, one).Changed() {
		t.Error("a change is left")
	}
	before := stamps(t, r)
	commit(t, r, one)
	for file, st := range stamps(t, r) {
		if before[file] != st {
			t.Errorf("%s was touched", file)
		}
	}
	if p := commit(t, r, bare); p.Effect().Changed != 1 {
		t.Errorf("effect %v", p.Effect())
	}
	is("without keys again", false, 0o711)
	if plan(t, r, bare).Changed() {
		t.Error("a change is left")
	}
}

func TestAFileOfKeysThatSomebodyElseChangedIsPutRight(t *testing.T) {
	for what, do := range map[string]func(path string) error{
		"deleted":       os.Remove,
		"emptied":       func(path string) error { return os.Truncate(path, 0) },
		"opened to all": func(path string) error { return os.Chmod(path, 0o666) },
		"edited":        func(path string) error { return flip(path, 70) },
		"added to": func(path string) error {
			return os.WriteFile(path, []byte("ada 0 "+sshKey(1)+"\nada 0 "+sshKey(666)+"\n"), 0o644)
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			commit(t, r, oldRows)
			path, want := filepath.Join(r.cfg.StateDir, KeysFile), read(t, r, KeysFile)
			mark, _, err := r.Mark()
			if err != nil {
				t.Fatal(err)
			}
			if err := do(path); err != nil {
				t.Fatal(err)
			}
			if now, _, err := r.Mark(); err != nil || now == mark {
				t.Errorf("the mark is the same, %v", err)
			}
			p := plan(t, r, oldRows)
			if all, err := p.Altered(); err != nil || len(all) != 1 || !strings.HasPrefix(all[0], path+" ") {
				t.Errorf("altered %q, %v", all, err)
			}
			var diff strings.Builder
			if err := p.WriteDiff(&diff); err != nil || !strings.HasPrefix(diff.String(), "--- "+path+"\n") {
				t.Errorf("%v, difference\n%s", err, diff.String())
			}
			if err := p.Commit(roster.Position{}); err != nil {
				t.Fatal(err)
			}
			if read(t, r, KeysFile) != want || plan(t, r, oldRows).Changed() {
				t.Error("not put right")
			}
		})
	}
}

func TestAFileOfKeysThatIsNotOursIsLeftAlone(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, []roster.Row{account("1", "ada", 2001)})
	path := filepath.Join(r.cfg.StateDir, KeysFile)
	if err := os.WriteFile(path, []byte("theirs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if plan(t, r, []roster.Row{account("1", "ada", 2001)}).Changed() {
		t.Error("it is to be removed")
	}
	if _, err := r.Plan(each(oldRows)); !errors.As(err, new(*ForeignError)) {
		t.Errorf("error %v", err)
	}
}

// TestNobodyKeepsAKeyWhoIsLockedByThen breaks the commit that takes the last keys, at
// each step: whatever else is new by then, no key is there that should have gone.
func TestNobodyKeepsAKeyWhoIsLockedByThen(t *testing.T) {
	after := []roster.Row{account("1", "ada", 2000, locked, withKeys(1)), account("2", "bob", 2001), group("1", "eng", 3000)}
	gone := 0
	for _, kind := range []fault{fails, applied} {
		for n := 0; ; n++ {
			r := newRenderer(t, scratch(t))
			commit(t, r, oldRows)
			before := map[string]string{}
			for _, name := range inTheirOrder[1:] {
				before[name] = read(t, r, name)
			}
			count := breakStep(r, n, kind)
			p := plan(t, r, after)
			err := p.Commit(roster.Position{})
			r.step = runStep
			keys := read(t, r, KeysFile)
			for name, was := range before {
				if keys != "" && read(t, r, name) != was {
					t.Errorf("step %d %s: %s is new, and the keys are still there", n, kind, name)
				}
			}
			if keys == "" {
				gone++
			} else if !slices.Equal(keysOf(t, r, "ada", 1), theKeys(1)) {
				t.Errorf("step %d %s: half of the keys are there", n, kind)
			}
			if *count <= n {
				if err != nil || keys != "" {
					t.Errorf("without a fault: %v, %q", err, keys)
				}
				break
			}
			commit(t, r, after)
			if read(t, r, KeysFile) != "" || plan(t, r, after).Changed() {
				t.Errorf("step %d %s: not repaired", n, kind)
			}
			noTemps(t, r)
		}
	}
	if gone < 10 {
		t.Errorf("the keys were gone %d times alone", gone)
	}
}

func TestAGenerationBringsItsKeysBackAndSaysSo(t *testing.T) {
	r := newRenderer(t, scratch(t))
	one := []roster.Row{account("1", "ada", 2001, withKeys(1)), account("2", "bob", 2002)}
	two := []roster.Row{account("1", "ada", 2001, withKeys(2)), account("2", "bob", 2002)}
	bare := []roster.Row{account("1", "ada", 2001), account("2", "bob", 2002)}
	commitAt(t, r, one, 1)
	commitAt(t, r, two, 2)
	commitAt(t, r, bare, 3)
	for _, c := range []struct {
		generation int64
		want, told []string
	}{{1, theKeys(1), []string{"ada"}}, {2, theKeys(2), []string{"ada"}}, {3, nil, nil}, {1, theKeys(1), []string{"ada"}}} {
		p, err := r.PlanGeneration(c.generation)
		if err != nil {
			t.Fatal(err)
		}
		in, passwords, keys, err := p.Readmits()
		if err != nil || len(in)+len(passwords) != 0 || !slices.Equal(keys, c.told) {
			t.Errorf("generation %d lets in %v, %v, %v, %v", c.generation, in, passwords, keys, err)
		}
		if err := p.Commit(at(c.generation)); err != nil || p.NotKept() != nil {
			t.Fatal(err, p.NotKept())
		}
		if got := keysOf(t, r, "ada", 1); !slices.Equal(got, c.want) {
			t.Errorf("generation %d: %q", c.generation, got)
		}
		noTemps(t, r)
	}
	// A former file that is damaged is not put back.
	for _, name := range inStore(t, r) {
		path := filepath.Join(r.cfg.StateDir, storeName, name)
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), sshKey(2)) {
			if err := flip(path, 40); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := r.PlanGeneration(2); !errors.As(err, new(*DamagedError)) {
		t.Errorf("error %v", err)
	}
}

func TestVerifyRefusesKeysThatItDidNotMake(t *testing.T) {
	r := newRenderer(t, scratch(t))
	p := plan(t, r, []roster.Row{account("1", "ada", 2001, withKeys(1)), account("2", "bob", 2002, locked), account("3", "eve", 2003, expires(9))})
	v := p.now
	for sentence, c := range map[string]struct{ data, says string }{
		"a line without an end":       {"ada 0 " + sshKey(1), "no end"},
		"an empty line":               {"\n", "NAME DAY"},
		"no day":                      {"ada " + sshKey(1) + "\n", "NAME DAY"},
		"a day that is written oddly": {"ada 00 " + sshKey(1) + "\n", "NAME DAY"},
		"a day before all days":       {"ada -1 " + sshKey(1) + "\n", "NAME DAY"},
		"options":                     {"ada 0 no-pty " + sshKey(1) + "\n", "options"},
		"a comment":                   {"ada 0 " + sshKey(1) + " c\n", "NAME DAY"},
		"a name of nobody":            {"carol 0 " + sshKey(1) + "\n", "no account"},
		"what is no name":             {"ROOT 0 " + sshKey(1) + "\n", "name"},
		"somebody who is locked":      {"bob 0 " + sshKey(1) + "\n", "locked"},
		"another day":                 {"eve 0 " + sshKey(1) + "\n", "expires on day 9"},
		"a line that comes twice":     {"ada 0 " + sshKey(1) + "\nada 0 " + sshKey(1) + "\n", "does not come after"},
		"lines out of order":          {"eve 9 " + sshKey(1) + "\nada 0 " + sshKey(1) + "\n", "does not come after"},
	} {
		if err := r.rules.verifyKeys([]byte(c.data), v); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if err := r.rules.verifyKeys([]byte("ada 0 "+sshKey(1)+"\neve 9 "+sshKey(2)+"\n"), v); err != nil {
		t.Error(err)
	}
}
