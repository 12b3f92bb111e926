package altfiles

import (
	"strings"
	"testing"

	"pwb/roster"
)

func TestShellMapReplacesShells(t *testing.T) {
	p := DefaultPolicy()
	p.Shells = []string{"/bin/bash", "/bin/sh"}
	p.ShellMap = []string{"/bin/zsh=/bin/bash", "/bin/sh=/usr/sbin/nologin", "*=/bin/bash"}
	shell := func(s string) func(*roster.Account) { return func(a *roster.Account) { a.Shell = s } }
	rows := []roster.Row{
		account("1", "listed", 2001, shell("/bin/zsh")),
		account("2", "allowed", 2002),
		account("3", "mapped", 2003, shell("/bin/sh")),
		account("4", "strange", 2004, shell("/opt/x:y\n")),
		account("5", "none", 2005, shell("")),
		account("6", "barred", 2006, shell("/bin/zsh"), locked, func(a *roster.Account) { a.Aliases = []string{"old"} }),
	}
	o := renderTest(t, p, rows...)
	var got []string
	for line := range strings.Lines(string(o.passwd)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		got = append(got, f[0]+f[6])
	}
	if s := strings.Join(got, " "); s != "listed/bin/bash allowed/bin/bash mapped/usr/sbin/nologin strange/bin/bash none/bin/bash barred/usr/sbin/nologin old/usr/sbin/nologin" {
		t.Error(s)
	}
	if rows[0].Account.Shell != "/bin/zsh" {
		t.Error("the row itself was changed")
	}
}

func TestHomePatternMakesHomes(t *testing.T) {
	home := func(s string) func(*roster.Account) { return func(a *roster.Account) { a.Home = s } }
	for pattern, want := range map[string]string{
		"/srv/home/%u":      "ada:/srv/home/ada old:/srv/home/ada bob:/srv/home/bob eve:/srv/home/eve",
		"/home/%l/%u.%U":    "ada:/home/a/ada.2001 old:/home/a/ada.2001 bob:/home/b/bob.2002 eve:/home/e/eve.2003",
		"/net/100%%/%H":     "ada:/net/100%/ada.l old:/net/100%/ada.l bob:/net/100%/bob",
		"/home/%u/../../%H": "",
	} {
		p := DefaultPolicy()
		p.HomePattern = pattern
		if want == "" {
			if _, err := p.rules(); err == nil {
				t.Errorf("%s: accepted", pattern)
			}
			continue
		}
		o := renderTest(t, p,
			account("1", "ada", 2001, home("/home/ada.l"), func(a *roster.Account) { a.Aliases = []string{"old"} }),
			account("2", "bob", 2002, locked),
			account("3", "eve", 2003, home("/home/..")))
		lines := map[string]string{}
		for line := range strings.Lines(string(o.passwd)) {
			f := strings.Split(line, ":")
			lines[f[0]] = f[5]
		}
		var got []string
		for _, name := range []string{"ada", "old", "bob", "eve"} {
			if lines[name] != "" {
				got = append(got, name+":"+lines[name])
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s", pattern, s)
		}
		if strings.Contains(pattern, "%H") && (len(o.quarantined) != 1 || !strings.Contains(o.quarantined[0].Reason, "home")) {
			t.Errorf("%s: refused %v", pattern, o.quarantined)
		}
	}
}

func TestHomesThatAPatternMakesAreChecked(t *testing.T) {
	p := DefaultPolicy()
	p.HomePattern = "/%u"
	o := renderTest(t, p, account("1", "etc", 2001), account("2", "ada", 2002), account("3", "libs", 2003))
	if got := firstFields(o.passwd); got != "ada" || len(o.quarantined) != 2 || !strings.Contains(o.quarantined[0].Reason, "home-pattern") {
		t.Errorf("rendered %s, refused %v", got, o.quarantined)
	}
}

func TestProtectedNamesOfTheNodeAreRefusedAndReported(t *testing.T) {
	p := DefaultPolicy()
	p.ProtectNames = []string{"oracle", "dba"}
	o := renderTest(t, p, account("1", "oracle", 2001), account("2", "ada", 2002, func(a *roster.Account) { a.Aliases = []string{"oracle"} }), group("1", "dba", 3000))
	if firstFields(o.passwd) != "ada" || len(o.quarantined) != 3 || !strings.Contains(o.quarantined[0].Reason, "protect-names") || o.left.Total() != 0 {
		t.Errorf("rendered %s, refused %v", firstFields(o.passwd), o.quarantined)
	}
}

func TestMembersAreMergedIntoListedLocalGroupsAlone(t *testing.T) {
	merged := func(o *rendering) string {
		i := strings.Index(string(o.group), "docker:")
		if i < 0 {
			return ""
		}
		return strings.TrimSpace(string(o.group[i:]))
	}
	for name, c := range map[string]struct {
		change func(*Policy)
		want   string
		warn   string
	}{
		"not listed":                    {func(p *Policy) {}, "", ""},
		"aliases come too":              {func(p *Policy) { p.MergeMembers = []string{"docker=ops"} }, "docker:x:1998:bob,dave,davy", ""},
		"two groups":                    {func(p *Policy) { p.MergeMembers = []string{"docker=ops", "docker=eng"} }, "docker:x:1998:bob,dave,davy,ada", ""},
		"those who are rendered":        {func(p *Policy) { p.MergeMembers, p.DenyUsers = []string{"docker=ops"}, []string{"bob"} }, "docker:x:1998:dave,davy", ""},
		"those who are rendered, late":  {func(p *Policy) { p.MergeMembers, p.DenyGroups = []string{"docker=ops"}, []string{"eng"} }, "docker:x:1998:dave,davy", ""},
		"a group without a line":        {func(p *Policy) { p.MergeMembers, p.RenderGroups = []string{"docker=empty"}, RenderUsed }, "", ""},
		"a group that is refused":       {func(p *Policy) { p.MergeMembers = []string{"docker=wheel"} }, "", `no group "wheel" that this node could render`},
		"a group that is not":           {func(p *Policy) { p.MergeMembers = []string{"docker=egn"} }, "", `no group "egn"`},
		"a local group that is not":     {func(p *Policy) { p.MergeMembers = []string{"podman=ops"} }, "", `has no group "podman"`},
		"a local group without members": {func(p *Policy) { p.MergeMembers = []string{"docker=empty"} }, "", ""},
	} {
		p := DefaultPolicy()
		c.change(&p)
		o := renderTest(t, p, policyRows()...)
		if got := merged(o); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := strings.Join(o.warnings, "\n"); !strings.Contains(got, c.warn) || c.warn == "" && got != "" {
			t.Errorf("%s: warnings %q", name, got)
		}
	}
}

func TestGroupsOfRootAreNeverMergedWhateverTheirName(t *testing.T) {
	rules, err := Policy{Shadow: true, MergeMembers: []string{"toor=ops", "second=ops"}}.rules()
	if err != nil {
		t.Fatal(err)
	}
	local, err := readLocal("testdata/etc/passwd", "testdata/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	local.groups["toor"] = 0 // a second name of gid 0
	local.groups["second"] = 1998
	o, err := render(rules, local, each(policyRows()), sizes{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(o.group), "toor") || strings.Contains(string(o.group), "second") || len(o.warnings) != 2 {
		t.Errorf("warnings %q\n%s", o.warnings, o.group)
	}
	o.group = append(o.group, "toor:x:0:bob\n"...)
	if _, err := rules.verify(o, local); err == nil {
		t.Error("verify lets gid 0 pass")
	}
}
