package scimserver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

func TestWhatTheProviderChoosesIsHonoured(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.AdminGroup = "pwb-admins" })
	body := person("Ada@corp.example",
		`"posixUserId":"4711","posixUserName":"countess","homeDirectory":"/srv/ada","admin":"True"`,
		`"posixGroupId":4712.0,"loginShell":"/bin/zsh","endDate":"2999-01-01T00:00:00Z"`)
	a := h.do("POST", "/Users", body).ok(201)
	id := a.id()
	got := h.account(id)
	if got.UID != 4711 || got.GID != 4712 || got.Name != "countess" || got.Home != "/srv/ada" || got.Shell != "/bin/zsh" || got.Locked || got.Expire == 0 {
		t.Errorf("account %+v", got)
	}
	if g := h.group(id); g.GID != 4712 || g.Name != "countess" {
		t.Errorf("its own group %+v", g)
	}
	if a.get(slashed(scim.WorkbenchURN)+".posixUserId") != float64(4711) || a.get(slashed(scim.WorkbenchURN)+".admin") != true {
		t.Errorf("the answer is %s", a.body)
	}
	if u := h.record("4711"); u.Name != "countess" || !u.Admin || u.UserName != "ada@corp.example" {
		t.Errorf("record %+v", u)
	}
	group := h.do("POST", "/Groups", team("R&D", `"posixGroupId":"5000","posixGroupName":"research"`, id)).ok(201).id()
	if g := h.group(group); g.GID != 5000 || g.Name != "research" {
		t.Errorf("group %+v", g)
	}
	// The numbers that are given go on where they were: the first is the administrators'.
	if a := h.account(h.newUser("bob")); a.UID != 1001 {
		t.Errorf("bob got %+v", a)
	}
}

// slashed is a name with dots as answer.get wants it.
func slashed(name string) string { return strings.ReplaceAll(name, ".", "/") }

func TestNothingAndNullLeaveTheChoiceToTheServer(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i, attrs := range [][2]string{
		{`"posixUserId":null,"posixUserName":null,"homeDirectory":null,"admin":null`, `"posixGroupId":null,"loginShell":null,"endDate":null`},
		{`"posixUserName":"","homeDirectory":""`, `"loginShell":""`},
		{``, ``},
	} {
		name := fmt.Sprint("user", i)
		a := h.account(h.admit(name, attrs[0], attrs[1]))
		if want := uint32(1000 + i); a.UID != want || a.GID != want || a.Name != name || a.Home != "/home/"+name || a.Shell != "/bin/bash" || a.Expire != 0 || a.Locked {
			t.Errorf("account %+v", a)
		}
	}
}

func TestValuesThatCanBeNobodysAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	long := "/" + strings.Repeat("x", 1024)
	var bodies []string
	add := func(workbench, posix string, values ...any) {
		for _, v := range values {
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			fill := func(form string) string {
				if form == "" {
					return ""
				}
				return fmt.Sprintf(form, data)
			}
			bodies = append(bodies, person("ada", fill(workbench), fill(posix)))
		}
	}
	numbers := []any{0, 1, 999, 60001, 65534, 65535, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1000, -1, -1000, 1000.5, "999", "-1", "12.5", "0x3e8", "many", true, []any{1, 2}, map[string]any{"a": 1}}
	add(`"posixUserId":%s`, "", numbers...)
	add("", `"posixGroupId":%s`, numbers...)
	add(`"posixUserName":%s`, "", "root", "sshd", "wheel", "docker", "systemd-x", "Ada", strings.Repeat("x", 33), "a:b", "a b", "a\nb", "-a", "1a", "a.", "ä", "a/b", "a$", "a,b", " ", "..", 7, []any{"a", "b"})
	homes := []any{"/", "/etc", "/root", "/root/x", "/usr/share/x", "/proc/1", "home/ada", "ada", "/home/../etc", "/home/..", "/home//ada", "/home/ada/", "/home/./ada", "/home/a:b", "/home/a\nb", "/home/a\tb", "~", " /home/ada", long, 7}
	add(`"homeDirectory":%s`, "", homes...)
	add("", `"loginShell":%s`, "bash", "bin/bash", "/bin/../bin/bash", "/bin/ba:sh", "/bin/bash\nroot::0:0", "/bin/bash/", long, 7)
	add("", `"endDate":%s`, "tomorrow", "2026-02-30T00:00:00Z", "2026-01-01", 7)
	add(`"admin":%s`, "", "perhaps", 7)
	h.changesNothing("values that cannot be", func() {
		for _, body := range bodies {
			if a := h.do("POST", "/Users", body); a.status != 400 || a.get("scimType") != "invalidValue" {
				t.Errorf("%s: status %d: %s", body, a.status, a.body)
			}
		}
		for _, attrs := range []string{
			`"posixGroupId":999`, `"posixGroupId":65534`, `"posixGroupId":2147483648`, `"posixGroupId":"x"`, `"posixGroupId":-5`,
			`"posixGroupName":"R&D"`, `"posixGroupName":"` + strings.Repeat("x", 33) + `"`, `"posixGroupName":"a:b"`, `"posixGroupName":"a\nb"`,
		} {
			if a := h.do("POST", "/Groups", team("Engineers", attrs)); a.status != 400 || a.get("scimType") != "invalidValue" {
				t.Errorf("%s: status %d: %s", attrs, a.status, a.body)
			}
		}
	})
	h.admit("ada", `"homeDirectory":"/`+strings.Repeat("x", 1023)+`"`, `"posixGroupId":524288`) // as long and as odd as may be
}

