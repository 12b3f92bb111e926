package scimserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// What somebody could try, and what goes wrong by accident.

func TestANodeCannotHandAnAccountToSomebodyElse(t *testing.T) {
	t.Parallel()
	h := open(t)
	imported, err := h.steward().ImportAccounts(t.Context(), []ledger.Import{{Name: "carl", UID: 5000}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.raw("UPDATE meta SET restored = ?", time.Now().UnixMilli())
	former := fmt.Sprintf(`{"ids":[],"names":[],"former":[{"key":"a/%s","name":"eve","uid":0,"gid":0}]}`, imported[0].ID)
	h.report("node-1", former)
	eve := h.account(h.newUser("eve"))
	if eve.UID == 5000 || eve.ID == imported[0].ID {
		t.Errorf("eve has carl's account: %+v", eve)
	}
	noted := false
	for _, e := range h.events("") {
		noted = noted || e.Action == "node.remember" && e.Name == "node-1"
	}
	if !noted {
		t.Error("the audit log does not say what the node remembered")
	}
	// Long after a restore nobody is believed.
	h.raw("UPDATE meta SET restored = ?", time.Now().Add(-60*day).UnixMilli())
	h.report("node-1", `{"ids":[],"names":[],"former":[{"key":"a/nobody","name":"newhire","uid":7000,"gid":7000}]}`)
	if a := h.account(h.newUser("newhire")); a.Name != "newhire" {
		t.Errorf("a node took a name for itself: %+v", a)
	}
}

func TestAHostAccountThatSharesItsNumberIsNobodysToTakeOver(t *testing.T) {
	t.Parallel()
	h := open(t, onHost(t, "bob:x:1005:1005::/home/bob:/bin/sh\nbobby:x:1005:1005::/home/bob:/bin/sh\nplain:x:1006:1006::/home/plain:/bin/sh\nsudoer:x:1006:1006::/home/s:/bin/sh\n",
		"bob:x:1005:\nplain:x:1006:\nsudo:x:27:sudoer\n"))
	for _, name := range []string{"bob", "bobby", "plain"} {
		if a := h.account(h.newUser(name)); a.UID == 1005 || a.UID == 1006 || a.Name == name {
			t.Errorf("%s was given %+v", name, a)
		}
	}
}

func TestWhoIsLockedIsLockedWhateverElseIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	for i, body := range []string{
		`{"userName":"ada","active":false}`,
		`{"userName":"bob%d","active":false,"urn:rstudio:params:scim:schemas:extension:workbench:1.0:User":{"posixUserName":"root"}}`,
		`{"userName":"bob%d","active":false,"urn:rstudio:params:scim:schemas:extension:workbench:1.0:User":{"posixUserId":1000}}`,
	} {
		id := h.newUser(fmt.Sprint("bob", i))
		before := h.account(id)
		a := h.do("PUT", "/Users/"+id, strings.ReplaceAll(body, "%d", fmt.Sprint(i))).ok(200)
		after := h.account(id)
		if !after.Locked || after.Name != before.Name || after.UID != before.UID {
			t.Errorf("after %s: %+v", body, after)
		}
		// The answer says what is so, and what was refused then is refused later.
		if a.get("active") != false || a.get("userName") != fmt.Sprint("bob", i) || strings.Contains(string(a.body), "posixUser") {
			t.Errorf("answer %s", a.body)
		}
		h.do("PATCH", "/Users/"+id, `{"Operations":[{"op":"replace","value":{"active":true}}]}`).ok(200)
		if a := h.account(id); a.Locked || a.Name != before.Name {
			t.Errorf("opened again: %+v", a)
		}
	}
}

func TestEndDatesThatNoCalendarHasAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	for _, end := range []string{"9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z"} {
		h.do("PUT", "/Users/"+id, `{"userName":"ada","urn:pwb:params:scim:schemas:extension:posix:1.0:User":{"endDate":"`+end+`"}}`).fails(400, "invalidValue").says("endDate")
	}
}

