package scimserver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// comer is the body of a user with an externalId.
func comer(userName, externalID string) string {
	return fmt.Sprintf(`{"userName":%q,"externalId":%q}`, userName, externalID)
}

func TestWhoIsReassignedHasTheSameNumbers(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	before := h.account(id)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	if u := h.record("ada"); !u.Locked || u.State != scimserver.StateInactive || !h.account(id).Locked {
		t.Errorf("record %+v", u)
	}
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	if got := h.account(id); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("%+v became %+v", before, got)
	}
}

func TestWhoComesBackIsTheSamePerson(t *testing.T) {
	t.Parallel()
	for _, buried := range []bool{false, true} {
		clock := newHours()
		h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = 30 * day })
		h.do("POST", "/Groups", team("Engineers", `"posixGroupId":4000`)).ok(201)
		id := h.admit("Ada@corp.example", `"posixUserId":4000,"homeDirectory":"/srv/ada"`, ``, `"externalId":"e1","password":"correct horse",`)
		h.secrets = append(h.secrets, "correct horse")
		private := h.do("POST", "/Users", comer("bob", "e2")).ok(201).id()
		before, bob, group := h.account(id), h.account(private), h.group(id)
		h.do("DELETE", "/Users/"+id, "").ok(204)
		h.do("DELETE", "/Users/"+private, "").ok(204)
		if a := h.account(id); !a.Locked || a.UID != before.UID || a.Name != before.Name {
			t.Errorf("who left has %+v", a)
		}
		if buried {
			clock.pass(31 * day)
			h.tend()
			if u := h.record(id); u.State != scimserver.StateBuried || len(h.feed().rows) != 1 {
				t.Errorf("record %+v, feed %+v", u, h.feed().rows)
			}
		}
		if got := h.do("POST", "/Users", comer("ADA@corp.example", "e1")).ok(201).id(); got != id {
			t.Fatalf("ada came back as %s", got)
		}
		if got := h.do("POST", "/Users", comer("bob", "e2")).ok(201).id(); got != private {
			t.Fatalf("bob came back as %s", got)
		}
		after := h.account(id)
		if after.Locked || after.UID != 4000 || after.GID != before.GID || after.Home != "/srv/ada" || after.Name != "ada" || after.Shell != before.Shell || h.group(id) != group {
			t.Errorf("buried %v: %+v became %+v with %+v", buried, before, after, h.group(id))
		}
		if (after.Hash == "") != buried { // whoever is buried takes the password along
			t.Errorf("buried %v: the hash is %q", buried, after.Hash)
		}
		if got := h.account(private); fmt.Sprint(got) != fmt.Sprint(bob) {
			t.Errorf("%+v became %+v", bob, got)
		}
		h.healthy()
	}
}

func TestAUserNameAloneProvesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	first := h.do("POST", "/Users", comer("ada", "e1")).ok(201).id()
	h.do("DELETE", "/Users/"+first, "").ok(204)
	seen := map[string]bool{first: true}
	for i, body := range []string{comer("ada", "e2"), `{"userName":"ada"}`, comer("ada@corp.example", "e1"), comer("ada", "E1"), comer("ada", "")} {
		id := h.do("POST", "/Users", body).ok(201).id()
		a := h.account(id)
		if seen[id] || a.UID != uint32(1001+i) || a.Name != fmt.Sprintf("ada-%d", i+2) {
			t.Errorf("%s is %s with %+v", body, id, a)
		}
		seen[id] = true
		h.do("DELETE", "/Users/"+id, "").ok(204)
	}
	// Of those who left, each comes back as who it was.
	if id := h.do("POST", "/Users", comer("ada", "e1")).ok(201).id(); id != first {
		t.Errorf("the first came back as %s", id)
	}
}

