package altfiles

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pwb/roster"
)

func TestEffect(t *testing.T) {
	base := []roster.Row{
		account("1", "ada", 2000), account("2", "bob", 2001), account("3", "carol", 2002, locked),
		group("1", "eng", 3000), group("2", "ops", 3001), member("1", "1"),
	}
	change := func(i int, row roster.Row) []roster.Row {
		rows := append([]roster.Row{}, base...)
		rows[i] = row
		return rows
	}
	const today = 20000
	for name, c := range map[string]struct {
		rows []roster.Row
		want roster.Effect
	}{
		"nothing":                 {base, roster.Effect{Before: 3, After: 3}},
		"everything goes":         {nil, roster.Effect{Before: 3, Removed: 3, GroupsRemoved: 2}},
		"one goes":                {base[1:3], roster.Effect{Before: 3, After: 2, Removed: 1, GroupsRemoved: 2}},
		"one comes":               {append([]roster.Row{account("0", "dave", 2003)}, base...), roster.Effect{Before: 3, After: 4, Added: 1}},
		"one is locked":           {change(0, account("1", "ada", 2000, locked)), roster.Effect{Before: 3, After: 3, Locked: 1}},
		"one is unlocked":         {change(2, account("3", "carol", 2002)), roster.Effect{Before: 3, After: 3, Changed: 1}},
		"one expired yesterday":   {change(0, account("1", "ada", 2000, func(a *roster.Account) { a.Expire = today - 1 })), roster.Effect{Before: 3, After: 3, Locked: 1}},
		"one expires tomorrow":    {change(0, account("1", "ada", 2000, func(a *roster.Account) { a.Expire = today + 1 })), roster.Effect{Before: 3, After: 3, Changed: 1}},
		"one gets a shell of no":  {change(0, account("1", "ada", 2000, func(a *roster.Account) { a.Shell = "/bin/false" })), roster.Effect{Before: 3, After: 3, Locked: 1}},
		"one loses its password":  {change(0, account("1", "ada", 2000, func(a *roster.Account) { a.Hash = "" })), roster.Effect{Before: 3, After: 3, Changed: 1}},
		"one gets another number": {change(0, account("1", "ada", 2009)), roster.Effect{Before: 3, After: 3, Renumbered: 1}},
		"one is renamed":          {change(0, account("1", "adela", 2000)), roster.Effect{Before: 3, After: 3, Added: 1, Removed: 1, GroupsChanged: 1}},
		"one's home moves":        {change(0, account("1", "ada", 2000, func(a *roster.Account) { a.Home = "/srv/ada" })), roster.Effect{Before: 3, After: 3, Changed: 1}},
		"one joins":               {append(base[:5:5], member("1", "1"), member("2", "2")), roster.Effect{Before: 3, After: 3, GroupsChanged: 1}},
		"a group comes":           {append(base[:5:5], group("3", "new", 3002), member("1", "1")), roster.Effect{Before: 3, After: 3, GroupsAdded: 1}},
		"a group is renumbered":   {change(4, group("2", "ops", 3009)), roster.Effect{Before: 3, After: 3, GroupsChanged: 1}},
		"one moves into a group":  {change(1, account("2", "bob", 2001, func(a *roster.Account) { a.GID = 3001 })), roster.Effect{Before: 3, After: 3, Changed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			r.today = func() int64 { return today }
			commit(t, r, base)
			if got := plan(t, r, c.rows).Effect(); got.String() != c.want.String() {
				t.Errorf("effect\n%v, not\n%v", got, c.want)
			}
		})
	}
}

func TestEffectOfFirstRender(t *testing.T) {
	r := newRenderer(t, scratch(t))
	want := roster.Effect{After: 2, Added: 2, GroupsAdded: 1}
	if got := plan(t, r, oldRows).Effect(); got.String() != want.String() {
		t.Errorf("effect %v", got)
	}
}

// edit replaces a file of ours by hand.
func edit(t *testing.T, r *Renderer, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.cfg.Dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEffectSkipsLinesThatNobodyCouldRead(t *testing.T) {
	r := newRenderer(t, scratch(t))
	commit(t, r, oldRows)
	edit(t, r, passwdName, "garbage\n\nx:y:z\nada:x:notanumber:1::/:/\n"+read(t, r, passwdName)+"ada:x:9:9:second of its name::\ngone:x:7:7:::\ngone:x:8:8:::")
	want := roster.Effect{Before: 3, After: 2, Removed: 1}
	if got := plan(t, r, oldRows).Effect(); got.String() != want.String() {
		t.Errorf("effect %v", got)
	}
}

func TestDiffShowsEverythingButHashes(t *testing.T) {
	r := newRenderer(t, scratch(t))
	var out bytes.Buffer
	diff := func(rows []roster.Row) {
		out.WriteString("=== next\n")
		p := plan(t, r, rows)
		if err := p.WriteDiff(&out); err != nil {
			t.Fatal(err)
		}
	}
	diff(oldRows)
	commit(t, r, oldRows)
	diff(oldRows)
	diff(newRows)
	diff([]roster.Row{
		account("1", "ada", 2000, func(a *roster.Account) { a.Hash = "$6$salt$anotherhash" }),
		account("2", "bob", 2001, func(a *roster.Account) { a.Hash = "$y$j9T$salt$bobhash" }),
		group("1", "eng", 3000), member("1", "1"), member("1", "2"),
	})
	edit(t, r, shadowName, "ada::::::::\nbob:hunter2hash:1:2:3:4:5:6:\nsomething:that:is:no:hash:line\nbob:$6$second$hash:::::::\n")
	edit(t, r, passwdName, "bob:$1$in$passwdhash:2001:2001:bob:/home/bob:/bin/bash\nada:x:2000:2000:\x1b[31mred:/:/\nevil:x:0:0:::\n")
	edit(t, r, groupName, "bob:x:2001:\nada:x:2000:\neng:x:3000:ada\n")
	diff(oldRows)
	text := bytes.ReplaceAll(out.Bytes(), []byte(r.cfg.Dir), []byte("DIR"))
	text = bytes.ReplaceAll(text, []byte(r.cfg.StateDir), []byte("STATE"))
	// The hashes of all rosters here end in "hash", and so do those put in by hand.
	for _, secret := range []string{"adahash", "bobhash", "anotherhash", "hunter2", "passwdhash", "$second", "that:is", "\x1b"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%q is shown", secret)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("the golden file is that of root, who alone gives shadow to its group")
	}
	golden(t, "diff.golden", text)
}