func TestValuesThatAreSomebodysAreRefusedWithTheOwner(t *testing.T) {
	t.Parallel()
	h := open(t, onHost(t, "hosted:x:7000:7001::/home/hosted:/bin/sh\n", "hostgroup:x:7002:\n"))
	h.report("node-1", `{"ids":[7100],"names":["nodal"]}`)
	ada := h.admit("ada", `"posixUserId":4000`, `"posixGroupId":4001`)
	group := h.do("POST", "/Groups", team("Engineers", `"posixGroupId":5000,"posixGroupName":"eng"`)).ok(201).id()
	left := h.admit("left", `"posixUserId":6000`, ``)
	h.do("DELETE", "/Users/"+left, "").ok(204)
	h.changesNothing("what is taken", func() {
		for _, c := range []struct{ attrs, field, owner string }{
			{`"posixUserId":4000`, "posixUserId", ada},
			{`"posixUserId":6000`, "posixUserId", left},
			{`"posixUserId":7000`, "posixUserId", "own host"},
			{`"posixUserId":7002`, "posixUserId", "own host"},
			{`"posixUserId":7100`, "posixUserId", "node-1"},
			{`"posixUserName":"ada"`, "posixUserName", ada},
			{`"posixUserName":"left"`, "posixUserName", left},
			{`"posixUserName":"eng"`, "posixUserName", group},
			{`"posixUserName":"hosted"`, "posixUserName", "own host"},
			{`"posixUserName":"nodal"`, "posixUserName", "node-1"},
		} {
			h.do("POST", "/Users", person("eve", c.attrs, ``)).fails(409, "uniqueness").says(c.field, c.owner)
		}
		for _, c := range []struct{ gid, owner string }{
			{"4001", ada}, {"6000", left}, {"7001", "own host"}, {"7002", "own host"}, {"7100", "node-1"},
		} {
			h.do("POST", "/Users", person("eve", ``, `"posixGroupId":`+c.gid)).fails(409, "uniqueness").says("posixGroupId", c.owner)
			h.do("POST", "/Groups", team("Eve", `"posixGroupId":`+c.gid)).fails(409, "uniqueness").says("posixGroupId", c.owner)
		}
		h.do("POST", "/Groups", team("Eve", `"posixGroupId":5000`)).fails(409, "uniqueness").says("posixGroupId", group)
		// A uid cannot share its number with a group that is not its own.
		h.do("POST", "/Users", person("eve", `"posixUserId":5000`, `"posixGroupId":5000`)).fails(409, "uniqueness").says("posixGroupId", group)
		for name, owner := range map[string]string{"ada": ada, "eng": group, "hostgroup": "own host", "nodal": "node-1"} {
			h.do("POST", "/Groups", team("Eve", `"posixGroupName":"`+name+`"`)).fails(409, "uniqueness").says("posixGroupName", owner)
		}
	})
	// An existing group may be the primary one.
	if a := h.account(h.admit("eve", ``, `"posixGroupId":5000`)); a.GID != 5000 || h.feed().rows["g/"+a.ID].Group != nil {
		t.Errorf("account %+v", a)
	}
}

func TestABadRecordOfABulkRequestDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	h := open(t)
	var ops []string
	for i, attrs := range []string{`"posixUserId":5000`, `"posixUserId":999`, `"posixUserId":5000`, `"posixUserName":"root"`, `"homeDirectory":"/etc"`, `"posixUserName":"fine"`} {
		ops = append(ops, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"b%d","data":%s}`, i, person(fmt.Sprint("user", i), attrs, ``)))
	}
	a := h.do("POST", "/Bulk", `{"Operations":[`+strings.Join(ops, ",")+`]}`).ok(200)
	for i, want := range []string{"201", "400", "409", "400", "400", "201"} {
		if got := a.get(fmt.Sprintf("Operations.%d.status", i)); got != want {
			t.Errorf("operation %d: status %v, want %s: %s", i, got, want, a.body)
		}
	}
	if accounts := len(h.feed().rows); accounts != 2 {
		t.Errorf("the feed has %d rows", accounts)
	}
}

func TestNumbersAreNotChangedByTheProvider(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.admit("ada", `"posixUserId":4000,"homeDirectory":"/srv/ada"`, `"posixGroupId":4001,"loginShell":"/bin/zsh"`)
	group := h.do("POST", "/Groups", team("Engineers", `"posixGroupId":5000,"posixGroupName":"eng"`, id)).ok(201).id()
	before := h.account(id)
	h.changesNothing("another number", func() {
		h.do("PUT", "/Users/"+id, person("ada", `"posixUserId":4005`, ``)).fails(400, "mutability").says("posixUserId", "4000", "renumber")
		h.do("PUT", "/Users/"+id, person("ada", ``, `"posixGroupId":4005`)).fails(400, "mutability").says("posixGroupId", "4001", "renumber")
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"title","value":"Dr"}`, `{"op":"replace","path":"`+scim.WorkbenchURN+`:posixUserId","value":"4005"}`)).fails(400, "mutability")
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"`+scim.WorkbenchURN+`:posixUserId","value":999}`)).fails(400, "invalidValue")
		h.do("PUT", "/Groups/"+group, team("Engineers", `"posixGroupId":5005`)).fails(400, "mutability").says("posixGroupId", "5000", "set-gid")
		h.do("PATCH", "/Groups/"+group, patch(`{"op":"replace","path":"`+scim.PosixGroupURN+`:posixGroupId","value":5005}`)).fails(400, "mutability")
	})
	for _, body := range []string{
		person("ada", `"posixUserId":4000`, `"posixGroupId":4001`),
		person("ada", `"posixUserId":"4000"`, ``),
		person("ada", ``, ``),
		`{"userName":"ada","title":"Dr"}`,
		person("ada", `"posixUserId":4000`, ``),
	} {
		h.do("PUT", "/Users/"+id, body).ok(200)
		if got := h.account(id); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("%s: %+v became %+v", body, before, got)
		}
	}
	for _, body := range []string{team("Engineers", `"posixGroupId":5000`, id), team("Engineers", ``, id), `{"displayName":"Engineers"}`} {
		h.do("PUT", "/Groups/"+group, body).ok(200)
		if g := h.group(group); g.GID != 5000 || g.Name != "eng" {
			t.Errorf("%s: the group became %+v", body, g)
		}
	}
}

func TestANameThatWasChosenStaysWhenItIsNotSpokenOf(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.admit("ada", `"posixUserName":"countess"`, ``)
	h.do("PUT", "/Users/"+id, `{"userName":"ada","title":"Dr"}`).ok(200)
	if got := h.account(id).Name; got != "countess" {
		t.Errorf("the name became %s", got)
	}
	h.do("PUT", "/Users/"+id, `{"userName":"lovelace"}`).ok(200)
	if got := h.account(id).Name; got != "lovelace" {
		t.Errorf("after a rename the name is %s", got)
	}
	h.do("PUT", "/Users/"+id, person("lovelace", `"posixUserName":"al"`, ``)).ok(200)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"byron"}`)).ok(200)
	if got := h.account(id).Name; got != "al" {
		t.Errorf("the chosen name gave way to %s", got)
	}
	group := h.do("POST", "/Groups", team("Engineers", `"posixGroupName":"eng"`)).ok(201).id()
	h.do("PATCH", "/Groups/"+group, patch(`{"op":"replace","path":"displayName","value":"Makers"}`)).ok(204)
	if got := h.group(group).Name; got != "eng" {
		t.Errorf("the chosen name of the group gave way to %s", got)
	}
	h.do("PUT", "/Groups/"+group, `{"displayName":"Makers"}`).ok(200)
	h.do("PUT", "/Groups/"+group, `{"displayName":"Builders"}`).ok(200)
	if got := h.group(group).Name; got != "builders" {
		t.Errorf("after a rename the group is %s", got)
	}
}

