package scimserver_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// adopting is a server whose host has people, whom new users take over.
func adopting(t *testing.T, passwd, group string) func(*scimserver.Config) {
	local := hostWith(t, passwd, group)
	return func(c *scimserver.Config) { c.Ledger.Local, c.Ledger.Adopt, c.Ledger.StartUID = local, true, 9000 }
}

func TestAPersonOfTheHostKeepsWhatThereIs(t *testing.T) {
	t.Parallel()
	h := open(t, adopting(t,
		"ada:x:1500:1500:Ada:/srv/ada:/bin/zsh\n"+
			"bob:x:1501:1601:Bob:/home/bob:/bin/bash\n"+
			"carol:x:1502:1700:Carol:/home/carol:/bin/bash\n"+
			"dan:x:1503:1700:Dan:/home/dan:/bin/bash\n"+
			"eve:x:1504:100:Eve:/home/eve:/bin/bash\n"+
			"frank:x:1505:1505::/home/frank:/bin/bash\n"+
			"grace:x:1506:1800::/home/grace:/bin/bash\n",
		"ada:x:1500:\nbob:x:1601:\nstaff members:x:1700:\nusers:x:100:ada,frank\neng:x:1505:\n",
	))
	for _, c := range []struct {
		userName    string
		uid, gid    uint32
		home, shell string
	}{
		{"Ada@corp.example", 1500, 1500, "/srv/ada", "/bin/zsh"},
		{"bob", 1501, 1601, "/home/bob", "/bin/bash"},
		{"carol", 1502, 1700, "/home/carol", "/bin/bash"},
		{"dan", 1503, 1700, "/home/dan", "/bin/bash"},
		{"eve", 1504, 1504, "/home/eve", "/bin/bash"}, // users(100) is below the floor: a group of its own
		{"frank", 1505, 1505, "/home/frank", "/bin/bash"},
		{"grace", 1506, 1800, "/home/grace", "/bin/bash"}, // the gid has no name on the host
	} {
		a := h.account(h.newUser(c.userName))
		if name := strings.ToLower(strings.TrimSuffix(c.userName, "@corp.example")); a.Name != name || a.UID != c.uid || a.GID != c.gid || a.Home != c.home || a.Shell != c.shell {
			t.Errorf("%s got %+v", c.userName, a)
		}
	}
	f := h.feed()
	var groups []string
	for _, row := range f.rows {
		if row.Group != nil {
			groups = append(groups, fmt.Sprint(row.Group.Name, row.Group.GID))
		}
	}
	slices.Sort(groups)
	if want := []string{"bob1601", "grace1800", "staff_members1700"}; !slices.Equal(groups, want) {
		t.Errorf("groups %v, want %v", groups, want)
	}
	h.healthy()
	// A second user of the name is somebody else.
	if a := h.account(h.newUser("ada@other.example")); a.Name != "ada-2" || a.UID < 9000 {
		t.Errorf("account %+v", a)
	}
}

func TestWhoseGroupIsBelowTheFloorGetsOneOfTheOwnName(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.do("POST", "/Groups", team("Eng", `"posixGroupId":1500`)).ok(201)
	h.again(adopting(t, "ada:x:1500:100::/home/ada:/bin/sh\n", "root:x:0:\nusers:x:100:\n"))
	a := h.account(h.newUser("ada"))
	if g := h.group(a.ID); a.UID != 1500 || a.GID < 9000 || g.Name != "ada" || g.GID != a.GID {
		t.Errorf("account %+v with group %+v", a, g)
	}
	h.healthy()
}

