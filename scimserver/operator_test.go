package scimserver_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

func TestUsersAndGroupsAreFoundByAllTheirNames(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.AliasTime = day })
	op := h.steward()
	id := h.newUser("Ada@corp.example")
	h.do("PUT", "/Users/"+id, `{"userName":"Countess@corp.example"}`).ok(200)
	group := h.newGroup("R&D Berlin", id)
	for _, key := range []string{"countess", "ada", "1000", "Countess@Corp.example", id} {
		u, err := op.User(t.Context(), key)
		if err != nil || u.ID != id || u.Name != "countess" || u.UserName != "countess@corp.example" || !slices.Equal(u.Groups, []string{"r_d_berlin"}) {
			t.Errorf("%s: %+v, %v", key, u, err)
		}
	}
	for _, key := range []string{"r_d_berlin", "1001", "r&d BERLIN", group} {
		g, err := op.Group(t.Context(), key)
		if err != nil || g.ID != group || g.DisplayName != "R&D Berlin" || !slices.Equal(g.Members, []string{"countess"}) || g.State != scimserver.StateActive {
			t.Errorf("%s: %+v, %v", key, g, err)
		}
	}
	ctx := t.Context()
	for _, key := range []string{"", "stranger", "1001", "4294967296", "-1", group, "a/b", "r_d_berlin", strings.Repeat("x", 200)} {
		for what, deed := range map[string]func() error{
			"User":     func() error { _, err := op.User(ctx, key); return err },
			"Lock":     func() error { _, err := op.Lock(ctx, key); return err },
			"Unlock":   func() error { _, err := op.Unlock(ctx, key); return err },
			"SetAdmin": func() error { _, err := op.SetAdmin(ctx, key, true); return err },
			"Delete":   func() error { _, err := op.Delete(ctx, key); return err },
			"Readmit":  func() error { _, err := op.Readmit(ctx, key, "x"); return err },
			"Renumber": func() error { _, err := op.Renumber(ctx, key, 0, 0); return err },
		} {
			err := deed()
			if err == nil || !strings.Contains(err.Error(), "no user has") || len(err.Error()) > 250 {
				t.Errorf("%s of %.20q: %v", what, key, err)
			}
			var e *scim.Error
			if errors.As(err, &e) {
				t.Errorf("%s of %.20q is an error of the protocol", what, key)
			}
		}
	}
	for _, key := range []string{"", "stranger", "1000", id, "countess"} {
		_, err1 := op.Group(ctx, key)
		_, err2 := op.SetGID(ctx, key, 0)
		if err1 == nil || err2 == nil || !strings.Contains(err1.Error(), "no group has") {
			t.Errorf("group %q: %v, %v", key, err1, err2)
		}
	}
	for _, key := range []string{"stranger", "7", "4294967296", ""} {
		if owners, err := op.History(ctx, key, time.Time{}); err == nil || len(owners) != 0 {
			t.Errorf("history of %q: %+v", key, owners)
		}
	}
}

