package scimserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func TestGroupsHaveARangeOfTheirOwnWhenItIsSet(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.StartUID, c.Ledger.StartGID = 2000, 5000 })
	for i := range 3 {
		if a := h.account(h.newUser(fmt.Sprint("user", i))); a.UID != uint32(2000+i) || a.GID != a.UID {
			t.Errorf("account %+v", a)
		}
		if g := h.group(h.newGroup(fmt.Sprint("group", i))); g.GID != uint32(5000+i) {
			t.Errorf("group %+v", g)
		}
	}
}

func TestRangesThatMeetGiveNoNumberTwice(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.StartUID, c.Ledger.StartGID = 2000, 2002 })
	seen := map[uint32]bool{}
	for i := range 4 {
		for _, n := range []uint32{h.account(h.newUser(fmt.Sprint("user", i))).UID, h.group(h.newGroup(fmt.Sprint("group", i))).GID} {
			if seen[n] {
				t.Errorf("%d was given twice", n)
			}
			seen[n] = true
		}
	}
}

func TestARangeThatIsUsedUpIsToldWithTheKeyToRaise(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) {
		c.Ledger.StartUID, c.Ledger.EndUID, c.Ledger.StartGID, c.Ledger.EndGID = 2000, 2001, 5000, 5000
	})
	h.newUser("ada")
	h.newUser("bob")
	h.newGroup("Engineers")
	h.changesNothing("what found no number", func() {
		h.do("POST", "/Users", `{"userName":"eve"}`).fails(500, "").says("no uid", "2000 to 2001", "user-provisioning-end-uid")
		h.do("POST", "/Groups", `{"displayName":"Makers"}`).fails(500, "").says("no gid", "5000 to 5000", "group-provisioning-end-gid")
		// The uid's number is a group's, so that a gid is needed beside it.
		h.do("POST", "/Users", person("eve", `"posixUserId":5000`, ``)).fails(500, "").says("group-provisioning-end-gid")
		if _, err := h.steward().AddUser(t.Context(), map[string]any{"userName": "eve"}); err == nil || !strings.Contains(err.Error(), "user-provisioning-end-uid") {
			t.Errorf("the administrator is told %v", err)
		}
	})
	h.again(func(c *scimserver.Config) {
		c.Ledger.StartUID, c.Ledger.EndUID, c.Ledger.StartGID, c.Ledger.EndGID = 2000, 2002, 5000, 5001
	})
	if got := h.account(h.newUser("eve")).UID; got != 2002 {
		t.Errorf("with a greater range the uid is %d", got)
	}
	if got := h.group(h.newGroup("Makers")).GID; got != 5001 {
		t.Errorf("with a greater range the gid is %d", got)
	}
}

func TestExcludedRangesAreJumped(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) {
		c.Ledger.StartUID = 4999
		c.Ledger.Excluded = []roster.IDRange{{First: 5000, Last: 5999}, {First: 5500, Last: 6001}, {First: 6003, Last: 6003}}
	})
	for i, want := range []uint32{4999, 6002, 6004} {
		if got := h.account(h.newUser(fmt.Sprint("user", i))).UID; got != want {
			t.Errorf("number %d is %d, want %d", i+1, got, want)
		}
	}
}

func TestAnotherStartCountsFromThereAndMeetsNobody(t *testing.T) {
	t.Parallel()
	h := open(t, startAt(3000))
	h.newUser("one")
	h.newUser("two")
	for i, step := range []struct{ start, want uint32 }{
		{2999, 2999}, {2999, 3002}, {10000, 10000}, {10000, 10001}, {3000, 3003}, {2000, 2000}, {10000, 10002},
	} {
		h.again(startAt(step.start))
		if got := h.account(h.newUser(fmt.Sprint("user", i))).UID; got != step.want {
			t.Errorf("step %d: from %d on the next is %d, want %d", i+1, step.start, got, step.want)
		}
	}
}

