package altfiles

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/roster"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update if that is meant):\n%s", name, got)
	}
}

// rowsOf reads rows as they lie in an agent's mirror: a change a line.
func rowsOf(t testing.TB, path string) []roster.Row {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []roster.Row
	in := bufio.NewScanner(bytes.NewReader(data))
	for in.Scan() {
		c, err := roster.ParseChange(in.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		row, err := c.Row()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func TestRepresentativeRosterIsRenderedAsTheGoldenFiles(t *testing.T) {
	r := newRenderer(t, scratch(t))
	rows := rowsOf(t, "testdata/roster.jsonl")
	p := plan(t, r, rows)
	for _, f := range p.files {
		golden(t, f.name+".golden", f.data)
	}
	var q bytes.Buffer
	for _, x := range p.Effect().Quarantined {
		fmt.Fprintf(&q, "%s %q: %s\n", x.Key, x.Name, x.Reason)
	}
	golden(t, "quarantine.golden", bytes.ReplaceAll(q.Bytes(), []byte(filepath.Dir(r.cfg.PasswdFile)), []byte("/etc")))
	if p.Skipped() != 4 {
		t.Errorf("%d memberships skipped, not 4", p.Skipped())
	}
	if strings.Contains(q.String(), "SECRET") {
		t.Error("a reason tells a hash")
	}
}

func TestWithoutShadowPasswdCarriesAsterisks(t *testing.T) {
	r := newRendererWith(t, scratch(t), func(c *Config) { c.Policy.Shadow = false })
	p := commit(t, r, rowsOf(t, "testdata/roster.jsonl"))
	golden(t, "passwd-noshadow.golden", p.file(passwdName).data)
	if p.file(shadowName) != nil || read(t, r, shadowName) != "" {
		t.Error("shadow is written")
	}
}

// renderTest renders rows with a policy against the node's files of testdata.
func renderTest(t testing.TB, policy Policy, rows ...roster.Row) *rendering {
	t.Helper()
	rules, err := policy.rules()
	if err != nil {
		t.Fatal(err)
	}
	local, err := readLocal("testdata/etc/passwd", "testdata/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	o, err := render(rules, local, each(rows), sizes{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rules.verify(o, local); err != nil {
		t.Fatalf("verify: %v\n%s\n%s", err, o.passwd, o.group)
	}
	return o
}

func TestLinesOfAnAccount(t *testing.T) {
	hash := func(h string) func(*roster.Account) { return func(a *roster.Account) { a.Hash = h } }
	expire := func(a *roster.Account) { a.Expire = 20000 }
	for name, c := range map[string]struct {
		row           roster.Row
		shell, shadow string
	}{
		"unlocked with a hash":              {account("1", "ada", 2000), "/bin/bash", "$6$salt$adahash:::::::"},
		"unlocked without a hash":           {account("1", "ada", 2000, hash("")), "/bin/bash", "*:::::::"},
		"unlocked with an expiry keeps it":  {account("1", "ada", 2000, expire), "/bin/bash", "$6$salt$adahash::::::20000:"},
		"locked":                            {account("1", "ada", 2000, locked), DefaultNologin, "!$6$salt$adahash::::::1:"},
		"locked without a hash":             {account("1", "ada", 2000, locked, hash("")), DefaultNologin, "!*::::::1:"},
		"locked twice has one mark":         {account("1", "ada", 2000, locked, hash("!$6$a$b")), DefaultNologin, "!$6$a$b::::::1:"},
		"locked with an expiry is past it":  {account("1", "ada", 2000, locked, expire), DefaultNologin, "!$6$salt$adahash::::::1:"},
		"locked with a strange shell":       {account("1", "ada", 2000, locked, func(a *roster.Account) { a.Shell = "/x" }), DefaultNologin, "!$6$salt$adahash::::::1:"},
		"a hash that is marked stays so":    {account("1", "ada", 2000, hash("!")), "/bin/bash", "!:::::::"},
		"yescrypt":                          {account("1", "ada", 2000, hash("$y$j9T$abc$def")), "/bin/bash", "$y$j9T$abc$def:::::::"},
		"a password that nobody can answer": {account("1", "ada", 2000, hash("*")), "/bin/bash", "*:::::::"},
	} {
		t.Run(name, func(t *testing.T) {
			o := renderTest(t, DefaultPolicy(), c.row)
			if got, want := string(o.passwd), "ada:x:2000:2000:ada:/home/ada:"+c.shell+"\n"; got != want {
				t.Errorf("passwd %q, not %q", got, want)
			}
			// Fields 3 to 7 of shadow are empty, the eighth is the expiry.
			if got, want := string(o.shadow), "ada:"+c.shadow; strings.TrimSuffix(got, "\n") != want {
				t.Errorf("shadow %q, not %q", got, want)
			}
			if got := string(o.group); got != "ada:x:2000:\n" {
				t.Errorf("group %q", got)
			}
		})
	}
}

func TestLongGroupLinesComeLast(t *testing.T) {
	rows := []roster.Row{}
	for i := range 120 {
		rows = append(rows, account(fmt.Sprintf("%03d", i), fmt.Sprintf("account%03d", i), uint32(2000+i)))
	}
	rows = append(rows, group("a", "long1", 3000), group("b", "short", 3001), group("c", "long2", 3002), group("d", "empty", 3003))
	for _, g := range []string{"a", "b", "c"} {
		for i := range 120 {
			if g != "b" || i%60 == 0 {
				rows = append(rows, member(g, fmt.Sprintf("%03d", i)))
			}
		}
	}
	lines := strings.Split(string(renderTest(t, DefaultPolicy(), rows...).group), "\n")[120:]
	var names []string
	for _, l := range lines {
		names = append(names, strings.Split(l, ":")[0])
	}
	if got := strings.Join(names, " "); got != "short empty long1 long2 " {
		t.Errorf("order: %s", got)
	}
	if lines[0] != "short:x:3001:account000,account060" {
		t.Errorf("members: %s", lines[0])
	}
}

func TestGroupOrderOfMembersMayDifferFromThatOfGroups(t *testing.T) {
	// As keys, "m/x-/…" comes before "m/x/…", though "g/x" before "g/x-".
	o := renderTest(t, DefaultPolicy(), account("1", "ada", 2000), account("2", "bob", 2001),
		group("x", "one", 3000), group("x-", "two", 3001),
		member("x-", "1"), member("x-", "2"), member("x", "2"))
	if got, want := string(o.group), "ada:x:2000:\nbob:x:2001:\none:x:3000:bob\ntwo:x:3001:ada,bob\n"; got != want {
		t.Errorf("group\n%s", got)
	}
}

func TestRowsThatAreNoRosterAreRefused(t *testing.T) {
	for name, rows := range map[string][]roster.Row{
		"the same key twice":         {account("1", "ada", 2000), account("1", "bob", 2001)},
		"descending accounts":        {account("2", "ada", 2000), account("1", "bob", 2001)},
		"an account after a group":   {group("1", "eng", 2000), account("2", "bob", 2001)},
		"a group after a member":     {member("1", "2"), group("1", "eng", 2000)},
		"the same member twice":      {member("1", "2"), member("1", "2")},
		"descending members":         {member("1", "2"), member("1", "1")},
		"a group's members in two":   {member("1", "2"), member("2", "2"), member("1", "3")},
		"an empty row":               {{}},
		"an id that is none":         {account("1/2", "ada", 2000)},
		"a member of an id that is.": {member("1/2", "3")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			if p, err := r.Plan(each(rows)); err == nil {
				t.Errorf("planned: %v", p.Effect())
			}
		})
	}
}

func TestErrorOfTheIteratorAborts(t *testing.T) {
	r := newRenderer(t, scratch(t))
	cut := errors.New("the stream was cut")
	_, err := r.Plan(func(yield func(roster.Row, error) bool) {
		if yield(account("1", "ada", 2000), nil) {
			yield(roster.Row{}, cut)
		}
	})
	if !errors.Is(err, cut) {
		t.Errorf("error %v", err)
	}
}

func TestVerifyCatchesWhatNeverMayBeWritten(t *testing.T) {
	good := func() *rendering {
		return renderTest(t, DefaultPolicy(), account("1", "ada", 2000), account("2", "bob", 2001, locked), group("1", "eng", 3000), member("1", "1"))
	}
	for name, c := range map[string]struct{ file, old, new string }{
		"root's number":                 {"passwd", "2000:2000", "0:2000"},
		"root's group":                  {"passwd", "2000:2000", "2000:0"},
		"a number below the floor":      {"passwd", "2001:2001", "999:2001"},
		"a group that is none":          {"passwd", "2001:2001", "2001:2005"},
		"one uid twice":                 {"passwd", "2001:2001", "2000:2001"},
		"one name twice":                {"passwd", "bob", "ada"},
		"a local name":                  {"passwd", "bob", "deploy"},
		"a local uid":                   {"passwd", "2001:2001", "1500:2001"},
		"a comment":                     {"passwd", "bob", "#bob"},
		"a compat line":                 {"passwd", "bob", "+bob"},
		"a field too few":               {"passwd", ":/home/bob:", ":"},
		"a field too many":              {"passwd", ":/home/bob:", ":/home/bob::"},
		"an empty line":                 {"passwd", "bob", "\nbob"},
		"no last newline":               {"passwd", "nologin\n", "nologin"},
		"an empty password in passwd":   {"passwd", "ada:x", "ada:"},
		"a hash in passwd":              {"passwd", "ada:x", "ada:$6$a$b"},
		"a strange shell":               {"passwd", "/bin/bash", "/bin/evil"},
		"no home":                       {"passwd", "/home/ada", ""},
		"an empty password":             {"shadow", "$6$salt$adahash", ""},
		"a password in the clear":       {"shadow", "$6$salt$adahash", "secret"},
		"another account's shadow":      {"shadow", "ada", "adb"},
		"shadow lines in another order": {"shadow", "ada", "zed"},
		"a shadow line too few":         {"shadow", "ada:$6$salt$adahash:::::::\n", ""},
		"shadow with a field too few":   {"shadow", ":::::::\n", "::::::\n"},
		"a negative expiry":             {"shadow", "::::::1:", "::::::-1:"},
		"a group with gid 0":            {"group", "3000", "0"},
		"one gid twice":                 {"group", "3000", "2001"},
		"one group name twice":          {"group", "eng", "ada"},
		"a member that is no account":   {"group", ":ada", ":eve"},
		"a local group":                 {"group", "eng", "docker"},
		"a local gid":                   {"group", "3000", "1998"},
		"a group password":              {"group", "eng:x", "eng:"},
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
			if err == nil {
				t.Errorf("passed:\n%s", bad)
			} else if strings.Contains(err.Error(), "adahash") {
				t.Errorf("error tells a hash: %v", err)
			}
		})
	}
}