func TestAListHasEverybodyOnce(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.AdminGroup, c.Ledger.Retention = "pwb-admins", day })
	op := h.steward()
	h.do("DELETE", "/Users/"+h.newUser("buried"), "").ok(204)
	clock.pass(2 * day)
	h.tend()
	if _, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "imported"}}, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"active", "held", "inactive", "departed"} {
		h.admit(name, `"admin":true`, ``)
	}
	h.admit("ended", ``, `"endDate":"2000-01-01T00:00:00Z"`)
	h.do("DELETE", "/Users/"+h.record("departed").ID, "").ok(204)
	h.do("PATCH", "/Users/"+h.record("inactive").ID, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	if _, err := op.Lock(t.Context(), "held"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err := op.Users(t.Context(), func(u scimserver.UserRecord) error {
		if seen[u.Name] || u.State != u.Name {
			t.Errorf("%s is listed as %s", u.Name, u.State)
		}
		seen[u.Name] = true
		if admin := slices.Contains([]string{"active", "held", "inactive"}, u.Name); u.Admin != admin || h.record(u.Name).Admin != admin {
			t.Errorf("%s: an administrator %v", u.Name, u.Admin)
		}
		if locked := u.Name != "active" && u.Name != "imported"; u.Locked != locked {
			t.Errorf("%s: locked %v", u.Name, u.Locked)
		}
		return nil
	})
	if err != nil || len(seen) != 7 {
		t.Errorf("%v, %v", seen, err)
	}
	h.newGroup("Eng", h.record("active").ID, h.record("held").ID)
	var groups []string
	err = op.Groups(t.Context(), func(g scimserver.GroupRecord) error {
		groups = append(groups, fmt.Sprint(g.Name, " ", g.State, " ", g.Count))
		return nil
	})
	if slices.Sort(groups); err != nil || !slices.Equal(groups, []string{"eng active 2", "pwb-admins administrators 3"}) {
		t.Errorf("%v, %v", groups, err)
	}
	stop := errors.New("enough")
	if err := op.Users(t.Context(), func(scimserver.UserRecord) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestRenumberingGivesOtherNumbersForGood(t *testing.T) {
	t.Parallel()
	h := open(t, onHost(t, "hosted:x:7000:7001::/home/hosted:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n", "hostgroup:x:7002:\n"), func(c *scimserver.Config) { c.Ledger.AliasTime = day })
	op, ctx := h.steward(), t.Context()
	h.report("node-1", `{"ids":[7100],"names":["ada"]}`)
	// On the host stands what the agent rendered: ada is the ledger's own.
	id := h.do("POST", "/Users", person("eve", `"posixUserId":4000`, ``)).ok(201).id()
	h.admit("bob", `"posixUserId":4100`, ``)
	h.do("POST", "/Groups", team("Eng", `"posixGroupId":5000`)).ok(201)
	gone := h.do("POST", "/Users", person("gone", `"posixUserId":6000`, ``)).ok(201).id()
	h.do("DELETE", "/Users/"+gone, "").ok(204)
	renumber := func(uid, gid uint32) ledger.Change {
		t.Helper()
		c, err := op.Renumber(ctx, id, uid, gid)
		if err != nil {
			t.Fatalf("to %d and %d: %v", uid, gid, err)
		}
		if got := h.account(id); fmt.Sprint(got) != fmt.Sprint(c.After) {
			t.Errorf("%+v is told, %+v is so", c.After, got)
		}
		h.healthy()
		return c
	}
	if c := renumber(4001, 0); c.Before.UID != 4000 || c.After.UID != 4001 || c.After.GID != 4001 {
		t.Errorf("%+v", c)
	}
	if a := h.do("GET", "/Users/"+id, "").ok(200); a.get(slashed(scim.WorkbenchURN)) != nil || a.get("meta.version") != `W/"2"` {
		t.Errorf("the provider is still shown %s", a.body)
	}
	h.do("PUT", "/Users/"+id, person("eve", `"posixUserId":4000`, ``)).fails(400, "mutability").says("4001")
	if c := renumber(0, 0); c.After.UID != 1001 || c.After.GID != 1001 {
		t.Errorf("%+v", c)
	}
	if c := renumber(5000, 0); c.After.UID != 5000 || c.After.GID == 5000 || h.group(id).GID != c.After.GID {
		t.Errorf("beside a group's number: %+v", c)
	}
	if c := renumber(4002, 0); c.After.UID != 4002 || c.After.GID != c.Before.GID || h.group(id).GID != c.After.GID {
		t.Errorf("with a group of its own: %+v", c)
	}
	if c := renumber(4002, 4003); c.After.GID != 4003 || h.group(id).GID != 4003 || c.After.UID != 4002 {
		t.Errorf("another gid alone: %+v", c)
	}
	if c := renumber(4002, 5000); c.After.GID != 5000 || h.feed().rows["g/"+id].Group != nil {
		t.Errorf("a group there is: %+v", c)
	}
	if c := renumber(4004, 0); c.After.UID != 4004 || c.After.GID != 5000 {
		t.Errorf("the group stays: %+v", c)
	}
	if c := renumber(4000, 4000); c.After.UID != 4000 || c.After.GID != 4000 {
		t.Errorf("back to the own first number: %+v", c)
	}
	h.changesNothing("numbers that are another's", func() {
		for _, n := range []struct{ uid, gid uint32 }{
			{4100, 0}, {6000, 0}, {7000, 0}, {7002, 0}, {7100, 0}, {999, 0}, {65534, 0}, {1 << 31, 0},
			{4000, 4100}, {4000, 6000}, {4000, 7001}, {4000, 7002}, {4000, 7100}, {4000, 27}, {4000, 65534}, {5000, 5000}, {4050, 4100},
		} {
			if c, err := op.Renumber(ctx, "eve", n.uid, n.gid); err == nil {
				t.Errorf("%v: %+v", n, c)
			}
		}
	})
	// What it had stays its own.
	for _, n := range []string{"4001", "1001", "4002", "4004"} {
		h.do("POST", "/Users", person("new", `"posixUserId":`+n, ``)).fails(409, "uniqueness").says(id)
	}
	if u, err := op.User(ctx, "4001"); err != nil || u.ID != id {
		t.Errorf("%+v, %v", u, err)
	}
	h.healthy()
}

// The agent on the server's own host renders the accounts there, so that their
// names are the host's too: that does not make the host's numbers theirs.
func TestAnAccountThatTheHostShowsGetsNoNumberOfTheHost(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	h.again(onHost(t, "ada:x:1000:1000::/home/ada:/bin/sh\nhosted:x:7000:7001::/home/hosted:/bin/sh\n", "ada:x:1000:\n"))
	h.changesNothing("a number of the host", func() {
		for _, n := range []struct{ uid, gid uint32 }{{7000, 0}, {7001, 0}, {1000, 7001}} {
			if c, err := h.steward().Renumber(t.Context(), "ada", n.uid, n.gid); err == nil {
				t.Errorf("%v: %+v", n, c)
			}
		}
	})
}

func TestAGroupsOtherGidIsThatOfItsAccountsToo(t *testing.T) {
	t.Parallel()
	h := open(t)
	op, ctx := h.steward(), t.Context()
	eng := h.do("POST", "/Groups", team("Eng", `"posixGroupId":5000`)).ok(201).id()
	ada := h.admit("ada", `"posixUserId":4000`, `"posixGroupId":5000`)
	bob := h.admit("bob", `"posixUserId":4001`, `"posixGroupId":5000`)
	eve := h.admit("eve", `"posixUserId":5000`, ``) // whose uid is the group's number
	own := h.account(eve)
	c, err := op.SetGID(ctx, "eng", 5001)
	if err != nil || c.Before.GID != 5000 || c.After.GID != 5001 || h.group(eng).GID != 5001 {
		t.Fatalf("%+v, %v", c, err)
	}
	if a, b := h.account(ada), h.account(bob); a.GID != 5001 || b.GID != 5001 || a.UID != 4000 {
		t.Errorf("accounts %+v and %+v", a, b)
	}
	if got := h.account(eve); fmt.Sprint(got) != fmt.Sprint(own) {
		t.Errorf("%+v became %+v", own, got)
	}
	if a := h.do("GET", "/Groups/"+eng, "").ok(200); a.get(slashed(scim.PosixGroupURN)) != nil {
		t.Errorf("the provider is still shown %s", a.body)
	}
	h.do("PUT", "/Users/"+ada, person("ada", ``, `"posixGroupId":5001`)).ok(200)
	h.healthy()
	h.changesNothing("gids that are another's", func() {
		for _, gid := range []uint32{4000, 4001, own.GID, 27, 65534, 60001, 1 << 31} {
			if c, err := op.SetGID(ctx, "eng", gid); err == nil {
				t.Errorf("%+v", c)
			}
		}
	})
	if c, err := op.SetGID(ctx, eng, 0); err != nil || c.After.GID == 5001 || h.account(ada).GID != c.After.GID {
		t.Errorf("%+v, %v", c, err)
	}
	// An account's own group is a group, too, and goes with it.
	if c, err := op.SetGID(ctx, "eve", 5002); err != nil || h.account(eve).GID != 5002 || c.After.GID != 5002 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := op.SetGID(ctx, "eng", 5001); err != nil { // its own former one
		t.Error(err)
	}
	h.healthy()
}

func TestHistoryTellsWhoHadWhatWhen(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = 10 * day })
	op, ctx := h.steward(), t.Context()
	begun := clock.now()
	id := h.newUser("ada")
	clock.pass(day)
	h.do("PUT", "/Users/"+id, `{"userName":"countess"}`).ok(200)
	clock.pass(day)
	if _, err := op.Renumber(ctx, id, 4000, 0); err != nil {
		t.Fatal(err)
	}
	h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"Dr"}`)).ok(200) // not told of
	clock.pass(day)
	h.do("DELETE", "/Users/"+id, "").ok(204)
	clock.pass(10 * day)
	h.tend()
	all := []string{"0 user.create ada 1000", "1 user.update countess 1000", "2 user.renumber countess 4000", "3 user.delete countess 4000", "13 user.buried countess 4000"}
	for key, what := range map[string]string{"1000": "uid gid", "4000": "uid gid", "ada": "name", "countess": "name"} {
		owners, err := op.History(ctx, key, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, o := range owners {
			kinds = append(kinds, o.What)
			var got []string
			for _, x := range o.History {
				got = append(got, fmt.Sprintf("%d %s %s %d", x.From.Sub(begun)/day, x.Action, x.Name, x.UID))
			}
			if o.Subject != id || !slices.Equal(got, all) {
				t.Errorf("%s: %+v has %v", key, o, got)
			}
		}
		if strings.Join(kinds, " ") != what {
			t.Errorf("%s is %v", key, kinds)
		}
	}
	for i, c := range []struct {
		after time.Duration
		want  string
	}{{-time.Millisecond, ""}, {0, "ada 1000"}, {day - 1, "ada 1000"}, {day, "countess 1000"}, {2*day + time.Hour, "countess 4000"}, {99 * day, "countess 4000"}} {
		owners, err := op.History(ctx, "1000", begun.Add(c.after))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, x := range owners[0].History {
			got += fmt.Sprint(x.Name, " ", x.UID)
		}
		if got != c.want {
			t.Errorf("moment %d: %q, want %q", i+1, got, c.want)
		}
	}
	group := h.newGroup("Eng")
	h.do("PUT", "/Groups/"+group, `{"displayName":"Makers"}`).ok(200)
	h.do("DELETE", "/Groups/"+group, "").ok(204)
	owners, err := op.History(ctx, "eng", time.Time{})
	if err != nil || len(owners) != 1 || len(owners[0].History) != 3 || owners[0].History[1].Name != "makers" || owners[0].History[2].Kind != "group" || owners[0].History[2].GID != 1001 {
		t.Errorf("%+v, %v", owners, err)
	}
}