func TestNumbersAndNamesOfNodesAreNeverGiven(t *testing.T) {
	t.Parallel()
	h := open(t)
	if a := h.report("node-1", `{"version":"1","ids":[0,999,1000,1001,1001],"names":["ada","eng"]}`); a.status != 204 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	h.report("node-2", `{"ids":[1003],"names":["bob"]}`)
	for _, c := range []struct {
		userName, name string
		uid            uint32
	}{{"ada", "ada-2", 1002}, {"bob", "bob-2", 1004}, {"eng", "eng-2", 1005}} {
		if a := h.account(h.newUser(c.userName)); a.Name != c.name || a.UID != c.uid {
			t.Errorf("%s got %+v", c.userName, a)
		}
	}
	// What a node has no longer is free, if the search has not passed it.
	h.report("node-2", `{"ids":[1006],"names":[]}`)
	h.report("node-2", `{"ids":[]}`)
	if got := h.group(h.newGroup("Makers")).GID; got != 1006 {
		t.Errorf("the group got %d", got)
	}
	nodes := h.nodes()
	if len(nodes) != 2 || nodes[0].Name != "node-1" || fmt.Sprint(nodes[0].IDs, nodes[0].Names) != "[1000 1001] [ada eng]" {
		t.Errorf("nodes %+v", nodes)
	}
}

func (h *house) nodes() (all []scimserver.Node) {
	h.t.Helper()
	err := h.store.View(h.t.Context(), func(v scimserver.View) (err error) {
		all, err = v.Nodes()
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// Not parallel: it sets PATH.
func TestTheHostsNameServicesAreAskedToo(t *testing.T) {
	bin := t.TempDir()
	getent := filepath.Join(bin, "getent")
	script := "#!/bin/sh\ncase $1 in\npasswd) echo 'ldapper:*:1000:1001:L:/home/ldapper:/bin/sh' ;;\ngroup) echo 'ldapgroup:*:1002:' ;;\nesac\n"
	if err := os.WriteFile(getent, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	from := hostFiles(t, "filed:x:1003:1003::/home/filed:/bin/sh", "")
	from.NSS = true
	local, err := ledger.ReadLocal(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, func(c *scimserver.Config) { c.Ledger.Local = local })
	for _, c := range []struct {
		userName, name string
		uid            uint32
	}{{"ldapper", "ldapper-2", 1004}, {"ldapgroup", "ldapgroup-2", 1005}, {"filed", "filed-2", 1006}} {
		if a := h.account(h.newUser(c.userName)); a.Name != c.name || a.UID != c.uid {
			t.Errorf("%s got %+v", c.userName, a)
		}
	}
	if err := os.WriteFile(getent, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.ReadLocal(t.Context(), from); err == nil || !strings.Contains(err.Error(), "local-nss") {
		t.Errorf("getent failed, and ReadLocal says %v", err)
	}
}

func TestWhatTheServerGaveIsNotTheHostsWhenAnAgentRendersItThere(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	first := h.account(id)
	h.again(onHost(t, "ada:x:1000:1000:Ada:/home/ada:/bin/bash\n", "ada:x:1000:\n"))
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"countess"}`)).ok(200)
	h.again(onHost(t, "countess:x:1000:1000:Ada:/home/ada:/bin/bash\nada:x:1000:1000:Ada:/home/ada:/bin/bash\n", "countess:x:1000:\n"))
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"ada"}`)).ok(200)
	if got := h.account(id); got.Name != "ada" || got.UID != first.UID || got.Home != first.Home {
		t.Errorf("%+v became %+v", first, got)
	}
	h.do("PUT", "/Users/"+id, person("ada", `"posixUserName":"countess","posixUserId":1000`, `"posixGroupId":1000`)).ok(200)
	if got := h.account(id); got.Name != "countess" || got.UID != 1000 || got.GID != 1000 {
		t.Errorf("account %+v", got)
	}
}

func TestNoRangeMayReachWhereTheSystemLives(t *testing.T) {
	t.Parallel()
	for sentence, cfg := range map[string]ledger.Config{
		"below the floor":          {StartUID: 999},
		"among systemd's":          {StartUID: 60001},
		"that ends first":          {StartUID: 2000, EndUID: 1999},
		"beyond what is positive":  {EndUID: 1 << 31},
		"of groups below":          {StartGID: 10},
		"of groups that end first": {StartGID: 2000, EndGID: 1000},
	} {
		if _, err := ledger.New(cfg); err == nil {
			t.Errorf("a range %s is taken", sentence)
		}
	}
}
