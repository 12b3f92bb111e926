package altfiles

import (
	"fmt"
	"strings"
	"testing"

	"pwb/roster"
)

// aliases gives an account former names.
func aliases(names ...string) func(*roster.Account) {
	return func(a *roster.Account) { a.Aliases = names }
}

func TestLinesOfAliases(t *testing.T) {
	gid := func(gid uint32) func(*roster.Account) { return func(a *roster.Account) { a.GID = gid } }
	for name, c := range map[string]struct {
		rows                  []roster.Row
		passwd, group, shadow string
	}{
		"an alias is its account under another name": {
			[]roster.Row{account("1", "ada", 2000, aliases("countess"), func(a *roster.Account) { a.Expire = 20000 })},
			"ada:x:2000:2000:ada:/home/ada:/bin/bash\ncountess:x:2000:2000:ada:/home/ada:/bin/bash\n",
			"ada:x:2000:\ncountess:x:2000:\n",
			"ada:$6$salt$adahash::::::20000:\ncountess:$6$salt$adahash::::::20000:\n",
		},
		"aliases stand behind all accounts, in their order": {
			[]roster.Row{account("1", "ada", 2000, aliases("z", "a")), account("2", "bob", 2001), account("3", "eve", 2002, aliases("e"))},
			"ada:x:2000:2000:ada:/home/ada:/bin/bash\nbob:x:2001:2001:bob:/home/bob:/bin/bash\neve:x:2002:2002:eve:/home/eve:/bin/bash\n" +
				"z:x:2000:2000:ada:/home/ada:/bin/bash\na:x:2000:2000:ada:/home/ada:/bin/bash\ne:x:2002:2002:eve:/home/eve:/bin/bash\n",
			"ada:x:2000:\nbob:x:2001:\neve:x:2002:\nz:x:2000:\na:x:2000:\ne:x:2002:\n",
			"ada:$6$salt$adahash:::::::\nbob:$6$salt$bobhash:::::::\neve:$6$salt$evehash:::::::\nz:$6$salt$adahash:::::::\na:$6$salt$adahash:::::::\ne:$6$salt$evehash:::::::\n",
		},
		"the aliases of a locked account are locked": {
			[]roster.Row{account("1", "ada", 2000, locked, aliases("countess"))},
			"ada:x:2000:2000:ada:/home/ada:/usr/sbin/nologin\ncountess:x:2000:2000:ada:/home/ada:/usr/sbin/nologin\n",
			"ada:x:2000:\ncountess:x:2000:\n",
			"ada:!$6$salt$adahash::::::1:\ncountess:!$6$salt$adahash::::::1:\n",
		},
		"without a private group an alias has none": {
			[]roster.Row{account("1", "ada", 2000, gid(3000), aliases("countess")), account("2", "bob", 2001, aliases("b")), group("1", "eng", 3000)},
			"ada:x:2000:3000:ada:/home/ada:/bin/bash\nbob:x:2001:2001:bob:/home/bob:/bin/bash\ncountess:x:2000:3000:ada:/home/ada:/bin/bash\nb:x:2001:2001:bob:/home/bob:/bin/bash\n",
			"bob:x:2001:\nb:x:2001:\neng:x:3000:\n",
			"ada:$6$salt$adahash:::::::\nbob:$6$salt$bobhash:::::::\ncountess:$6$salt$adahash:::::::\nb:$6$salt$bobhash:::::::\n",
		},
		"aliases are members right behind their accounts": {
			[]roster.Row{
				account("1", "ada", 2000, aliases("z", "countess")), account("2", "bob", 2001), account("3", "eve", 2002, aliases("e")),
				group("1", "eng", 3000), group("2", "ops", 3001), member("1", "1"), member("1", "2"), member("1", "3"), member("2", "3"),
			},
			"ada:x:2000:2000:ada:/home/ada:/bin/bash\nbob:x:2001:2001:bob:/home/bob:/bin/bash\neve:x:2002:2002:eve:/home/eve:/bin/bash\n" +
				"z:x:2000:2000:ada:/home/ada:/bin/bash\ncountess:x:2000:2000:ada:/home/ada:/bin/bash\ne:x:2002:2002:eve:/home/eve:/bin/bash\n",
			"ada:x:2000:\nbob:x:2001:\neve:x:2002:\nz:x:2000:\ncountess:x:2000:\ne:x:2002:\neng:x:3000:ada,z,countess,bob,eve,e\nops:x:3001:eve,e\n",
			"",
		},
		"aliases of an account that is dropped late are dropped with it": {
			[]roster.Row{account("1", "eng", 2000, aliases("e")), account("2", "bob", 2001, aliases("b")), account("3", "eve", 2002, gid(5000), aliases("v")), group("1", "eng", 3000), member("1", "1"), member("1", "2")},
			"bob:x:2001:2001:bob:/home/bob:/bin/bash\nb:x:2001:2001:bob:/home/bob:/bin/bash\n",
			"bob:x:2001:\nb:x:2001:\neng:x:3000:bob,b\n",
			"bob:$6$salt$bobhash:::::::\nb:$6$salt$bobhash:::::::\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := renderTest(t, DefaultPolicy(), c.rows...)
			if got := string(o.passwd); got != c.passwd {
				t.Errorf("passwd\n%s, not\n%s", got, c.passwd)
			}
			if got := string(o.group); got != c.group {
				t.Errorf("group\n%s, not\n%s", got, c.group)
			}
			if got := string(o.shadow); c.shadow != "" && got != c.shadow {
				t.Errorf("shadow\n%s, not\n%s", got, c.shadow)
			}
		})
	}
}

