package altfiles

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
)

// policyRows are accounts of every kind, in groups.
func policyRows() []roster.Row {
	return []roster.Row{
		account("1", "ada", 2001),
		account("2", "bob", 2002, locked),
		account("3", "carol", 2003, func(a *roster.Account) { a.GID = 3001 }), // eng is her primary group alone
		account("4", "dave", 2004, func(a *roster.Account) { a.Aliases = []string{"davy"} }),
		account("5", "erin", 2005, func(a *roster.Account) { a.Shell = "/opt/erin" }), // is refused
		account("6", "frank", 6000),
		group("1", "eng", 3001), group("2", "ops", 3002), group("3", "wheel", 3003), group("4", "empty", 3004), group("5", "far", 7000),
		member("1", "1"), member("1", "2"), member("2", "2"), member("2", "4"), member("2", "5"), member("3", "1"), member("5", "6"),
	}
}

// firstFields are the names of the lines.
func firstFields(data []byte) string {
	var all []string
	for line := range bytes.Lines(data) {
		all = append(all, string(nameOf(line)))
	}
	return strings.Join(all, " ")
}

// rosterGroups are the lines of group that are no private ones.
func rosterGroups(o *rendering) string {
	var all []string
	for line := range strings.Lines(string(o.group)) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(" "+firstFields(o.passwd)+" ", " "+strings.Split(line, ":")[0]+" ") {
			f := strings.Split(strings.TrimSpace(line), ":")
			all = append(all, f[0]+"="+f[3])
		}
	}
	return strings.Join(all, " ")
}