func TestWhoIsNoPersonIsNotAdopted(t *testing.T) {
	t.Parallel()
	group := "sudo:x:27:admin1,both\ndocker:x:999:admin2\nwheel:x:1900:\neng:x:1901:both\nlxd:x:110: spaced ,x\n"
	for sentence, line := range map[string]string{
		"one below the floor":              "ada:x:999:1500::/home/ada:/bin/sh",
		"one among systemd's":              "ada:x:60001:1500::/home/ada:/bin/sh",
		"nobody":                           "ada:x:65534:1500::/home/ada:/bin/sh",
		"root by another name":             "ada:x:0:0::/root:/bin/sh",
		"one who cannot log in":            "ada:x:1500:1500::/home/ada:/usr/sbin/nologin",
		"one whom false keeps out":         "ada:x:1500:1500::/home/ada:/bin/false",
		"one without a shell":              "ada:x:1500:1500::/home/ada:",
		"one without a home":               "ada:x:1500:1500:::/bin/sh",
		"one who lives in the system":      "ada:x:1500:1500::/usr/lib/ada:/bin/sh",
		"one without a uid":                "ada:x::1500::/home/ada:/bin/sh",
		"one without a gid":                "ada:x:1500:::/home/ada:/bin/sh",
		"one with too great a uid":         "ada:x:4294967296:1500::/home/ada:/bin/sh",
		"one whose group is wheel":         "ada:x:1500:1900::/home/ada:/bin/sh",
		"one whose name is capital":        "Ada:x:1500:1500::/home/ada:/bin/sh",
		"one who is commented out":         "#ada:x:1500:1500::/home/ada:/bin/sh",
		"the account that the server uses": fmt.Sprintf("ada:x:%d:1500::/home/ada:/bin/sh", max(os.Geteuid(), 0)),
	} {
		h := open(t, adopting(t, line+"\n", group))
		if a := h.account(h.newUser("ada")); a.UID < 9000 || a.GID < 9000 || a.Home != "/home/"+a.Name {
			t.Errorf("%s was adopted: %+v", sentence, a)
		}
	}
	for _, name := range []string{"admin1", "admin2", "both", "spaced"} {
		h := open(t, adopting(t, name+":x:1500:1500::/home/x:/bin/sh\n", group))
		if a := h.account(h.newUser(name)); a.UID < 9000 || a.Name != name+"-2" {
			t.Errorf("%s was adopted: %+v", name, a)
		}
	}
}

func TestWithoutAdoptionTheHostsPeopleStayTheHosts(t *testing.T) {
	t.Parallel()
	h := open(t, adopting(t, "ada:x:1500:1500::/home/ada:/bin/sh\n", ""), func(c *scimserver.Config) { c.Ledger.Adopt = false })
	if a := h.account(h.newUser("ada")); a.Name != "ada-2" || a.UID != 9000 {
		t.Errorf("account %+v", a)
	}
}

func TestOfDoubledLinesTheFirstIsAdopted(t *testing.T) {
	t.Parallel()
	h := open(t, adopting(t, "ada:x:1500:1500::/home/ada:/bin/sh\nada:x:1501:1501::/home/other:/bin/sh\n", ""))
	if a := h.account(h.newUser("ada")); a.UID != 1500 || a.Home != "/home/ada" {
		t.Errorf("account %+v", a)
	}
}

func TestTheProvidersWordCountsAlsoOfWhoIsAdopted(t *testing.T) {
	t.Parallel()
	host := adopting(t, "ada:x:1500:1500::/home/ada:/bin/sh\nbob:x:1501:1600::/home/bob:/bin/sh\n", "eng:x:1600:\n")
	h := open(t, host)
	id := h.admit("ada", `"posixUserId":1500,"homeDirectory":"/srv/ada"`, `"posixGroupId":1500,"loginShell":"/bin/zsh"`)
	if a := h.account(id); a.Name != "ada" || a.UID != 1500 || a.GID != 1500 || a.Home != "/srv/ada" || a.Shell != "/bin/zsh" {
		t.Errorf("account %+v", a)
	}
	if a := h.account(h.admit("robert", `"posixUserName":"bob"`, `"posixGroupId":1600`)); a.Name != "bob" || a.UID != 1501 || a.GID != 1600 || a.Home != "/home/bob" {
		t.Errorf("account %+v", a)
	}
	h.healthy()

	// Another number is another person, and the name is the host's.
	h = open(t, host)
	if a := h.account(h.admit("bob", ``, `"posixGroupId":4003`)); a.Name != "bob-2" || a.UID < 9000 || a.GID != 4003 {
		t.Errorf("account %+v", a)
	}
	if a := h.account(h.admit("ada", `"posixUserId":4000`, ``)); a.Name != "ada-2" || a.UID != 4000 || a.Home != "/home/ada-2" {
		t.Errorf("account %+v", a)
	}
	h.do("POST", "/Users", person("eve", `"posixUserName":"ada","posixUserId":4001`, ``)).fails(409, "uniqueness")
	group := h.do("POST", "/Groups", team("Engineers", `"posixGroupId":4002`)).ok(201).id()
	h.do("DELETE", "/Groups/"+group, "").ok(204)
	h.changesNothing("a gid that was another's", func() {
		h.do("POST", "/Users", person("bob@other.example", ``, `"posixGroupId":4002`)).fails(409, "uniqueness").says("posixGroupId", group)
	})
}

func TestWhatTheLedgerGaveIsNotAdoptedAway(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.admit("first", `"posixUserId":1500`, `"posixGroupId":1600`)
	h.again(adopting(t, "ada:x:1500:1500::/home/ada:/bin/sh\nbob:x:1501:1600::/home/bob:/bin/sh\n", "eng:x:1600:\n"))
	if a := h.account(h.newUser("ada")); a.Name != "ada-2" || a.UID != 9000 {
		t.Errorf("account %+v", a)
	}
	if a := h.account(h.newUser("bob")); a.UID != 1501 || a.GID != 1501 {
		t.Errorf("whose gid was given away is %+v", a)
	}
	h.healthy()
}