func TestAnAdministratorMaySayThatItIsTheSamePerson(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = day })
	op := h.steward()
	id := h.newUser("ada")
	before := h.account(id)
	if _, err := op.Readmit(t.Context(), "ada", ""); err == nil || !strings.Contains(err.Error(), "not departed") {
		t.Errorf("who is there was readmitted: %v", err)
	}
	h.do("DELETE", "/Users/"+id, "").ok(204)
	if u, err := op.Readmit(t.Context(), "ada", ""); err != nil || !u.Readmit {
		t.Errorf("%+v, %v", u, err)
	}
	if got := h.do("POST", "/Users", comer("ada", "new")).ok(201).id(); got != id || fmt.Sprint(h.account(id)) != fmt.Sprint(before) {
		t.Errorf("ada came back as %s", got)
	}
	h.do("DELETE", "/Users/"+id, "").ok(204)
	clock.pass(2 * day)
	h.tend()
	if u, err := op.Readmit(t.Context(), "1000", "Lovelace@corp.example"); err != nil || u.UserName != "lovelace@corp.example" {
		t.Errorf("%+v, %v", u, err)
	}
	if got := h.newUser("lovelace@CORP.example"); got != id || h.account(id).UID != before.UID || h.account(id).Name != "ada" {
		t.Errorf("ada came back as %s: %+v", got, h.account(id))
	}
	h.do("DELETE", "/Users/"+id, "").ok(204)
	if got := h.newUser("lovelace@corp.example"); got == id {
		t.Error("the word of the administrator counted twice")
	}
	if _, err := op.Readmit(t.Context(), "nobody-known", ""); err == nil {
		t.Error("somebody unknown was readmitted")
	}
}

func TestAfterTheRetentionTheLedgerAloneRemembers(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention, c.Ledger.AliasTime = 30*day, 90*day })
	h.do("POST", "/Groups", team("Engineers", `"posixGroupId":4000`)).ok(201)
	id := h.admit("ada", `"posixUserId":4000`, ``)
	gid := h.account(id).GID
	h.do("DELETE", "/Users/"+id, "").ok(204)
	clock.pass(30*day - time.Millisecond)
	h.changesNothing("a look before the time", h.tend)
	clock.pass(time.Millisecond)
	h.tend()
	f := h.feed()
	if f.rows["a/"+id].Account != nil || f.rows["g/"+id].Group != nil {
		t.Errorf("rows %+v", f.rows)
	}
	h.changesNothing("a second look", h.tend)
	for _, key := range []string{"4000", "ada", fmt.Sprint(gid)} {
		owners, err := h.steward().History(t.Context(), key, time.Time{})
		found := false
		for _, o := range owners {
			found = found || o.Subject == id && len(o.History) == 3 && o.History[2].Action == "user.buried" && o.History[2].UID == 4000
		}
		if err != nil || !found {
			t.Errorf("of %s the history is %+v, %v", key, owners, err)
		}
	}
	if u := h.record("4000"); u.ID != id || u.State != scimserver.StateBuried || !u.Locked {
		t.Errorf("record %+v", u)
	}
	h.do("POST", "/Users", person("eve", `"posixUserId":4000`, ``)).fails(409, "uniqueness").says(id)
	h.do("POST", "/Users", person("eve", ``, fmt.Sprintf(`"posixGroupId":%d`, gid))).fails(409, "uniqueness").says(id)
	h.do("POST", "/Users", person("eve", `"posixUserName":"ada"`, ``)).fails(409, "uniqueness").says(id)
	if a := h.account(h.newUser("ada")); a.Name != "ada-2" || a.UID == 4000 || a.UID == gid {
		t.Errorf("account %+v", a)
	}
	h.healthy()
}

func TestManyWhoLeftAreBuriedAtOnce(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = day })
	for i := range 205 {
		h.do("DELETE", "/Users/"+h.newUser(fmt.Sprint("user", i)), "").ok(204)
	}
	clock.pass(day)
	h.tend()
	if rows := len(h.feed().rows); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
}

func TestWithoutARetentionNobodyIsBuried(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	id := h.newUser("ada")
	h.do("DELETE", "/Users/"+id, "").ok(204)
	clock.pass(10000 * day)
	h.tend()
	if a := h.account(id); !a.Locked || a.Name != "ada" {
		t.Errorf("account %+v", a)
	}
}