func TestTheAdministratorsGroupIsNobodyElses(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Ledger.AdminGroup = "pwb-admins" })
	if a := h.account(h.newUser("pwb-admins@corp.example")); a.Name != "pwb-admins-2" {
		t.Errorf("account %+v", a)
	}
	if g := h.group(h.newGroup("pwb-admins")); g.Name != "pwb-admins-3" {
		t.Errorf("group %+v", g)
	}
	h.do("POST", "/Users", person("eve", `"posixUserName":"pwb-admins"`, ``)).fails(409, "uniqueness").says("posixUserName")
	ada := h.admit("ada", `"admin":true`, ``)
	if u := h.record(ada); fmt.Sprint(u.Groups) != "[pwb-admins]" {
		t.Errorf("ada is in %v", u.Groups)
	}
}

func TestEndsOfImportedAccountsOutliveTheProvider(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.steward()
	if _, err := o.ImportAccounts(t.Context(), []ledger.Import{{Name: "fred", UID: 5000}}, nil); err != nil {
		t.Fatal(err)
	}
	past := scimserver.Hash{Name: "fred", Hash: "$6$salt$hash", End: time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := o.ImportHashes(t.Context(), []scimserver.Hash{past}, nil); err != nil {
		t.Fatal(err)
	}
	fred := h.newUser("fred")
	if u := h.record("fred"); u.ID != fred || !u.Locked || u.State != scimserver.StateEnded {
		t.Errorf("fred is %+v", u)
	}
	if u, err := o.Unlock(t.Context(), "fred"); err != nil || u.Locked {
		t.Errorf("an administrator cannot let fred in: %+v, %v", u, err)
	}
	// A hash with an end is not for an account that is a provider's already.
	h.newUser("gina")
	if _, err := o.ImportHashes(t.Context(), []scimserver.Hash{{Name: "gina", Hash: "$6$salt$hash"}}, nil); err != nil {
		t.Fatal(err)
	}
	if u := h.record("gina"); u.Password {
		t.Error("an account that was never imported was given a password")
	}
}

func TestAFormerOwnerOfANameIsNotMeantByIt(t *testing.T) {
	t.Parallel()
	h := open(t)
	first := h.newUser("ada")
	h.do("PUT", "/Users/"+first, `{"userName":"alovelace"}`).ok(200)
	second := h.newUser("ada")
	if u, err := h.steward().Lock(t.Context(), "ada"); err != nil || u.ID != second {
		t.Errorf("%+v, %v", u, err)
	}
	if h.account(first).Locked || !h.account(second).Locked {
		t.Error("the wrong user is locked")
	}
}

func TestOnePatchCannotKeepOthersWaiting(t *testing.T) {
	t.Parallel()
	h := open(t)
	group := h.newGroup("Engineers")
	var ops []string
	for i := range 11 {
		ops = append(ops, fmt.Sprintf(`{"op":"remove","path":"members[display eq \"x%d\"]"}`, i))
	}
	h.do("PATCH", "/Groups/"+group, `{"Operations":[`+strings.Join(ops, ",")+`]}`).fails(400, "tooMany")
	h.do("PATCH", "/Groups/"+group, `{"Operations":[`+strings.Join(ops[:10], ",")+`]}`)
}

func TestATokenFileThatIsNoFileIsRefused(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{pipe, t.TempDir(), os.DevNull} {
		if text, err := scimserver.ReadSecret(file); err == nil {
			t.Errorf("%s holds %q", file, text)
		}
	}
}

func TestWhatAnImportLocksDoesNotCountForTheFuse(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Fuse = smallFuse })
	var accounts []ledger.Import
	var hashes []scimserver.Hash
	for i := range 20 {
		name := fmt.Sprint("old", i)
		accounts = append(accounts, ledger.Import{Name: name, UID: uint32(5000 + i)})
		hashes = append(hashes, scimserver.Hash{Name: name, Hash: "$6$salt$hash", Locked: true})
	}
	if _, err := h.steward().ImportAccounts(t.Context(), accounts, nil); err != nil {
		t.Fatal(err)
	}
	if set, err := h.steward().ImportHashes(t.Context(), hashes, nil); err != nil || len(set) != 20 {
		t.Fatalf("%d were set, %v", len(set), err)
	}
	h.do("DELETE", "/Users/"+h.newUser("ada"), "").ok(204)
}
