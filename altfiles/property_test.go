package altfiles

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

// hostile draws strings that somebody might try, among good ones.
func hostile(good ...string) *rapid.Generator[string] {
	bad := []string{"", "root", "wheel", "a:b", "a\nroot::0:0::/:/bin/sh", "\n", "+", "-x", "#x", "x,y", "a\x00", "\xff", "\u2028", "*", "!", "$6$", "/", "//", "..", "/etc", strings.Repeat("x", 1500)}
	return rapid.OneOf(rapid.SampledFrom(good), rapid.SampledFrom(good), rapid.SampledFrom(bad), rapid.String())
}

// drawRows draws a roster: rows in order, anything in them. Names and numbers
// come from few, so that they clash.
func drawRows(t *rapid.T) []roster.Row {
	id := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6", "7", "8", "x", "x-", "x.", "x0"})
	names := []string{"ada", "bob", "eng", "ops", "deploy", "localteam", "docker", "carol", "dave"}
	number := rapid.OneOf(rapid.SampledFrom([]uint32{0, 1, 999, 1000, 1001, 1002, 1500, 1600, 1700, 1998, 2000, 2001, 2002, 65534, 1<<32 - 1}), rapid.Uint32())
	rows := map[string]roster.Row{}
	put := func(r roster.Row) { rows[r.Key()] = r }
	for range rapid.IntRange(0, 12).Draw(t, "accounts") {
		a := &roster.Account{
			ID: id.Draw(t, "id"), Name: hostile(names...).Draw(t, "name"), UID: number.Draw(t, "uid"),
			Gecos:  hostile("A B", "Ü").Draw(t, "gecos"),
			Home:   hostile("/home/ada", "/home/bob").Draw(t, "home"),
			Shell:  hostile("/bin/bash", "/bin/sh", "/bin/bash").Draw(t, "shell"),
			Hash:   hostile("", "$6$salt$hash", "*", "!x").Draw(t, "hash"),
			Locked: rapid.Bool().Draw(t, "locked"),
			Expire: rapid.SampledFrom([]int64{0, 0, 1, -1, 20000, 1 << 62}).Draw(t, "expire"),
		}
		if rapid.Bool().Draw(t, "renamed") {
			a.Aliases = rapid.SliceOfN(hostile(append(names, "old", "older", "elder")...), 0, 20).Draw(t, "aliases")
		}
		if rapid.Bool().Draw(t, "keyed") {
			a.Keys = rapid.SliceOfN(hostile(sshKey(1), sshKey(2)+" comment", "no-pty "+sshKey(3), sshKey(4)+"\n"), 0, 5).Draw(t, "keys")
		}
		a.GID = a.UID
		if rapid.IntRange(0, 3).Draw(t, "borrow") == 0 {
			a.GID = number.Draw(t, "gid")
		}
		put(roster.Row{Account: a})
	}
	for range rapid.IntRange(0, 8).Draw(t, "groups") {
		put(group(id.Draw(t, "id"), hostile(names...).Draw(t, "name"), number.Draw(t, "gid")))
	}
	for range rapid.IntRange(0, 20).Draw(t, "members") {
		put(member(id.Draw(t, "group"), id.Draw(t, "account")))
	}
	var sorted []roster.Row
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		sorted = append(sorted, rows[key])
	}
	return sorted
}