func TestWhomAnAdministratorLockedTheProviderDoesNotUnlock(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = day })
	op := h.steward()
	id := h.do("POST", "/Users", comer("ada", "e1")).ok(201).id()
	if u, err := op.Lock(t.Context(), "ada"); err != nil || !u.Locked || u.State != scimserver.StateHeld {
		t.Errorf("%+v, %v", u, err)
	}
	locked := func(when string) {
		t.Helper()
		if a := h.account(id); !a.Locked || h.record(id).State == scimserver.StateActive {
			t.Errorf("%s unlocked %+v", when, a)
		}
	}
	h.do("PUT", "/Users/"+id, `{"userName":"ada","externalId":"e1","active":true}`).ok(200).has("active", true)
	locked("PUT")
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	locked("PATCH")
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"countess"}`)).ok(200)
	locked("a rename")
	h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+scim.PosixUserURN+`:endDate","value":"2999-01-01T00:00:00Z"}`)).ok(200)
	locked("an end date")
	h.do("DELETE", "/Users/"+id, "").ok(204)
	if _, err := op.Unlock(t.Context(), id); err == nil {
		t.Error("who was deleted was unlocked")
	}
	h.do("POST", "/Users", comer("countess", "e1")).ok(201).has("id", id)
	locked("coming back")
	h.do("DELETE", "/Users/"+id, "").ok(204)
	clock.pass(2 * day)
	h.tend()
	for _, deed := range []func() error{
		func() error { _, err := op.Lock(t.Context(), id); return err },
		func() error { _, err := op.Unlock(t.Context(), id); return err },
		func() error { _, err := op.Renumber(t.Context(), id, 0, 0); return err },
	} {
		if err := deed(); err == nil {
			t.Error("something was done to who is buried")
		}
	}
	h.do("POST", "/Users", comer("countess", "e1")).ok(201).has("id", id)
	locked("coming back from the grave")
	if u, err := op.Unlock(t.Context(), "countess"); err != nil || u.Locked || h.account(id).Locked {
		t.Errorf("%+v, %v", u, err)
	}
	// Unlocking does not overrule the provider.
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	if u, err := op.Unlock(t.Context(), "countess"); err != nil || !u.Locked || u.State != scimserver.StateInactive {
		t.Errorf("%+v, %v", u, err)
	}
	h.healthy()
}

func TestAnEndDateLocksByItself(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	id := h.admit("ada", ``, `"endDate":"2026-03-02T06:00:00+02:00"`)
	set := func(end string) {
		t.Helper()
		h.do("PATCH", "/Users/"+id, patch(fmt.Sprintf(`{"op":"replace","path":"%s:endDate","value":%s}`, scim.PosixUserURN, end))).ok(200)
	}
	is := func(when string, locked bool, expire int64, state string) {
		t.Helper()
		if a, u := h.account(id), h.record(id); a.Locked != locked || a.Expire != expire || u.State != state || u.Locked != locked {
			t.Errorf("%s: account %+v, state %s", when, a, u.State)
		}
	}
	const second = 20513 + 1 // of March
	is("before the end", false, second+1, scimserver.StateActive)
	clock.pass(16*time.Hour - time.Millisecond)
	h.changesNothing("a look before the time", h.tend)
	clock.pass(time.Millisecond)
	h.tend()
	is("at the end", true, second+1, scimserver.StateEnded)
	h.changesNothing("a second look", h.tend)
	h.do("PUT", "/Users/"+id, `{"userName":"ada","active":true,"title":"my endDate is past"}`).ok(200).has(slashed(scim.PosixUserURN)+".endDate", "2026-03-02T06:00:00+02:00")
	is("after a PUT that does not speak of it", true, second+1, scimserver.StateEnded)
	if u, err := h.steward().Unlock(t.Context(), "ada"); err != nil || !u.Locked {
		t.Errorf("an administrator unlocked whose time is over: %+v, %v", u, err)
	}
	set(`"2026-03-04T00:00:00Z"`)
	is("when it is extended", false, second+2, scimserver.StateActive)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	clock.pass(10 * day)
	h.changesNothing("the end of who is locked already", h.tend)
	is("locked twice", true, second+2, scimserver.StateEnded)
	h.do("PUT", "/Users/"+id, person("ada", ``, `"endDate":null`)).ok(200).has(slashed(scim.PosixUserURN), nil)
	is("without an end", true, 0, scimserver.StateInactive)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	is("active again", false, 0, scimserver.StateActive)
	set(`"1990-01-01T00:00:00Z"`)
	is("an end that is long past", true, 7305, scimserver.StateEnded)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+scim.PosixUserURN+`:endDate"}`)).ok(200)
	is("removed", false, 0, scimserver.StateActive)
	late := h.admit("late", ``, `"endDate":"2026-01-01T00:00:00Z"`)
	if !h.account(late).Locked {
		t.Error("who ended before the beginning can log in")
	}
	h.healthy()
}

