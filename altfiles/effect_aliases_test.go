package altfiles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

func TestEffectWithAliases(t *testing.T) {
	rows := func(rows ...roster.Row) []roster.Row { return rows }
	home := func(s string) func(*roster.Account) {
		return func(a *roster.Account) { a.Home, a.Gecos, a.Hash = s, "A", "$6$salt$hash" }
	}
	at := home("/home/ada")
	bob := account("2", "bob", 2001)
	was := func(change ...func(*roster.Account)) roster.Row {
		return account("1", "ada", 2000, append(change, at)...)
	}
	is := func(change ...func(*roster.Account)) roster.Row {
		return account("1", "adela", 2000, append(change, at)...)
	}
	eng := []roster.Row{group("1", "eng", 3000), member("1", "1")}
	with := func(g []roster.Row, rows ...roster.Row) []roster.Row { return append(rows, g...) }
	type effect = roster.Effect
	for name, c := range map[string]struct {
		before, after []roster.Row
		want          effect
	}{
		"nothing":                         {rows(is(aliases("ada")), bob), rows(is(aliases("ada")), bob), effect{Before: 2, After: 2}},
		"an account with aliases comes":   {rows(bob), rows(is(aliases("ada", "old")), bob), effect{Before: 1, After: 2, Added: 1}},
		"a rename with an alias":          {rows(was(), bob), rows(is(aliases("ada")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"one whose home moves as well":    {rows(was(), bob), rows(is(aliases("ada"), home("/home/adela")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"one of a member":                 {with(eng, was(), bob), with(eng, is(aliases("ada")), bob), effect{Before: 2, After: 2, Changed: 1, GroupsChanged: 1}},
		"a rename without one":            {rows(was(), bob), rows(is(), bob), effect{Before: 2, After: 2, Added: 1, Removed: 1}},
		"a rename and a lock":             {rows(was(), bob), rows(is(aliases("ada"), locked), bob), effect{Before: 2, After: 2, Locked: 1}},
		"a rename and an unlock":          {rows(was(locked), bob), rows(is(aliases("ada")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"a second rename":                 {rows(is(aliases("ada")), bob), rows(account("1", "adele", 2000, aliases("adela", "ada"), at), bob), effect{Before: 2, After: 2, Changed: 1}},
		"one that leaves the oldest name": {rows(is(aliases("ada")), bob), rows(account("1", "adele", 2000, aliases("ada"), at), bob), effect{Before: 2, After: 2, Changed: 1}},
		"one that leaves no name":         {rows(is(aliases("ada")), bob), rows(account("1", "adele", 2000, at), bob), effect{Before: 2, After: 2, Added: 1, Removed: 1}},
		"an alias expires":                {rows(is(aliases("ada")), bob), rows(is(), bob), effect{Before: 2, After: 2, Changed: 1}},
		"one of two expires":              {rows(is(aliases("ada", "old")), bob), rows(is(aliases("old")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"both expire":                     {rows(is(aliases("ada", "old")), bob), rows(is(), bob), effect{Before: 2, After: 2, Changed: 1}},
		"one expires as it is locked":     {rows(is(aliases("ada")), bob), rows(is(locked), bob), effect{Before: 2, After: 2, Locked: 1}},
		"an alias comes":                  {rows(was(), bob), rows(was(aliases("old")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"two aliases change places":       {rows(was(aliases("x", "y")), bob), rows(was(aliases("y", "x")), bob), effect{Before: 2, After: 2}},
		"a rename back":                   {rows(is(aliases("ada")), bob), rows(was(aliases("adela")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"a rename back for good":          {rows(is(aliases("ada")), bob), rows(was(), bob), effect{Before: 2, After: 2, Changed: 1}},
		"a rename back and a lock":        {rows(is(aliases("ada")), bob), rows(was(locked), bob), effect{Before: 2, After: 2, Locked: 1}},
		"a removal":                       {rows(is(aliases("ada", "old")), bob), rows(bob), effect{Before: 2, After: 1, Removed: 1}},
		"a removal of all":                {rows(is(aliases("ada", "old"))), nil, effect{Before: 1, Removed: 1}},
		"a lock":                          {rows(is(aliases("ada", "old")), bob), rows(is(aliases("ada", "old"), locked), bob), effect{Before: 2, After: 2, Locked: 1}},
		"an unlock":                       {rows(is(aliases("ada"), locked), bob), rows(is(aliases("ada")), bob), effect{Before: 2, After: 2, Changed: 1}},
		"a renumbering":                   {rows(is(aliases("ada", "old")), bob), rows(account("1", "adela", 2009, aliases("ada", "old"), at), bob), effect{Before: 2, After: 2, Renumbered: 1}},
		"one that ends the aliases":       {rows(is(aliases("ada")), bob), rows(account("1", "adela", 2009, at), bob), effect{Before: 2, After: 2, Renumbered: 1}},
		"one with a lock":                 {rows(is(aliases("ada")), bob), rows(account("1", "adela", 2009, aliases("ada"), locked, at), bob), effect{Before: 2, After: 2, Locked: 1}},
		"one with a rename":               {rows(was(), bob), rows(account("1", "adela", 2009, aliases("ada"), at), bob), effect{Before: 2, After: 2, Added: 1, Removed: 1}},
		"a new password":                  {rows(is(aliases("ada", "old")), bob), rows(is(aliases("ada", "old"), func(a *roster.Account) { a.Expire = 99999 }), bob), effect{Before: 2, After: 2, Changed: 1}},
		"somebody new gets an old name":   {rows(is(aliases("ada"))), rows(is(), account("3", "ada", 2003)), effect{Before: 1, After: 2, Added: 1, Changed: 1}},
		"somebody gets an old name":       {rows(is(aliases("ada")), bob), rows(is(), account("2", "ada", 2001)), effect{Before: 2, After: 2, Added: 1, Removed: 1, Changed: 1}},
		"and keeps his own as an alias":   {rows(is(aliases("ada")), bob), rows(is(), account("2", "ada", 2001, aliases("bob"))), effect{Before: 2, After: 2, Changed: 2}},
		"a removed one's name lives on":   {rows(was(), bob), rows(account("2", "bob", 2001, aliases("ada"))), effect{Before: 2, After: 1, Removed: 1, Changed: 1}},
		"two swap their names":            {rows(was(), bob), rows(account("1", "bob", 2000, at), account("2", "ada", 2001)), effect{Before: 2, After: 2, Renumbered: 2}},
		"an alias becomes a group":        {rows(is(aliases("ada")), bob), rows(is(), bob, group("1", "ada", 3000)), effect{Before: 2, After: 2, Changed: 1, GroupsChanged: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			r.today = func() int64 { return 20000 }
			commit(t, r, c.before)
			p := plan(t, r, c.after)
			got := p.Effect()
			got.Quarantined = nil
			if got.String() != c.want.String() {
				t.Errorf("effect\n%v, not\n%v", got, c.want)
			}
			if err := p.Commit(roster.Position{}); err != nil {
				t.Fatal(err)
			}
			if p := plan(t, r, c.after); p.Changed() || p.Effect().String() != (effect{Before: c.want.After, After: c.want.After}).String() {
				t.Errorf("afterwards: changed %v, effect %v", p.Changed(), p.Effect())
			}
		})
	}
}

func TestEffectOfAliasesThatSomebodyEdited(t *testing.T) {
	rows := []roster.Row{account("1", "adela", 2000, aliases("ada")), account("2", "bob", 2001)}
	for name, c := range map[string]struct {
		old, new string // in passwd
		want     roster.Effect
	}{
		"an alias is missing":            {"\nada:x:2000:2000:adela:/home/adela:/bin/bash", "", roster.Effect{Before: 2, After: 2, Changed: 1}},
		"an account but for its alias":   {"adela:x:2000:2000:adela:/home/adela:/bin/bash\n", "", roster.Effect{Before: 2, After: 2, Changed: 1}},
		"an alias with another number":   {"\nada:x:2000", "\nada:x:2007", roster.Effect{Before: 3, After: 2, Removed: 1, Changed: 1}},
		"an alias that cannot be read":   {"\nada:x:2000", "\nada:x:many", roster.Effect{Before: 2, After: 2, Changed: 1}},
		"an alias with another shell":    {"\nada:x:2000:2000:adela:/home/adela:/bin/bash", "\nada:x:2000:2000:adela:/home/adela:/bin/false", roster.Effect{Before: 2, After: 2, Changed: 1}},
		"an alias too many":              {"\nbob:", "\nevil:x:2000:2000:::\nbob:", roster.Effect{Before: 2, After: 2, Changed: 1}},
		"two strangers with one number":  {"\nbob:", "\nevil:x:0:0:::\nevil2:x:0:0:::\nbob:", roster.Effect{Before: 3, After: 2, Removed: 1}},
		"an account with another's":      {"\nbob:x:2001", "\nbob:x:2000", roster.Effect{Before: 1, After: 2, Added: 1, Changed: 1}},
		"an account and its alias moved": {"adela:x:2000:2000:adela:/home/adela:/bin/bash\nbob:x:2001:2001:bob:/home/bob:/bin/bash\nada:x:2000", "bob:x:2001:2001:bob:/home/bob:/bin/bash\nadela:x:7:7:adela:/home/adela:/bin/bash\nada:x:7", roster.Effect{Before: 2, After: 2, Renumbered: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			commit(t, r, rows)
			passwd := read(t, r, passwdName)
			if !strings.Contains(passwd, c.old) {
				t.Fatalf("%q is not in\n%s", c.old, passwd)
			}
			edit(t, r, passwdName, strings.Replace(passwd, c.old, c.new, 1))
			if got := plan(t, r, rows).Effect(); got.String() != c.want.String() {
				t.Errorf("effect\n%v, not\n%v", got, c.want)
			}
		})
	}
}

// oneNode draws what becomes of a few accounts: few names and numbers, so that
// names wander from one to another.
func oneNode(t *rapid.T) []roster.Row {
	names := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
	rows := map[string]roster.Row{}
	for range rapid.IntRange(0, 4).Draw(t, "accounts") {
		row := account(rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "id"), names.Draw(t, "name"), rapid.Uint32Range(2000, 2004).Draw(t, "uid"), func(a *roster.Account) {
			a.Home, a.Gecos, a.Hash = "/home/x", "x", "$6$salt$hash"
			a.Locked = rapid.IntRange(0, 3).Draw(t, "locked") == 0
			a.Aliases = rapid.SliceOfN(names, 0, 3).Draw(t, "aliases")
		})
		rows[row.Key()] = row
	}
	var sorted []roster.Row
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		sorted = append(sorted, rows[key])
	}
	return sorted
}

// person is an account as its lines in passwd tell: its names, its own first,
// and whether it is locked.
type person struct {
	names  []string
	locked bool
}

func people(t rapid.TB, passwd string) map[uint32]person {
	all := map[uint32]person{}
	for line := range strings.Lines(passwd) {
		l, err := roster.ParsePasswd(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		p := all[l.UID]
		all[l.UID] = person{append(p.names, l.Name), l.Shell == DefaultNologin}
	}
	return all
}

// TestEffectIsWhatAPlainCountSays compares the effect with one that is counted
// the long way, with both files as maps.
func TestEffectIsWhatAPlainCountSays(t *testing.T) {
	r := newRenderer(t, scratch(t))
	rapid.Check(t, func(rt *rapid.T) {
		commit := func() (before, after string, e roster.Effect) {
			before = read(t, r, passwdName)
			p, err := r.Plan(each(oneNode(rt)))
			if err == nil {
				err = p.Commit(roster.Position{})
			}
			if err != nil {
				rt.Fatal(err)
			}
			return before, read(t, r, passwdName), p.Effect()
		}
		commit()
		old, now, got := commit()
		was, is := people(rt, old), people(rt, now)
		want := roster.Effect{Before: len(was), After: len(is)}
		open := map[uint32]bool{}
		for uid, p := range is {
			open[uid] = !p.locked
		}
		leaves := func(name string, uid uint32) {
			want.Leavers = append(want.Leavers, roster.Leaver{Name: name, UID: uid})
		}
		same := func(uid uint32, a, b person) {
			slices.Sort(a.names[1:])
			slices.Sort(b.names[1:])
			if !a.locked && b.locked {
				want.Locked++
				leaves(b.names[0], uid)
			} else if !slices.Equal(a.names, b.names) || a.locked != b.locked {
				want.Changed++
			}
		}
		for uid, a := range was {
			b, ok := is[uid]
			if ok && slices.ContainsFunc(a.names, func(n string) bool { return slices.Contains(b.names, n) }) {
				same(uid, a, b)
				delete(was, uid)
				delete(is, uid)
			}
		}
		for uid, a := range was {
			for other, b := range is {
				if a.names[0] == b.names[0] {
					if !a.locked && b.locked {
						want.Locked++
						leaves(a.names[0], uid)
					} else {
						want.Renumbered++
					}
					delete(was, uid)
					delete(is, other)
				}
			}
		}
		want.Removed, want.Added = len(was), len(is)
		for uid, a := range was {
			if !a.locked && !open[uid] {
				leaves(a.names[0], uid)
			}
		}
		if g, w := sortedLeavers(got), sortedLeavers(want); !slices.Equal(g, w) {
			rt.Fatalf("leavers\n%v, not\n%v\nof\n%s\nafter\n%s", g, w, now, old)
		}
		got.Quarantined = nil
		if got.String() != want.String() {
			rt.Fatalf("effect\n%v, not\n%v\nof\n%s\nafter\n%s", got, want, now, old)
		}
	})
}

func TestDiffShowsAliases(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, []roster.Row{account("1", "ada", 2000), group("1", "eng", 3000), member("1", "1")})
	var out strings.Builder
	p := plan(t, r, []roster.Row{account("1", "adela", 2000, aliases("ada"), locked), group("1", "eng", 3000), member("1", "1")})
	if err := p.WriteDiff(&out); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`--- %[1]s/passwd
-ada:x:2000:2000:ada:/home/ada:/bin/bash
+ada:x:2000:2000:adela:/home/adela:/usr/sbin/nologin
+adela:x:2000:2000:adela:/home/adela:/usr/sbin/nologin
--- %[1]s/group
-eng:x:3000:ada
+eng:x:3000:adela,ada
+adela:x:2000:
--- %[1]s/shadow
-ada:<sha512crypt>
+ada:<sha512crypt, locked, expires on day 1>
+adela:<sha512crypt, locked, expires on day 1>
`, r.cfg.Dir)
	if out.String() != want {
		t.Errorf("difference\n%s, not\n%s", out.String(), want)
	}
}