func TestAnyRosterRendersWellAndAlwaysTheSame(t *testing.T) {
	rules, err := DefaultPolicy().rules()
	if err != nil {
		t.Fatal(err)
	}
	local, err := readLocal("testdata/etc/passwd", "testdata/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) { checkRendering(t, rules, local, drawRows(t)) })
}

// checkRendering holds for any rows whatever.
func checkRendering(t rapid.TB, rules *rules, local *local, rows []roster.Row) {
	o, err := render(rules, local, each(rows), sizes{})
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	v, err := rules.verify(o, local)
	if err != nil {
		t.Fatalf("verify: %v\n%q\n%q", err, o.passwd, o.group)
	}
	accounts, groups, members := 0, 0, 0
	own := map[string]*roster.Account{}
	for _, r := range rows {
		switch {
		case r.Account != nil:
			accounts++
			own[r.Key()] = r.Account
		case r.Group != nil:
			groups++
		default:
			members++
		}
	}
	refusedAccounts, refusedGroups := 0, 0
	for _, q := range o.quarantined {
		switch {
		case strings.HasPrefix(q.Key, "g/"):
			refusedGroups++
		case q.Part == "" && q.Name == own[q.Key].Name: // or else it is an alias or a key
			refusedAccounts++
			delete(own, q.Key)
		}
	}
	if got := v.passwd.count(); got != accounts-refusedAccounts+len(v.aliases) {
		t.Fatalf("%d lines in passwd from %d accounts, %d refused", got, accounts, refusedAccounts)
	}
	if got := v.group.count(); got > accounts+groups-refusedAccounts-refusedGroups+len(v.aliases) {
		t.Fatalf("%d lines in group from %d accounts and %d groups", got, accounts, groups)
	}
	aliases := checkAliases(t, o, v, rows, own)
	checkKeys(t, o, own, aliases)
	listed := 0
	for i := range v.group.count() {
		g, _ := roster.ParseGroup(string(v.group.line(i)))
		for at := 0; at < len(g.Members); listed++ {
			behind := aliases[g.Members[at]]
			if at++; len(g.Members) < at+len(behind) || !slices.Equal(g.Members[at:at+len(behind)], behind) {
				t.Fatalf("members %v, though %v are aliases of the one before place %d", g.Members, behind, at)
			}
			at += len(behind)
		}
	}
	if listed+o.skipped != members {
		t.Fatalf("%d members listed and %d skipped of %d", listed, o.skipped, members)
	}
	for line := range bytes.Lines(o.passwd) {
		p, err := roster.ParsePasswd(strings.TrimSuffix(string(line), "\n"))
		if err != nil || p.UID < rules.min || p.GID < rules.min || p.Password != "x" {
			t.Fatalf("line %q: %v", line, err)
		}
	}
	again, err := render(rules, local, each(rows), sizes{passwd: 1000, group: 1, shadow: 7})
	if err != nil || !bytes.Equal(o.passwd, again.passwd) || !bytes.Equal(o.group, again.group) || !bytes.Equal(o.shadow, again.shadow) {
		t.Fatalf("rendered differently the second time: %v", err)
	}
}

// checkKeys holds for the keys of the accounts that are rendered: those that are keys,
// each under each name, of whoever is not locked, and none besides.
func checkKeys(t rapid.TB, o *rendering, own map[string]*roster.Account, aliases map[string][]string) {
	want := map[string]bool{}
	for _, a := range own {
		for _, line := range a.Keys {
			key, err := roster.ParseKey(line)
			if err != nil || a.Locked || strings.HasPrefix(a.Hash, "!") {
				continue
			}
			for _, name := range append([]string{a.Name}, aliases[a.Name]...) {
				want[fmt.Sprintf("%s %d %s\n", name, a.Expire, key)] = true
			}
		}
	}
	if all := slices.Sorted(maps.Keys(want)); strings.Join(all, "") != string(o.keys) {
		t.Fatalf("keys %q, not %q", o.keys, all)
	}
}

// checkAliases holds for the aliases of any rows, of which those in rendered are
// accounts with lines: each alias has the lines of its account, or is told in
// quarantine, or says nothing new; and none is a present name. It returns them by
// the names of their accounts.
func checkAliases(t rapid.TB, o *rendering, v *verified, rows []roster.Row, rendered map[string]*roster.Account) map[string][]string {
	present := map[string]bool{}
	for _, r := range rows {
		switch {
		case r.Account != nil:
			present[r.Account.Name] = true
		case r.Group != nil:
			present[r.Group.Name] = true
		}
	}
	refused := map[[2]string]bool{}
	for _, q := range o.quarantined {
		refused[[2]string{q.Key, q.Name}] = true
	}
	all := map[string][]string{}
	count := 0
	for key, a := range rendered {
		at, ok := v.passwd.find([]byte(a.Name))
		if _, alias := v.alias(at); !ok || alias {
			t.Fatalf("account %q has no line of its own", a.Name)
		}
		for i, alias := range a.Aliases {
			line, ok := v.passwd.find([]byte(alias))
			of, _ := v.alias(line)
			ok = ok && of == at && !present[alias]
			switch {
			case alias == a.Name:
			case ok == refused[[2]string{key, alias}]:
				t.Fatalf("alias %q of %q is rendered: %v, and refused: %v", alias, a.Name, ok, !ok)
			case ok && !slices.Contains(a.Aliases[:i], alias):
				all[a.Name] = append(all[a.Name], alias)
				count++
				if _, ok := v.group.find([]byte(alias)); ok != a.PrivateGroup() {
					t.Fatalf("alias %q of %q has a group: %v", alias, a.Name, ok)
				}
			}
		}
		if n := len(all[a.Name]); n > roster.MaxAliases {
			t.Fatalf("%q has %d aliases", a.Name, n)
		}
	}
	if count != len(v.aliases) {
		t.Fatalf("%d aliases are rendered, %d of the roster's", len(v.aliases), count)
	}
	return all
}

// TestAnyRosterCommitsOnce also weighs and shows what is on disk.
func TestAnyRosterCommitsOnce(t *testing.T) {
	r := newRenderer(t, scratch(t))
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		p, err := r.Plan(each(rows))
		if err != nil {
			t.Fatal(err)
		}
		e := p.Effect()
		if e.Before+e.Added-e.Removed != e.After || e.Harm() > e.Before {
			t.Fatalf("effect %v", e)
		}
		var diff bytes.Buffer
		if err := p.WriteDiff(&diff); err != nil {
			t.Fatal(err)
		}
		if p.Changed() != (diff.Len() > 0) || strings.Contains(diff.String(), "$salt$") {
			t.Fatalf("changed %v, difference\n%s", p.Changed(), diff.String())
		}
		if err := p.Commit(roster.Position{}); err != nil {
			t.Fatal(err)
		}
		p, err = r.Plan(each(rows))
		if err != nil || p.Changed() {
			t.Fatalf("changed again: %v", err)
		}
		if e := p.Effect(); e.Before != e.After || e.Added+e.Changed+e.Harm() != 0 {
			t.Fatalf("effect %v of no change", e)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add([]byte(`["a/1",{"name":"ada","uid":2000,"gid":2000,"home":"/home/ada","shell":"/bin/bash","hash":"$6$a$b"}]` + "\n" +
		`["g/1",{"name":"eng","gid":3000}]` + "\n" + `["m/1/1",{}]`))
	f.Add([]byte(`["a/1",{"name":"a\nroot","uid":2000,"gid":0,"home":"/","shell":"/bin/bash:x","locked":true}]`))
	f.Add([]byte(`["a/1",{"name":"eng","uid":3000,"gid":3000,"home":"/home/x","shell":"/bin/sh"}]` + "\n" + `["g/1",{"name":"eng","gid":3001}]`))
	f.Add([]byte(`["a/1",{"name":"bob","uid":3000,"gid":1700,"gecos":"\ufffd","home":"/home/x","shell":"/bin/sh","hash":"!!"}]`))
	f.Add([]byte(`["a/1",{"name":"ada","uid":2000,"gid":2000,"home":"/home/ada","shell":"/bin/bash","aliases":["old","bob","ada","eng","A"]}]` + "\n" +
		`["a/2",{"name":"bob","uid":2001,"gid":3000,"home":"/home/bob","shell":"/bin/bash","aliases":["old","b"],"locked":true}]` + "\n" +
		`["g/1",{"name":"eng","gid":3000}]` + "\n" + `["m/1/1",{}]` + "\n" + `["m/1/2",{}]`))
	f.Add([]byte(`["m/x-/1",{}]` + "\n" + `["m/x/1",{}]` + "\n" + `["g/x",{}]`))
	rules, err := DefaultPolicy().rules()
	if err != nil {
		f.Fatal(err)
	}
	local, err := readLocal("testdata/etc/passwd", "testdata/etc/group")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows := map[string]roster.Row{}
		for line := range bytes.Lines(data) {
			c, err := roster.ParseChange(bytes.TrimSuffix(line, []byte{'\n'}))
			if err != nil {
				continue
			}
			if row, err := c.Row(); err == nil {
				rows[c.Key] = row
			}
		}
		var sorted []roster.Row
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			sorted = append(sorted, rows[key])
		}
		checkRendering(t, rules, local, sorted)
	})
}