func TestPolicyDecidesWhoAppearsOnANode(t *testing.T) {
	const refused = "a/5 g/3"
	for name, c := range map[string]struct {
		change       func(*Policy)
		names        string
		groups       string
		left, refuse string
	}{
		"no policy": {func(p *Policy) {}, "ada bob carol dave frank davy", "eng=ada,bob ops=bob,dave,davy empty= far=frank", "", refused},
		"deny a user": {func(p *Policy) { p.DenyUsers = []string{"ada"} },
			"bob carol dave frank davy", "eng=bob ops=bob,dave,davy empty= far=frank", "deny-users:1", refused},
		"deny a user by a former name": {func(p *Policy) { p.DenyUsers = []string{"davy"} },
			"ada bob carol frank", "eng=ada,bob ops=bob empty= far=frank", "deny-users:1", refused},
		"deny a locked one": {func(p *Policy) { p.DenyUsers = []string{"b?b"} },
			"ada carol dave frank davy", "eng=ada ops=dave,davy empty= far=frank", "deny-users:1", refused},
		"deny who would be refused": {func(p *Policy) { p.DenyUsers = []string{"er*"} },
			"ada bob carol dave frank davy", "eng=ada,bob ops=bob,dave,davy empty= far=frank", "deny-users:1", "g/3"},
		"allow some users": {func(p *Policy) { p.AllowUsers = []string{"ada", "davy"} },
			"ada dave davy", "eng=ada ops=dave,davy empty= far=", "allow-users:4", "g/3"},
		"allow a group": {func(p *Policy) { p.AllowGroups = []string{"eng"} },
			"ada bob carol", "eng=ada,bob ops=bob empty= far=", "allow-groups:3", "g/3"},
		"allow a group that one is refused in": {func(p *Policy) { p.AllowGroups = []string{"op?"} },
			"bob dave davy", "eng=bob ops=bob,dave,davy empty= far=", "allow-groups:3", refused},
		"allow a group that is refused itself": {func(p *Policy) { p.AllowGroups = []string{"wheel"} },
			"ada", "eng=ada ops= empty= far=", "allow-groups:5", "g/3"},
		"deny a group, and with it the primary one": {func(p *Policy) { p.DenyGroups = []string{"eng"} },
			"dave frank davy", "eng= ops=dave,davy empty= far=frank", "deny-groups:3", refused},
		"deny a group that one is refused in": {func(p *Policy) { p.DenyGroups = []string{"ops"} },
			"ada carol frank", "eng=ada ops= empty= far=frank", "deny-groups:3", "g/3"},
		"allow and deny groups": {func(p *Policy) { p.AllowGroups, p.DenyGroups = []string{"eng", "ops"}, []string{"ops"} },
			"ada carol", "eng=ada ops= empty= far=", "allow-groups:1 deny-groups:3", "g/3"},
		"every list must let an account pass": {func(p *Policy) { p.AllowGroups, p.AllowUsers = []string{"eng"}, []string{"ada", "dave"} },
			"ada", "eng=ada ops= empty= far=", "allow-groups:1 allow-users:4", "g/3"},
		"a pattern for all": {func(p *Policy) { p.AllowGroups = []string{"*"} },
			"ada bob carol dave frank davy", "eng=ada,bob ops=bob,dave,davy empty= far=frank", "", refused},
		"a range": {func(p *Policy) { p.MinID, p.MaxID = 2002, 5000 },
			"bob carol dave davy", "eng=bob ops=bob,dave,davy empty=", "max-id:1 min-id:1", refused},
		"a range that leaves out a primary group": {func(p *Policy) { p.MaxID = 3000 },
			"ada bob dave davy", "", "max-id:2", "a/5"},
		"used groups": {func(p *Policy) { p.RenderGroups = RenderUsed },
			"ada bob carol dave frank davy", "eng=ada,bob ops=bob,dave,davy far=frank", "", refused},
		"used groups of those who are allowed": {func(p *Policy) { p.RenderGroups, p.AllowGroups = RenderUsed, []string{"ops"} },
			"bob dave davy", "eng=bob ops=bob,dave,davy", "allow-groups:3", refused},
		"a used group is also that of a primary one": {func(p *Policy) { p.RenderGroups, p.AllowUsers = RenderUsed, []string{"carol"} },
			"carol", "eng=", "allow-users:5", "g/3"},
		"nobody": {func(p *Policy) { p.AllowGroups, p.RenderGroups = []string{"eggs"}, RenderUsed }, "", "", "allow-groups:6", "g/3"},
	} {
		t.Run(name, func(t *testing.T) {
			p := DefaultPolicy()
			c.change(&p)
			o := renderTest(t, p, policyRows()...)
			var left, keys []string
			for _, key := range slices.Sorted(maps.Keys(o.left.Accounts)) {
				left = append(left, fmt.Sprintf("%s:%d", key, o.left.Accounts[key]))
			}
			for _, q := range o.quarantined {
				keys = append(keys, q.Key)
			}
			got := []string{firstFields(o.passwd), firstFields(o.shadow), rosterGroups(o), strings.Join(left, " "), strings.Join(keys, " ")}
			if want := []string{c.names, c.names, c.groups, c.left, c.refuse}; !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestPolicyThatLeavesNobodyOutRendersTheSameBytes(t *testing.T) {
	rows := rowsOf(t, "testdata/roster.jsonl")
	want := renderTest(t, DefaultPolicy(), rows...)
	for name, change := range map[string]func(*Policy){
		"settled at the first member": func(p *Policy) { p.AllowUsers = []string{"*"}; p.DenyUsers = []string{"no.such"} },
		"settled at the end":          func(p *Policy) { p.DenyGroups = []string{"no.such"} },
		"a range":                     func(p *Policy) { p.MaxID = 1 << 31 },
	} {
		p := DefaultPolicy()
		change(&p)
		o := renderTest(t, p, rows...)
		if !bytes.Equal(o.passwd, want.passwd) || !bytes.Equal(o.group, want.group) || !bytes.Equal(o.shadow, want.shadow) ||
			!slices.Equal(o.quarantined, want.quarantined) || o.skipped != want.skipped || o.left.Total() != 0 {
			t.Errorf("%s: differs\n%s\n%s\n%v\n%d skipped, %v left", name, o.passwd, o.group, o.quarantined, o.skipped, o.left)
		}
	}
}

func TestNobodyGetsInUnderTheNameOfWhomThePolicyLeavesOut(t *testing.T) {
	rows := []roster.Row{
		account("1", "ada", 2001),
		account("2", "root", 2002), // would be refused
		account("3", "grace", 2003, func(a *roster.Account) { a.Aliases = []string{"ada", "far", "high"} }),
		account("4", "far", 9000),
		group("1", "high", 9001), group("2", "eng", 3000), member("2", "3"),
	}
	for name, change := range map[string]func(*Policy){
		"by name":  func(p *Policy) { p.AllowUsers = []string{"grace"} },
		"by group": func(p *Policy) { p.AllowGroups = []string{"eng"} },
	} {
		p := DefaultPolicy()
		p.MaxID = 8000
		change(&p)
		o := renderTest(t, p, rows...)
		if firstFields(o.passwd) != "grace" || len(o.quarantined) != 3 || o.left.Total() != 3 {
			t.Errorf("%s: rendered %s, refused %v, left out %v", name, firstFields(o.passwd), o.quarantined, o.left)
		}
	}
}

func TestMistypedAllowGroupsIsHarmAndIsTold(t *testing.T) {
	dir := scratch(t)
	commit(t, newRenderer(t, dir), policyRows())
	r := newRendererWith(t, dir, func(c *Config) { c.Policy.AllowGroups = []string{"egn"} })
	p := plan(t, r, policyRows())
	if e := p.Effect(); !e.Empties() || e.Removed != 5 || e.Harm() != 5 {
		t.Errorf("effect %v", e)
	}
	if w := strings.Join(p.Warnings(), "\n"); !strings.Contains(w, `allow-groups: "egn" matches no group`) {
		t.Errorf("warnings %q", w)
	}
	if p.LeftOut().Accounts["allow-groups"] != 6 || p.Effect().LeftOut != 6 {
		t.Errorf("left out %v, %d", p.LeftOut(), p.Effect().LeftOut)
	}
}

func TestListsThatMatchEverythingTheyShouldWarnOfNothing(t *testing.T) {
	p := DefaultPolicy()
	p.AllowUsers, p.DenyUsers = []string{"*", "davy"}, []string{"f*"}
	p.AllowGroups, p.DenyGroups = []string{"*"}, []string{"wheel"}
	p.MergeMembers = []string{"localteam=eng"}
	if o := renderTest(t, p, policyRows()...); len(o.warnings) > 0 {
		t.Errorf("warnings %q", o.warnings)
	}
}

func TestListsThatMakeNoSenseAreRefused(t *testing.T) {
	for want, change := range map[string]func(*Policy){
		"can match no name":      func(p *Policy) { p.AllowGroups = []string{"Domain Admins"} },
		`"[ab]" can match`:       func(p *Policy) { p.DenyUsers = []string{"[ab]"} },
		`"" can match no name`:   func(p *Policy) { p.AllowUsers = []string{""} },
		"below min-id":           func(p *Policy) { p.MinID, p.MaxID = 3000, 2000 },
		"not all or used":        func(p *Policy) { p.RenderGroups = "some" },
		"mapped twice":           func(p *Policy) { p.ShellMap = []string{"/bin/a=/bin/sh", "/bin/a=/bin/bash"} },
		"form A=B":               func(p *Policy) { p.ShellMap = []string{"/bin/zsh"} },
		"not among the shells":   func(p *Policy) { p.ShellMap = []string{"*=/bin/evil"} },
		"absolute":               func(p *Policy) { p.ShellMap = []string{"zsh=/bin/bash"} },
		"same home":              func(p *Policy) { p.HomePattern = "/home/all" },
		"%d is not known":        func(p *Policy) { p.HomePattern = "/home/%d/%u" },
		"ends in %":              func(p *Policy) { p.HomePattern = "/home/%u%" },
		"lies in the system's":   func(p *Policy) { p.HomePattern = "/etc/%u" },
		"in its shortest form":   func(p *Policy) { p.HomePattern = "/home/../%u" },
		"never given members":    func(p *Policy) { p.MergeMembers = []string{"sudo=eng"} },
		"in allow-names and in":  func(p *Policy) { p.AllowNames, p.ProtectNames = []string{"docker"}, []string{"docker"} },
		"must begin with":        func(p *Policy) { p.MergeMembers = []string{"docker=Eng"} },
		"protected name \"A\" m": func(p *Policy) { p.ProtectNames = []string{"A"} },
	} {
		p := DefaultPolicy()
		change(&p)
		if _, err := p.rules(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestExplanationsAgreeWithThePlan holds what is explained of each row against
// what a plan does with it, for many policies.
func TestExplanationsAgreeWithThePlan(t *testing.T) {
	rows := append(rowsOf(t, "testdata/roster.jsonl"), account("zz", "unlisted", 2500))
	slices.SortStableFunc(rows, func(a, b roster.Row) int { return strings.Compare(a.Key(), b.Key()) })
	rng := rand.New(rand.NewPCG(1, 2))
	some := func(all ...string) (list []string) {
		for _, s := range all {
			if rng.IntN(6) == 0 {
				list = append(list, s)
			}
		}
		return list
	}
	dir := scratch(t)
	for range 60 {
		r := newRendererWith(t, dir, func(c *Config) {
			p := &c.Policy
			p.AllowUsers, p.DenyUsers = some("a*", "*", "heidi", "dave", "eve"), some("bob", "heidi", "f*", "root")
			p.AllowGroups, p.DenyGroups = some("eng", "staff-ops", "docker", "e*"), some("eng", "docker", "no.such")
			p.MinID, p.MaxID = uint32(1000+rng.IntN(2)*1003), uint32(rng.IntN(2)*2016)
			p.RenderGroups = []string{RenderAll, RenderUsed}[rng.IntN(2)]
			if p.MaxID > 0 {
				p.MaxID = max(p.MaxID, p.MinID)
			}
		})
		p := plan(t, r, rows)
		left := map[string]int{}
		groups := 0
		for _, row := range rows {
			if row.Member != nil {
				continue
			}
			var asked string
			if row.Account != nil {
				asked = row.Account.Name
			} else {
				asked = row.Group.Name
			}
			all, err := r.Explain(each(rows), asked)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(all, func(x Explanation) bool { return x.Key == row.Key() })
			if i < 0 {
				t.Fatalf("%s is not explained", row.Key())
			}
			x := all[i]
			refused := slices.ContainsFunc(p.Effect().Quarantined, func(q roster.Quarantine) bool { return q.Key == x.Key && q.Name == x.Name })
			if refused != (x.Outcome == OutcomeQuarantined) {
				t.Errorf("%s: %v, but refused %v", x.Key, x, refused)
			}
			if x.Outcome == OutcomeLeftOut {
				if row.Account != nil {
					left[x.By]++
				} else {
					groups++
				}
			}
		}
		if want := p.LeftOut(); !maps.Equal(left, want.Accounts) && len(left)+len(want.Accounts) > 0 || groups != want.Groups {
			t.Errorf("explained %v and %d groups, planned %v, policy %+v", left, groups, want, r.cfg.Policy)
		}
	}
}
