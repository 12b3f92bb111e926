package scimserver_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func startAt(n uint32) func(*scimserver.Config) {
	return func(c *scimserver.Config) { c.Ledger.StartUID = n }
}

func TestAUidIsAlsoFreeAsGidAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	h := open(t)
	stranger := ledger.Entry{Subject: "stranger", Name: "stranger"}
	h.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.GiveGID(1000, stranger), tx.GiveUID(1002, stranger), tx.GiveGID(1003, stranger))
	})
	ada := h.newUser("ada")
	if a := h.account(ada); a.UID != 1001 || a.GID != 1001 {
		t.Errorf("account %+v", a)
	}
	for _, userName := range []string{"root", "ROOT@corp.example", `CORP\wheel`, "sshd@corp.example"} {
		h.do("POST", "/Users", `{"userName":`+strconv.Quote(userName)+`}`).fails(400, "invalidValue")
	}
	if g := h.group(h.newGroup("Engineers")); g.GID != 1004 {
		t.Errorf("group %+v", g)
	}
	if a := h.account(h.newUser("bob")); a.UID != 1005 {
		t.Errorf("account %+v", a)
	}
}

func TestReservedRangesAreJumped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		start uint32
		want  []uint32
	}{
		{1000, []uint32{1000, 1001}},
		{60000, []uint32{60000, 65536, 65537}},
		{524287, []uint32{524287, 1879048192}},
	} {
		h := open(t, startAt(c.start))
		for i, want := range c.want {
			if got := h.account(h.newUser(fmt.Sprint("u", i))).UID; got != want {
				t.Errorf("from %d on, number %d is %d, want %d", c.start, i+1, got, want)
			}
		}
	}
}

func TestWhenNumbersRunOutNobodyGetsAWrongOne(t *testing.T) {
	t.Parallel()
	h := open(t, startAt(1<<31-2))
	h.newUser("ada")
	h.newGroup("Engineers")
	at := h.feed().at
	h.do("POST", "/Users", `{"userName":"eve"}`).fails(500, "")
	h.do("POST", "/Groups", `{"displayName":"eve"}`).fails(500, "")
	if !strings.Contains(h.log.String(), "no uid is free") {
		t.Errorf("the log does not say why: %s", h.log)
	}
	h.do("GET", "/Users", "").ok(200).has("totalResults", 1)
	if after := h.feed().at; after != at {
		t.Errorf("the feed moved from %v to %v", at, after)
	}
}