func TestAnImportedAccountIsTakenOverByTheUserOfItsName(t *testing.T) {
	t.Parallel()
	h := open(t)
	op := h.steward()
	imported, err := op.ImportAccounts(t.Context(), []ledger.Import{
		{Name: "ada", UID: 4000, GID: 4000, Home: "/srv/ada", Shell: "/bin/zsh", Gecos: "Ada"},
		{Name: "bob", UID: 4001, GID: 5000, Group: "eng"},
		{Name: "carol", UID: 4002, GID: 5000, Group: "eng"},
		{Name: "dan"},
		{Name: "frank", UID: 4003, GID: 4003, Group: "other"},
	}, nil)
	if err != nil || len(imported) != 5 {
		t.Fatalf("%+v, %v", imported, err)
	}
	ada, bob := imported[0], imported[1]
	if a := h.account(ada.ID); a.Name != "ada" || a.UID != 4000 || a.Home != "/srv/ada" || a.Shell != "/bin/zsh" || a.Gecos != "Ada" || a.Locked || h.record("ada").State != scimserver.StateImported {
		t.Errorf("account %+v", a)
	}
	if eng := h.group("gid-5000"); eng.Name != "eng" || eng.GID != 5000 || imported[2].GID != 5000 {
		t.Errorf("group %+v", eng)
	}
	h.healthy()
	set, err := op.ImportHashes(t.Context(), []scimserver.Hash{{Name: "ada", Hash: "$6$salt$hash"}, {Name: "bob", Hash: "$6$salt$hash", Locked: true}, {Name: "stranger", Hash: "x"}}, nil)
	if err != nil || !slices.Equal(set, []string{"ada", "bob"}) || !h.account(bob.ID).Locked || h.record("bob").State != scimserver.StateHeld {
		t.Errorf("%v, %v, %+v", set, err, h.record("bob"))
	}
	h.changesNothing("the same import again", func() {
		again, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "ada", UID: 4000}, {Name: "bob"}}, nil)
		if err != nil || len(again) != 0 {
			t.Errorf("%v, %v", again, err)
		}
		set, err := op.ImportHashes(t.Context(), []scimserver.Hash{{Name: "ada", Hash: "$6$salt$hash"}, {Name: "bob", Hash: "$6$salt$hash"}}, nil)
		if err != nil || len(set) != 0 {
			t.Errorf("%v, %v", set, err)
		}
		if _, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "ada", UID: 4009}}, nil); err == nil || !strings.Contains(err.Error(), "import ada") {
			t.Errorf("another uid: %v", err)
		}
		h.do("POST", "/Users", person("ada@corp.example", `"posixUserId":4009`, ``)).fails(409, "uniqueness").says("posixUserId", "4000")
		h.do("POST", "/Users", person("ada@corp.example", ``, `"posixGroupId":4009`)).fails(409, "uniqueness").says("posixGroupId", "4000")
	})
	a := h.do("POST", "/Users", person("Ada@corp.example", `"posixUserId":4000`, ``)).ok(201)
	if got := h.account(ada.ID); a.id() != ada.ID || got.UID != 4000 || got.Home != "/srv/ada" || got.Shell != "/bin/zsh" || got.Hash != "$6$salt$hash" || h.record("ada").State != scimserver.StateActive {
		t.Errorf("account %+v of %s", got, a.id())
	}
	if id := h.newUser("bob"); id != bob.ID || !h.account(id).Locked || h.account(id).GID != 5000 {
		t.Errorf("bob is %s, %+v", id, h.account(bob.ID))
	}
	if id := h.newUser("ada@other.example"); id == ada.ID {
		t.Error("a second user got the account")
	}
	// The provider's users keep their hashes.
	if set, err := op.ImportHashes(t.Context(), []scimserver.Hash{{Name: "ada", Hash: "$6$other$hash", Locked: true}}, nil); err != nil || len(set) != 0 || h.account(ada.ID).Locked {
		t.Errorf("%v, %v, %+v", set, err, h.account(ada.ID))
	}
	h.healthy()
}

func TestAnImportOfHashesUnlocksNobodyWhomAnAdministratorLocked(t *testing.T) {
	t.Parallel()
	h := open(t)
	op := h.steward()
	if _, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "ada"}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := op.Lock(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	if _, err := op.ImportHashes(t.Context(), []scimserver.Hash{{Name: "ada", Hash: "$6$salt$hash"}}, nil); err != nil {
		t.Fatal(err)
	}
	if u := h.record("ada"); !u.Locked || !u.Password {
		t.Errorf("record %+v", u)
	}
}