func TestWithoutShadowAliasesCarryAsterisks(t *testing.T) {
	p := DefaultPolicy()
	p.Shadow = false
	o := renderTest(t, p, account("1", "ada", 2000, aliases("countess")))
	if got, want := string(o.passwd), "ada:*:2000:2000:ada:/home/ada:/bin/bash\ncountess:*:2000:2000:ada:/home/ada:/bin/bash\n"; got != want || len(o.shadow) > 0 {
		t.Errorf("passwd\n%s, shadow\n%s", got, o.shadow)
	}
}

func TestAliasesThatAreLeftOut(t *testing.T) {
	ada := func(names ...string) roster.Row { return account("1", "ada", 2000, aliases(names...)) }
	rows := func(rows ...roster.Row) []roster.Row { return rows }
	var many []string
	for i := range roster.MaxAliases + 3 {
		many = append(many, fmt.Sprintf("a%02d", i))
	}
	for name, c := range map[string]struct {
		rows    []roster.Row
		refused string // keys and names
		names   string // in passwd
		cause   string // what a reason must tell
	}{
		"a good one is not":                        {rows(ada("old")), "", "ada old", ""},
		"its own name is, silently":                {rows(ada("ada", "old")), "", "ada old", ""},
		"what comes twice is, silently":            {rows(ada("old", "old", "older", "old")), "", "ada old older", ""},
		"no name":                                  {rows(ada("", "old")), `a/1 ""`, "ada old", "empty"},
		"an upper-case name":                       {rows(ada("Ada")), `a/1 "Ada"`, "ada", "lower-case"},
		"a name with a newline":                    {rows(ada("a\nroot::0:0:::", "old")), `a/1 "a\nroot::0:0:::"`, "ada old", "allowed"},
		"a name with a comma":                      {rows(ada("a,root")), `a/1 "a,root"`, "ada", "allowed"},
		"a name that is too long":                  {rows(ada(strings.Repeat("x", 33))), `a/1 "` + strings.Repeat("x", 33) + `"`, "ada", "at most"},
		"a bad one that comes twice, told once":    {rows(ada("A", "A")), `a/1 "A"`, "ada", "lower-case"},
		"root":                                     {rows(ada("root", "old")), `a/1 "root"`, "ada old", "protected"},
		"a name of systemd's kin":                  {rows(ada("systemd-x")), `a/1 "systemd-x"`, "ada", "protected"},
		"a local account's name":                   {rows(ada("deploy")), `a/1 "deploy"`, "ada", "1500"},
		"a local group's name":                     {rows(ada("localteam")), `a/1 "localteam"`, "ada", "1700"},
		"a local group's, without a private group": {rows(account("1", "ada", 2000, aliases("localteam"), func(a *roster.Account) { a.GID = 1700 })), `a/1 "localteam"`, "ada", "1700"},
		"the name of an account before it":         {rows(account("0", "bob", 2001), ada("bob", "old")), `a/1 "bob"`, "bob ada old", "account 0"},
		"the name of an account behind it":         {rows(ada("bob", "old"), account("2", "bob", 2001)), `a/1 "bob"`, "ada bob old", "account 2"},
		"the name of a group":                      {rows(ada("eng", "old"), group("1", "eng", 3000)), `a/1 "eng"`, "ada old", "group 1"},
		"the name of a group that is refused":      {rows(ada("eng"), group("1", "eng", 0)), `a/1 "eng", g/1 "eng"`, "ada", "row g/1"},
		"the name of an account that is refused":   {rows(ada("bob"), account("2", "bob", 0)), `a/1 "bob", a/2 "bob"`, "ada", "row a/2"},
		"the name of an account dropped late":      {rows(ada("bob"), account("2", "bob", 3000), group("1", "eng", 3000)), `a/1 "bob", a/2 "bob"`, "ada", "account 2"},
		"the name of its own primary group":        {rows(account("1", "ada", 2000, aliases("eng"), func(a *roster.Account) { a.GID = 3000 }), group("1", "eng", 3000)), `a/1 "eng"`, "ada", "group 1"},
		"the alias of an account before it":        {rows(ada("old"), account("2", "bob", 2001, aliases("old", "b"))), `a/2 "old"`, "ada bob old b", "account 1"},
		"not the alias of a refused account":       {rows(account("0", "bob", 0, aliases("old")), ada("old")), `a/0 "bob"`, "ada old", ""},
		"not the alias of one dropped late":        {rows(account("0", "eng", 2001, aliases("old")), ada("old"), group("1", "eng", 3000)), `a/0 "eng"`, "ada old", ""},
		"not an alias that the other may not have": {rows(account("0", "bob", 2001, aliases(append(many[:16:16], "old")...)), ada("old")), `a/0 "old"`, "bob ada " + strings.Join(many[:16], " ") + " old", "16 at most"},
		"what an account has over the limit":       {rows(ada(append([]string{"ada", "a00"}, many...)...)), `a/1 "a16", a/1 "a17", a/1 "a18"`, "ada " + strings.Join(many[:16], " "), "16 at most"},
		"two that were swapped":                    {rows(ada("bob"), account("2", "bob", 2001, aliases("ada"))), `a/1 "bob", a/2 "ada"`, "ada bob", "rename"},
	} {
		t.Run(name, func(t *testing.T) {
			o := renderTest(t, DefaultPolicy(), c.rows...)
			var refused, names []string
			told := false
			for _, q := range o.quarantined {
				refused = append(refused, fmt.Sprintf("%s %q", q.Key, q.Name))
				told = told || strings.Contains(q.Reason, c.cause)
				if len(q.Reason) > 600 {
					t.Errorf("reason %q", q.Reason)
				}
			}
			if got := strings.Join(refused, ", "); got != c.refused {
				t.Errorf("refused %s, not %s: %v", got, c.refused, o.quarantined)
			}
			if c.refused != "" && !told {
				t.Errorf("no reason tells %q: %v", c.cause, o.quarantined)
			}
			for line := range strings.Lines(string(o.passwd)) {
				names = append(names, string(nameOf([]byte(line))))
			}
			if got := strings.Join(names, " "); got != c.names {
				t.Errorf("names %s, not %s", got, c.names)
			}
		})
	}
}