func TestNumbersAndNamesOfTheHostAreNeverGiven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	err := errors.Join(
		os.WriteFile(passwd, []byte("root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001:Ada:/home/ada:/bin/sh\n\n+::::::\nbroken line\nbob:x:many:1:::\n# comment\nlast:x:1003:1003:::"), 0o600),
		os.WriteFile(group, []byte("wheel:x:10:\nengineers:x:1004:ada\nbroken:x\n"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	local, err := ledger.ReadLocal(t.Context(), ledger.Sources{Passwd: passwd, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, func(c *scimserver.Config) { c.Ledger.Local = local })
	for _, c := range []struct {
		userName, name string
		uid            uint32
	}{
		{"ada", "ada-2", 1002},
		{"last", "last-2", 1005},
		{"bob", "bob-2", 1006}, // a name without a number is taken all the same
		{"carol", "carol", 1007},
	} {
		a := h.account(h.newUser(c.userName))
		if a.Name != c.name || a.UID != c.uid {
			t.Errorf("%s got %s and %d, want %s and %d", c.userName, a.Name, a.UID, c.name, c.uid)
		}
	}
	for _, userName := range []string{"root", "ROOT@corp.example", `CORP\wheel`, "sshd@corp.example"} {
		h.do("POST", "/Users", `{"userName":`+strconv.Quote(userName)+`}`).fails(400, "invalidValue")
	}
	if g := h.group(h.newGroup("Engineers")); g.Name != "engineers-2" {
		t.Errorf("group %+v", g)
	}
	if _, err := ledger.ReadLocal(t.Context(), ledger.Sources{Passwd: passwd, Group: filepath.Join(dir, "none")}); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestNamesAreMadeFromUserNamesAndNumberedWhenTaken(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, c := range []struct{ userName, want string }{
		{"Ada.Lovelace@corp.example", "ada.lovelace"},
		{"ada.lovelace@other.example", "ada.lovelace-2"},
		{`CORP\Ada.Lovelace`, "ada.lovelace-3"},
		{"ada.lovelace-2", "ada.lovelace-2-2"},
		{"ada.lovelace", "ada.lovelace-4"},
		{"山田", "_"},
		{"佐藤", "_-2"},
		{strings.Repeat("x", 40), strings.Repeat("x", 32)},
		{strings.Repeat("x", 41), strings.Repeat("x", 30) + "-2"},
	} {
		if got := h.account(h.newUser(c.userName)); got.Name != c.want || got.Home != "/home/"+c.want {
			t.Errorf("%s got %s with %s, want %s", c.userName, got.Name, got.Home, c.want)
		}
	}
	// Users and groups share one set of names: a private group has its user's.
	if got := h.group(h.newGroup("Ada.Lovelace")).Name; got != "ada.lovelace-5" {
		t.Errorf("the group got %s", got)
	}
}

func TestANumberedNameStaysWhileItsNameIsAskedFor(t *testing.T) {
	t.Parallel()
	h := open(t)
	first, second := h.newUser("ada@a"), h.newUser("ada@b")
	h.do("DELETE", "/Users/"+first, "").ok(204)
	h.do("PUT", "/Users/"+second, `{"userName":"Ada@c"}`).ok(200)
	if got := h.account(second).Name; got != "ada-2" {
		t.Errorf("the name became %s", got)
	}
	h.do("PUT", "/Users/"+second, `{"userName":"bob"}`).ok(200)
	if got := h.account(second).Name; got != "bob" {
		t.Errorf("the name became %s", got)
	}
}

func TestHomesAndShellsAreThoseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.HomeDir, c.Ledger.Shell = "/srv/people", "/bin/zsh" })
	if a := h.account(h.newUser("ada")); a.Home != "/srv/people/ada" || a.Shell != "/bin/zsh" {
		t.Errorf("account %+v", a)
	}
}

func TestNoNumberAndNoNameIsEverInTwoHands(t *testing.T) {
	t.Parallel()
	h := open(t)
	names := []string{"ada@a", "ada@b", "bob", "Ada", "eng"}
	uids, gids, named := map[uint32]string{}, map[uint32]string{}, map[string]string{}
	own := func(what string, owner map[string]string, key, id string) {
		if other, ok := owner[key]; ok && other != id {
			t.Errorf("%s %s is that of %s and of %s", what, key, other, id)
		}
		owner[key] = id
	}
	numbers := func(what string, owner map[uint32]string, n uint32, id string) {
		if other, ok := owner[n]; ok && other != id {
			t.Errorf("%s %d is that of %s and of %s", what, n, other, id)
		}
		owner[n] = id
	}
	for round := range 4 {
		var ids [][2]string
		for i, name := range names {
			ids = append(ids, [2]string{"/Users/", h.newUser(name)})
			if i%2 == 0 {
				ids = append(ids, [2]string{"/Groups/", h.newGroup(name)})
			}
		}
		f := h.feed()
		for _, row := range f.rows {
			if a := row.Account; a != nil {
				numbers("uid", uids, a.UID, a.ID)
				numbers("gid", gids, a.GID, a.ID)
				own("name", named, a.Name, a.ID)
			}
			if g := row.Group; g != nil {
				numbers("gid", gids, g.GID, g.ID)
				numbers("uid", uids, g.GID, g.ID)
				own("name", named, g.Name, g.ID)
			}
		}
		for _, id := range ids {
			if round < 3 {
				h.do("DELETE", id[0]+id[1], "").ok(204)
			}
		}
	}
	if len(uids) != 4*8 {
		t.Errorf("%d numbers were seen", len(uids))
	}
	for n := range uids {
		if _, reserved := roster.Reserved(n); reserved {
			t.Errorf("number %d is reserved", n)
		}
	}
}
