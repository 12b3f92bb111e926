package scimserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func TestARuleRewritesUserNamesBeforeNamesAreMade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, userName, want string }{
		{`^(.*)\.(.*)@acme\.example$ ${2}_$1`, "Ada.Lovelace@acme.example", "lovelace_ada"},
		{`^(.*)\.(.*)@acme\.example$ ${2}_$1`, "Ada.Lovelace@other.example", "ada.lovelace"},
		{`^(?P<given>\w+)\..*$ ${given}$$$0`, "ada.l", "ada_ada.l"},
		{`^ext-`, "ext-ada@acme.example", "ada"},
		{`@.*$`, "ada@acme.example", "ada"},
		{`^.*$ ${0}x`, "ada", "adax"},
		{`^.*$ 山田`, "ada", "_"},
		{`a b`, "banana", "bbnbnb"},
	} {
		rule, err := ledger.ParseRule(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		h := open(t, func(cfg *scimserver.Config) { cfg.Ledger.Rewrite = rule })
		a := h.do("POST", "/Users", fmt.Sprintf(`{"userName":%q}`, c.userName)).ok(201).has("userName", c.userName)
		if got := h.account(a.id()).Name; got != c.want {
			t.Errorf("by %q %s becomes %s, want %s", c.rule, c.userName, got, c.want)
		}
	}
	for _, rule := range []string{"", "  ", "a b c", "(", "*", "^(.*)@x$ $1_x", "a $1", "^(.*)$ ${name}"} {
		if _, err := ledger.ParseRule(rule); err == nil {
			t.Errorf("the rule %q is taken", rule)
		}
	}
}

func TestNamesAreMadeOfWhatPeopleAreCalled(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, c := range []struct{ userName, want string }{
		{"Jürgen.Groß@corp.example", "juergen.gross"},
		{"Łukasz Żółć", "lukasz_zolc"},
		{`CORP\sub\Ada`, "ada"},
		{"o'brien", "o_brien"},
		{"1st", "_1st"},
		{"-dash", "_-dash"},
		{"dots...", "dots"},
		{"@corp.example", "_"},
		{strings.Repeat("ü", 20), strings.Repeat("ue", 16)},
		{strings.Repeat("a", 31) + "ß", strings.Repeat("a", 31) + "s"},
	} {
		if got := h.account(h.newUser(c.userName)).Name; got != c.want {
			t.Errorf("%q became %q, want %q", c.userName, got, c.want)
		}
	}
}

func TestNamesThatFallTogetherAreToldApartAndToldOf(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("makers")
	for _, c := range []struct{ displayName, want string }{
		{"R&D", "r_d"}, {"R D", "r_d-2"}, {"R/D", "r_d-3"}, {"Makers", "makers-2"}, {"Mäkers", "maekers"},
	} {
		before := strings.Count(h.log.String(), "level=WARN")
		if got := h.group(h.newGroup(c.displayName)).Name; got != c.want {
			t.Errorf("%s is called %s, want %s", c.displayName, got, c.want)
		}
		warned := strings.Count(h.log.String(), "level=WARN") > before
		if warned != strings.Contains(c.want, "-") {
			t.Errorf("%s is called %s; a warning in the log: %v", c.displayName, c.want, warned)
		}
	}
	if a := h.account(h.newUser("R D@corp.example")); a.Name != "r_d-4" {
		t.Errorf("account %+v", a)
	}
	h.healthy()
}