func TestTheEndOfAnImportedOrHeldAccountFreesNobody(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	op := h.steward()
	id := h.admit("ada", ``, `"endDate":"2026-03-02T00:00:00Z"`)
	if _, err := op.Lock(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	clock.pass(2 * day)
	h.tend()
	if u, err := op.Unlock(t.Context(), "ada"); err != nil || !u.Locked || u.State != scimserver.StateEnded || !h.account(id).Locked {
		t.Errorf("%+v, %v", u, err)
	}
	imported, err := op.ImportAccounts(t.Context(), []ledger.Import{{Name: "bob"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := op.Delete(t.Context(), "bob")
	if err != nil || u.State != scimserver.StateDeparted || !h.account(imported[0].ID).Locked {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := op.Delete(t.Context(), "bob"); err == nil {
		t.Error("bob was deleted twice")
	}
	if _, err := op.Readmit(t.Context(), "bob", ""); err == nil {
		t.Error("bob was readmitted without a userName")
	}
	if _, err := op.Readmit(t.Context(), "bob", "robert"); err != nil {
		t.Error(err)
	}
	if got := h.newUser("robert"); got != imported[0].ID {
		t.Errorf("bob came back as %s", got)
	}
}

func TestWhatDoesNotSpeakOfTheEndKeepsIt(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.admit("ada", ``, `"endDate":"2020-01-01T00:00:00Z"`)
	shell := `{"loginShell":"/bin/zsh"}`
	for _, op := range []string{
		`{"op":"replace","value":{"` + scim.PosixUserURN + `":` + shell + `}}`,
		`{"op":"replace","path":"` + scim.PosixUserURN + `","value":` + shell + `}`,
		`{"op":"add","path":"` + scim.PosixUserURN + `","value":` + shell + `}`,
		`{"op":"add","value":{"` + scim.PosixUserURN + `":` + shell + `}}`,
		`{"op":"replace","path":"` + scim.PosixUserURN + `:loginShell","value":"/bin/sh"}`,
		`{"op":"replace","path":"active","value":true}`,
	} {
		h.do("PATCH", "/Users/"+id, patch(op)).ok(200)
		if a := h.account(id); !a.Locked || a.Expire == 0 {
			t.Errorf("%s: %+v", op, a)
		}
	}
	for _, body := range []string{`{"userName":"ada"}`, person("ada", ``, `"loginShell":"/bin/sh"`), `{"userName":"ada","` + scim.PosixUserURN + `":null}`} {
		h.do("PUT", "/Users/"+id, body).ok(200)
		if a := h.account(id); !a.Locked || a.Expire == 0 {
			t.Errorf("%s: %+v", body, a)
		}
	}
	h.do("PUT", "/Users/"+id, `{"userName":"ada","`+strings.ToUpper(scim.PosixUserURN)+`:ENDDATE":null}`).ok(200)
	if a := h.account(id); a.Locked || a.Expire != 0 {
		t.Errorf("account %+v", a)
	}
}

func TestAChangedRetentionCountsForThoseWhoLeftBefore(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule) // no retention: for ever
	ada := h.newUser("ada")
	h.do("DELETE", "/Users/"+ada, "").ok(204)
	clock.pass(40 * day)
	h.tend()
	if !h.account(ada).Locked {
		t.Error("the account is open")
	}
	h.again(clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = 30 * day })
	h.tend()
	if _, there := h.feed().rows["a/"+ada]; there {
		t.Error("the account outlived a retention that was set after it left")
	}
}