func TestPolicyAllowsAliasesToo(t *testing.T) {
	p := DefaultPolicy()
	p.AllowNames = []string{"git", "docker"}
	o := renderTest(t, p, account("1", "ada", 2000, aliases("git", "docker")))
	// The name docker is allowed, but the node has such a group.
	if len(o.quarantined) != 1 || o.quarantined[0].Name != "docker" || !strings.Contains(string(o.passwd), "\ngit:") {
		t.Errorf("refused %v", o.quarantined)
	}
}

func TestAnIteratorMayUseItsRowsAgain(t *testing.T) {
	rules, _ := DefaultPolicy().rules()
	local, _ := readLocal("testdata/etc/passwd", "testdata/etc/group")
	a := roster.Account{Home: "/home/x", Shell: "/bin/sh", Aliases: []string{""}}
	o, err := render(rules, local, func(yield func(roster.Row, error) bool) {
		for i, name := range []string{"ada", "bob"} {
			a.ID, a.Name, a.Aliases[0] = name, name, "old-"+name
			a.UID, a.GID = uint32(2000+i), uint32(2000+i)
			if !yield(roster.Row{Account: &a}, nil) {
				return
			}
		}
	}, sizes{})
	if err != nil || !strings.Contains(string(o.group), "old-ada:x:2000:\nold-bob:x:2001:\n") {
		t.Errorf("group\n%s, %v", o.group, err)
	}
}