func TestAFormerNameWorksForAWhile(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.AliasTime = 30 * day })
	id := h.newUser("ada")
	before := h.account(id)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"countess"}`)).ok(200)
	a := h.account(id)
	if a.Name != "countess" || !slices.Equal(a.Aliases, []string{"ada"}) || a.UID != before.UID || a.GID != before.GID || a.Home != before.Home {
		t.Errorf("%+v became %+v", before, a)
	}
	if u := h.record("ada"); u.ID != id || len(u.Aliases) != 1 || !u.Aliases[0].Until.Equal(clock.now().Add(30*day)) {
		t.Errorf("record %+v", u)
	}
	clock.pass(30*day - time.Millisecond)
	h.changesNothing("a look before the time", h.tend)
	clock.pass(time.Millisecond)
	h.tend()
	if a := h.account(id); len(a.Aliases) != 0 || a.Name != "countess" {
		t.Errorf("account %+v", a)
	}
	h.changesNothing("a second look", h.tend)
	if got := h.account(h.newUser("ada")).Name; got != "ada-2" {
		t.Errorf("the former name was given to another as %s", got)
	}
	h.do("POST", "/Users", person("eve", `"posixUserName":"ada"`, ``)).fails(409, "uniqueness").says(id)
	h.healthy()
}

func TestRenamingBackAndForthMovesTheAlias(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.AliasTime = 30 * day })
	id := h.newUser("ada")
	rename := func(name string, aliases ...string) {
		t.Helper()
		clock.pass(day)
		h.do("PUT", "/Users/"+id, fmt.Sprintf(`{"userName":%q}`, name)).ok(200)
		if a := h.account(id); a.Name != name || !slices.Equal(a.Aliases, aliases) {
			t.Errorf("renamed to %s, the account is %+v, want the aliases %v", name, a, aliases)
		}
		h.healthy()
	}
	rename("countess", "ada")
	rename("ada", "countess")
	rename("countess", "ada")
	rename("a1", "ada", "countess")
	rename("a2", "ada", "countess", "a1")
	rename("a3", "ada", "countess", "a1", "a2")
	rename("a4", "ada", "countess", "a1", "a2", "a3")
	rename("a5", "countess", "a1", "a2", "a3", "a4")
	rename("a1", "countess", "a2", "a3", "a4", "a5")
	// They end one after the other.
	for len(h.account(id).Aliases) > 0 {
		n := len(h.account(id).Aliases)
		clock.pass(day)
		h.tend()
		if after := len(h.account(id).Aliases); after < n-1 {
			t.Errorf("%d aliases became %d in a day", n, after)
		}
		if clock.now().Year() > 2026 {
			t.Fatal("the aliases do not end")
		}
	}
	if got := h.account(h.newUser("a2")).Name; got != "a2-2" {
		t.Errorf("the former name went to another as %s", got)
	}
}

func TestWithoutATimeForThemThereAreNoAliases(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	h.do("PUT", "/Users/"+id, `{"userName":"countess"}`).ok(200)
	if a := h.account(id); a.Name != "countess" || len(a.Aliases) != 0 {
		t.Errorf("account %+v", a)
	}
}

func TestAnAliasOfWhoLeftStaysUntilItsTime(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.AliasTime, c.Ledger.Retention = 30*day, 365*day })
	id := h.newUser("ada")
	h.do("PUT", "/Users/"+id, `{"userName":"countess"}`).ok(200)
	h.do("DELETE", "/Users/"+id, "").ok(204)
	if a := h.account(id); !slices.Equal(a.Aliases, []string{"ada"}) || !a.Locked {
		t.Errorf("account %+v", a)
	}
	clock.pass(31 * day)
	h.tend()
	if a := h.account(id); len(a.Aliases) != 0 || !a.Locked {
		t.Errorf("account %+v", a)
	}
	clock.pass(335 * day)
	h.tend()
	if u := h.record("countess"); u.State != scimserver.StateBuried {
		t.Errorf("record %+v", u)
	}
}

func TestNobodyOfTheSystemEntersByAnyDoor(t *testing.T) {
	t.Parallel()
	toRoot, err := ledger.ParseRule(`^innocent$ root`)
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, func(c *scimserver.Config) { c.Ledger.Rewrite, c.Ledger.AliasTime = toRoot, day })
	id := h.newUser("ada")
	imported, err := h.steward().ImportAccounts(t.Context(), []ledger.Import{{Name: "bob", UID: 4000}}, nil)
	if err != nil || len(imported) != 1 {
		t.Fatal(err)
	}
	h.changesNothing("root and its kin", func() {
		for _, name := range []string{"root", "Root@corp.example", `CORP\ROOT`, "sshd", "docker", "systemd-network", "www-data", "sudo", "nobody", "sshd_", "pwb"} {
			h.do("POST", "/Users", fmt.Sprintf(`{"userName":%q}`, name)).fails(400, "invalidValue").says("posixUserName")
			h.do("PUT", "/Users/"+id, fmt.Sprintf(`{"userName":%q}`, name)).fails(400, "invalidValue")
			h.do("PATCH", "/Users/"+id, patch(fmt.Sprintf(`{"op":"replace","path":"userName","value":%q}`, name))).fails(400, "invalidValue")
		}
		h.do("POST", "/Users", `{"userName":"innocent"}`).fails(400, "invalidValue")
		h.do("POST", "/Users", person("eve", `"posixUserName":"root"`, ``)).fails(400, "invalidValue")
		h.do("POST", "/Users", person("eve", `"posixUserId":0`, ``)).fails(400, "invalidValue")
		h.do("PUT", "/Users/"+id, person("ada", `"posixUserName":"root"`, ``)).fails(400, "invalidValue")
		h.do("POST", "/Users", person("bob", `"posixUserName":"root"`, ``)).fails(400, "invalidValue") // not by way of the imported one
		for _, im := range []ledger.Import{
			{Name: "root", UID: 1500}, {Name: "sshd"}, {Name: "eve", UID: 999}, {Name: "eve", UID: 1500, GID: 27}, {Name: "eve", UID: 65534},
			{Name: "eve", Home: "/root"}, {Name: "Eve"}, {Name: ""}, {Name: "eve", Shell: "sh"}, {Name: "eve", UID: 1 << 31},
		} {
			if _, err := h.steward().ImportAccounts(t.Context(), []ledger.Import{im}, nil); err == nil {
				t.Errorf("%+v was imported", im)
			}
		}
		for _, g := range []scimserver.ImportedGroup{{Name: "eve", GID: 27}, {Name: "Eve"}, {Name: "eve", GID: 65534}, {Name: ""}} {
			if _, err := h.steward().ImportGroups(t.Context(), []scimserver.ImportedGroup{g}, nil); err == nil {
				t.Errorf("%+v was imported", g)
			}
		}
		for _, uid := range []uint32{1, 27, 999, 60001, 65534, 65535, 1 << 31, 1<<32 - 1} {
			if _, err := h.steward().Renumber(t.Context(), "ada", uid, 0); err == nil {
				t.Errorf("ada has the uid %d", uid)
			}
			if _, err := h.steward().Renumber(t.Context(), "ada", 1000, uid); err == nil {
				t.Errorf("ada has the gid %d", uid)
			}
		}
	})
	if _, err := ledger.New(ledger.Config{AdminGroup: "sudo"}); err == nil {
		t.Error("sudo is the administrators' group")
	}
}