func TestHomesAndShellsFollowTheProvider(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+scim.WorkbenchURN+`:homeDirectory","value":"/srv/ada"}`, `{"op":"add","path":"`+scim.PosixUserURN+`:loginShell","value":"/bin/zsh"}`)).ok(200)
	if a := h.account(id); a.Home != "/srv/ada" || a.Shell != "/bin/zsh" {
		t.Errorf("account %+v", a)
	}
	h.do("PUT", "/Users/"+id, `{"userName":"ada"}`).ok(200)
	if a := h.account(id); a.Home != "/srv/ada" || a.Shell != "/bin/zsh" {
		t.Errorf("account %+v", a)
	}
	h.changesNothing("a home that cannot be", func() {
		h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+scim.WorkbenchURN+`:homeDirectory","value":"/etc/ada"}`)).fails(400, "invalidValue").says("homeDirectory")
	})
}

func TestLockingGoesThroughWithAValueThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, attrs := range [][2]string{
		{`"posixUserId":4005`, ``}, {`"posixUserId":999`, ``}, {`"posixUserName":"root"`, ``}, {`"posixUserName":"bob"`, ``},
		{`"homeDirectory":"/etc"`, ``}, {``, `"posixGroupId":4005`}, {``, `"posixGroupId":1`}, {``, `"loginShell":"sh"`},
	} {
		h := open(t)
		h.newUser("bob")
		id := h.admit("ada", `"posixUserId":4000`, ``)
		before := h.account(id)
		h.do("PUT", "/Users/"+id, person("ada", attrs[0], attrs[1], `"active":false,`)).ok(200)
		locked := h.account(id)
		if !locked.Locked || locked.UID != before.UID || locked.GID != before.GID || locked.Name != before.Name || locked.Home != before.Home || locked.Shell != before.Shell {
			t.Errorf("%v: %+v became %+v", attrs, before, locked)
		}
		// What was never honoured does not keep the user from coming back.
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
		if got := h.account(id); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("%v: %+v became %+v", attrs, before, got)
		}
	}
}