func TestAnImportedGroupIsTakenOverWithoutItsMembers(t *testing.T) {
	t.Parallel()
	h := open(t)
	op := h.steward()
	accounts, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "ada"}, {Name: "bob", GID: 5000, Group: "shared"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := op.ImportGroups(t.Context(), []scimserver.ImportedGroup{{"eng", 6000, []string{"ada", "bob", "stranger"}}, {"ops", 0, nil}, {"both", 6001, []string{"ada"}}}, nil)
	if err != nil || len(groups) != 3 || groups[1].GID == 0 {
		t.Fatalf("%+v, %v", groups, err)
	}
	if again, err := op.ImportGroups(t.Context(), []scimserver.ImportedGroup{{"eng", 6000, nil}, {"ops", 0, nil}}, nil); err != nil || len(again) != 0 {
		t.Errorf("%v, %v", again, err)
	}
	eng := groups[0].ID
	if g, err := op.Group(t.Context(), "eng"); err != nil || !slices.Equal(g.Members, []string{"ada", "bob"}) || g.State != scimserver.StateImported {
		t.Errorf("%+v, %v", g, err)
	}
	if u := h.record("ada"); !slices.Equal(u.Groups, []string{"both", "eng"}) {
		t.Errorf("record %+v", u)
	}
	ada := h.newUser("ada") // taking over the account keeps its memberships
	if ada != accounts[0].ID || !h.feed().member(eng, ada) {
		t.Errorf("ada is %s", ada)
	}
	h.do("POST", "/Groups", team("Eng", `"posixGroupId":6009`)).fails(409, "uniqueness").says("posixGroupId", "6000")
	id := h.do("POST", "/Groups", team("Eng", ``, ada)).ok(201).id()
	if f := h.feed(); id != eng || f.group(t, eng).GID != 6000 || !f.member(eng, ada) || f.member(eng, accounts[1].ID) {
		t.Errorf("the group is %s: %+v", id, f.rows)
	}
	h.wantMembers(eng, ada)
	// A primary group that came along with an account is one of them.
	if g := h.group(h.newGroup("Shared")); g.ID != "gid-5000" || g.GID != 5000 {
		t.Errorf("group %+v", g)
	}
	h.healthy()
}

func TestWhoLeavesLeavesTheImportedGroupsToo(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = day })
	op := h.steward()
	if _, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "ada"}, {Name: "bob"}}, nil); err != nil {
		t.Fatal(err)
	}
	groups, err := op.ImportGroups(t.Context(), []scimserver.ImportedGroup{{"eng", 0, []string{"ada", "bob"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ada := h.newUser("ada")
	h.do("DELETE", "/Users/"+ada, "").ok(204)
	if _, err := op.Delete(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	for key, row := range h.feed().rows {
		if row.Member != nil {
			t.Errorf("%s is left", key)
		}
	}
	clock.pass(2 * day)
	h.tend()
	h.healthy()
	if g, err := op.Group(t.Context(), groups[0].Name); err != nil || g.Count != 0 {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestImportsTakeWhatTheHostHasUnderTheSameNameAndNothingElse(t *testing.T) {
	t.Parallel()
	h := open(t, onHost(t, "ada:x:4000:4001::/home/ada:/bin/sh\nbob:x:4002:4003::/home/bob:/bin/sh\n", "ada:x:4001:\neng:x:4003:\n"))
	h.report("node-1", `{"ids":[4000,4001],"names":["ada"]}`)
	op := h.steward()
	for _, im := range []ledger.Import{{Name: "ada", UID: 4002}, {Name: "carol", UID: 4000}, {Name: "ada", UID: 4000, GID: 4003}, {Name: "ada", UID: 4000, GID: 4003, Group: "ada"}} {
		if got, err := op.ImportAccounts(t.Context(), []ledger.Import{im}, nil); err == nil {
			t.Errorf("%+v became %+v", im, got)
		}
	}
	got, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "ada", UID: 4000, GID: 4001, Group: "ada"}, {Name: "bob", UID: 4002, GID: 4003, Group: "eng"}}, nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].UID != 4000 || got[0].GID != 4001 || h.group(got[0].ID).Name != "ada" || got[1].GID != 4003 || h.group("gid-4003").Name != "eng" {
		t.Errorf("%+v, %v", got, err)
	}
	if roster.CheckName(got[0].Name) != nil {
		t.Errorf("name %q", got[0].Name)
	}
	h.healthy()
}