func TestVerifyKnowsAliasesFromDoubledNumbers(t *testing.T) {
	good := func() *rendering {
		return renderTest(t, DefaultPolicy(), account("1", "ada", 2000, aliases("old", "older")), account("2", "bob", 2001, aliases("b")), group("1", "eng", 3000), member("1", "1"))
	}
	for name, c := range map[string]struct{ file, old, new, why string }{
		"an alias with another uid":            {"passwd", "old:x:2000", "old:x:2005", "gid 2000"},
		"an alias with another account's uid":  {"passwd", "old:x:2000", "old:x:2001", "uid 2001"},
		"an alias with another gid":            {"passwd", "old:x:2000:2000", "old:x:2000:2001", "other fields"},
		"an alias with another gecos":          {"passwd", "old:x:2000:2000:ada", "old:x:2000:2000:eve", "other fields"},
		"an alias with another home":           {"passwd", "\nold:x:2000:2000:ada:/home/ada", "\nold:x:2000:2000:ada:/home/old", "other fields"},
		"an alias with another shell":          {"passwd", "\nold:x:2000:2000:ada:/home/ada:/bin/bash", "\nold:x:2000:2000:ada:/home/ada:/bin/sh", "other fields"},
		"an alias with another hash":           {"shadow", "\nold:$6$salt$adahash", "\nold:$6$salt$evilhash", "shadow differ"},
		"an alias that is not locked":          {"shadow", "ada:$6$", "ada:!$6$", "shadow differ"},
		"an alias that expires on another day": {"shadow", "\nold:$6$salt$adahash::::::", "\nold:$6$salt$adahash::::::7", "shadow differ"},
		"an alias of a local name":             {"passwd", "\nb:", "\ndeploy:", "local account"},
		"an alias twice":                       {"passwd", "older", "old", "second"},
		"an alias that is root":                {"passwd", "old:x:2000", "old:x:0", "root"},
		"an alias group of no account":         {"group", "old:", "new:", "no account"},
		"an alias group of another account":    {"group", "old:x:2000", "old:x:2001", "uid 2000"},
		"an alias group with members":          {"group", "old:x:2000:", "old:x:2000:ada", "members"},
		"a group with an account's number":     {"group", "eng:x:3000:", "eng:x:2000:", "no account"},
		"a member that is no alias":            {"group", "ada,old", "ada,elder", "no account"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			file := map[string]*[]byte{"passwd": &o.passwd, "group": &o.group, "shadow": &o.shadow}[c.file]
			bad := strings.Replace(string(*file), c.old, c.new, 1)
			if bad == string(*file) {
				t.Fatalf("%q is not in %s", c.old, *file)
			}
			*file = []byte(bad)
			rules, _ := DefaultPolicy().rules()
			local, _ := readLocal("testdata/etc/passwd", "testdata/etc/group")
			_, err := rules.verify(o, local)
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("error %v does not tell %q:\n%s", err, c.why, bad)
			} else if strings.Contains(err.Error(), "hash") {
				t.Errorf("error tells a hash: %v", err)
			}
		})
	}
	o := good()
	for i := range roster.MaxAliases - 1 {
		o.passwd = fmt.Appendf(o.passwd, "a%d:x:2000:2000:ada:/home/ada:/bin/bash\n", i)
		o.shadow = fmt.Appendf(o.shadow, "a%d:$6$salt$adahash:::::::\n", i)
	}
	rules, _ := DefaultPolicy().rules()
	local, _ := readLocal("testdata/etc/passwd", "testdata/etc/group")
	if _, err := rules.verify(o, local); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("more aliases than there may be: %v", err)
	}
}

func TestVerifyFindsTheAliases(t *testing.T) {
	o := renderTest(t, DefaultPolicy(), account("1", "ada", 2000, aliases("old")), account("2", "bob", 2001), account("3", "eve", 2002, aliases("e", "v")))
	rules, _ := DefaultPolicy().rules()
	local, _ := readLocal("testdata/etc/passwd", "testdata/etc/group")
	v, err := rules.verify(o, local)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(v.aliases), "[{3 0} {4 2} {5 2}]"; got != want {
		t.Errorf("aliases %s, not %s", got, want)
	}
	for i := range v.passwd.count() {
		if _, ok := v.alias(i); ok != (i > 2) {
			t.Errorf("line %d is an alias: %v", i, ok)
		}
	}
}