func TestWhatAnOlderVersionStoredAndDidNotHonourStopsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ workbench, posix string }{
		{`"posixUserId":5`, ``}, {`"posixUserId":-7`, ``}, {`"posixUserId":4294967296`, ``}, {`"posixUserId":5000`, ``},
		{`"posixUserName":"Ada Lovelace"`, ``}, {`"posixUserName":"root"`, ``}, {`"homeDirectory":"C:\\Users"`, ``},
		{``, `"posixGroupId":5`}, {``, `"loginShell":"cmd.exe"`},
	} {
		h := open(t)
		id := h.newUser("ada")
		before := h.account(id)
		h.raw(`UPDATE resources SET doc = ? WHERE id = ?`, strings.Replace(person("ada", c.workbench, c.posix), `,"`+scim.PosixUserURN+`":{}`, "", 1), id)
		h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"Dr"}`)).ok(200)
		h.do("PUT", "/Users/"+id, person("ada", c.workbench, c.posix, `"title":"Prof",`)).ok(200)
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
		if got := h.account(id); fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("%v: %+v became %+v", c, before, got)
		}
		h.do("PUT", "/Users/"+id, person("ada", `"posixUserId":6`, ``)).fails(400, "invalidValue")
	}
	for _, attrs := range []string{`"posixGroupId":5`, `"posixGroupId":5000`, `"posixGroupName":"R&D"`} {
		h := open(t)
		ada, id := h.newUser("ada"), h.newGroup("Engineers")
		before := h.group(id)
		h.raw(`UPDATE resources SET doc = ? WHERE id = ?`, fmt.Sprintf(`{"displayName":"Engineers",%q:{%s}}`, scim.PosixGroupURN, attrs), id)
		h.do("PATCH", "/Groups/"+id, patch(`{"op":"add","path":"members","value":`+values(ada)+`}`)).ok(204)
		h.wantMembers(id, ada)
		if got := h.group(id); got != before {
			t.Errorf("%s: %+v became %+v", attrs, before, got)
		}
	}
}

func TestAUidThatIsAGroupsNumberHasAGroupOfItsOwnBesideIt(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.AliasTime = day })
	h.do("POST", "/Groups", team("Engineers", `"posixGroupId":5000`)).ok(201)
	id := h.admit("ada", `"posixUserId":5000`, ``)
	a, g := h.account(id), h.group(id)
	if a.UID != 5000 || a.GID == 5000 || g.GID != a.GID || g.Name != "ada" {
		t.Errorf("account %+v with group %+v", a, g)
	}
	h.do("PUT", "/Users/"+id, `{"userName":"countess"}`).ok(200)
	if g := h.group(id); g.Name != "countess" || g.GID != a.GID {
		t.Errorf("after a rename the group is %+v", g)
	}
	if err := h.steward().Groups(t.Context(), func(g scimserver.GroupRecord) error {
		if g.ID == id {
			t.Errorf("an account's own group is listed: %+v", g)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	h.healthy()
}

func TestAdminsAreMembersOfAGroup(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.AdminGroup = "pwb-admins" })
	ada, bob := h.admit("ada", `"admin":true`, ``), h.admit("bob", `"admin":"false"`, ``)
	f := h.feed()
	if g := f.group(t, ledger.AdminGroupID); g.Name != "pwb-admins" || !f.member(g.ID, ada) || f.member(g.ID, bob) {
		t.Errorf("group %+v", g)
	}
	admin := slashed(scim.WorkbenchURN) + ".admin"
	for i, step := range []struct {
		method, body string
		admin        bool
		shown        any
	}{
		{"PUT", `{"userName":"ada","title":"Administrator"}`, true, true},
		{"PUT", person("ada", `"homeDirectory":"/srv/ada"`, ``), true, true},
		{"PUT", person("ada", `"admin":false`, ``), false, false},
		{"PUT", `{"userName":"ada"}`, false, false},
		{"PATCH", patch(`{"op":"replace","path":"` + scim.WorkbenchURN + `:admin","value":"True"}`), true, true},
		{"PATCH", patch(`{"op":"replace","path":"title","value":"administrator"}`), true, true},
		{"PATCH", patch(`{"op":"remove","path":"` + scim.WorkbenchURN + `:admin"}`), false, nil},
		{"PATCH", patch(`{"op":"add","value":{"` + scim.WorkbenchURN + `:admin":true}}`), true, true},
		{"PUT", person("ada", `"admin":null`, ``), false, nil},
		{"PUT", `{"userName":"ada","` + strings.ToUpper(scim.WorkbenchURN) + `:Admin":true}`, true, true},
		{"PUT", person("ada", ``, ``, `"active":false,`), true, true},
	} {
		a := h.do(step.method, "/Users/"+ada, step.body).ok(200)
		if got := h.feed().member(ledger.AdminGroupID, ada); got != step.admin || a.get(admin) != step.shown || h.record("ada").Admin != step.admin {
			t.Errorf("step %d, %s %s: a member %v, shown as %v", i+1, step.method, step.body, got, a.get(admin))
		}
	}
	h.do("DELETE", "/Users/"+ada, "").ok(204)
	if h.feed().member(ledger.AdminGroupID, ada) {
		t.Error("who has left is still an administrator")
	}
	// The group's name is nobody else's, and no provider's.
	if g := h.group(h.newGroup("pwb-admins")); g.Name != "pwb-admins-2" {
		t.Errorf("group %+v", g)
	}
	h.do("POST", "/Users", person("eve", `"posixUserName":"pwb-admins"`, ``)).fails(409, "uniqueness")
	h.healthy()
}
