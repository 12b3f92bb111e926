package scimserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// heard is the one event that do leaves.
func (h *house) heard(do func()) scimserver.Event {
	h.t.Helper()
	before := len(h.events(""))
	do()
	events := h.events("")
	if len(events) != before+1 {
		h.t.Fatalf("%d events, want one: %+v", len(events)-before, events[before:])
	}
	return events[before]
}

// changed is what an event changed: what was and what is, as JSON.
func changed(t *testing.T, e scimserver.Event) map[string]string {
	t.Helper()
	var all map[string][2]json.RawMessage
	if err := json.Unmarshal(e.Changes, &all); err != nil {
		t.Fatalf("%s: %v", e.Changes, err)
	}
	out := map[string]string{}
	for name, pair := range all {
		out[name] = string(pair[0]) + " " + string(pair[1])
	}
	return out
}

func TestEveryWriteLeavesOneEventWithWhatItChanged(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) {
		c.Ledger.AliasTime, c.Ledger.Retention = 10*day, 20*day
	})
	h.secrets = append(h.secrets, "correct horse", "battery staple")
	ada, group := "", ""
	users := func(method, body string) func() {
		return func() { h.do(method, "/Users/"+ada, body).ok(200) }
	}
	for i, step := range []struct {
		action string
		do     func()
		want   map[string]string // some of the changes; "" is: not at all
	}{
		{"user.create", func() { ada = h.do("POST", "/Users", comer("ada", "e1")).ok(201).id() }, map[string]string{
			"userName": `null "ada"`, "externalId": `null "e1"`, "active": "null true", "account.name": `null "ada"`, "account.uid": "null 1000",
			"account.gid": "null 1000", "account.home": `null "/home/ada"`, "account.shell": `null "/bin/bash"`, "account.locked": "", "account.password": "", "schemas": "",
		}},
		{"user.update", users("PATCH", patch(`{"op":"add","path":"password","value":"correct horse"}`)), map[string]string{"account.password": `"none" "set"`, "password": ""}},
		{"user.update", users("PUT", `{"userName":"ada","externalId":"e1","password":"battery staple"}`), map[string]string{"account.password": `"set" "set"`, "password": "", "active": ""}},
		{"user.update", users("PATCH", patch(`{"op":"replace","path":"active","value":false}`)), map[string]string{"active": "true false", "account.locked": "null true"}},
		{"user.update", users("PATCH", patch(`{"op":"replace","path":"active","value":true}`)), map[string]string{"active": "false true", "account.locked": "true null"}},
		{"user.update", users("PATCH", patch(`{"op":"replace","path":"userName","value":"countess"}`)), map[string]string{"userName": `"ada" "countess"`, "account.name": `"ada" "countess"`, "account.aliases": `null "ada"`, "account.uid": ""}},
		{"user.update", users("PATCH", patch(`{"op":"add","path":"`+scim.PosixUserURN+`:endDate","value":"2026-03-21T12:00:00Z"}`)), map[string]string{"account.expire": "null 20534"}},
		{"user.update", users("PATCH", patch(fmt.Sprintf(`{"op":"add","path":"title","value":%q}`, strings.Repeat("long", 1000)))), map[string]string{"title": `null "(4002 bytes)"`}},
		{"group.create", func() {
			group = h.do("POST", "/Groups", `{"displayName":"Eng","members":`+values(ada)+`}`).ok(201).id()
		}, map[string]string{"displayName": `null "Eng"`, "group.name": `null "eng"`, "group.gid": "null 1001", "members.added": `null ["` + "ADA" + `"]`}},
		{"group.update", func() { h.do("PUT", "/Groups/"+group, `{"displayName":"Makers"}`).ok(200) }, map[string]string{"displayName": `"Eng" "Makers"`, "group.name": `"eng" "makers"`, "members.removed": `null ["` + "ADA" + `"]`, "group.gid": ""}},
		{"group.update", func() {
			h.do("PATCH", "/Groups/"+group, patch(`{"op":"add","path":"members","value":`+values(ada)+`}`)).ok(204)
		}, map[string]string{"members.added": `null ["` + "ADA" + `"]`, "displayName": ""}},
		{"group.delete", func() { h.do("DELETE", "/Groups/"+group, "").ok(204) }, map[string]string{"displayName": `"makers" null`, "group.gid": "1001 null", "members.removed": `null ["` + "ADA" + `"]`}},
		{"user.alias-ended", func() { clock.pass(11 * day); h.tend() }, map[string]string{"account.aliases": `"ada" null`}},
		{"user.ended", func() { clock.pass(9 * day); h.tend() }, map[string]string{"account.locked": "null true"}},
		{"user.delete", func() { h.do("DELETE", "/Users/"+ada, "").ok(204) }, map[string]string{"userName": `"countess" null`}},
		{"user.return", func() { h.do("POST", "/Users", comer("countess", "e1")).ok(201).has("id", ada) }, map[string]string{"userName": `null "countess"`, "account.locked": "true null", "account.uid": "", "account.expire": "20534 null"}},
		{"user.delete", func() { h.do("DELETE", "/Users/"+ada, "").ok(204) }, map[string]string{"account.locked": "null true"}},
		{"user.buried", func() { clock.pass(20 * day); h.tend() }, nil},
	} {
		e := h.heard(step.do)
		actor := "token test scim"
		if slices.Contains([]string{"user.alias-ended", "user.ended", "user.buried"}, step.action) {
			actor = "server"
		}
		subject := ada
		if strings.HasPrefix(step.action, "group.") {
			subject = group
		}
		if e.Action != step.action || e.Actor != actor || e.Subject != subject || !e.At.Equal(clock.now()) || e.Name == "" || e.GID == 0 {
			t.Errorf("step %d: event %+v", i+1, e)
		}
		got := changed(t, e)
		for name, want := range step.want {
			if want = strings.ReplaceAll(want, "ADA", ada); got[name] != want {
				t.Errorf("step %d, %s: %s is %s, want %s", i+1, step.action, name, got[name], want)
			}
		}
	}
	for _, e := range h.events("") {
		if text := string(e.Changes); strings.Contains(text, "$6$") || strings.Contains(text, "horse") || strings.Contains(text, "staple") {
			t.Errorf("a secret in %s", text)
		}
		if !strings.Contains(h.log.String(), "action="+e.Action) {
			t.Errorf("%s is not in the log", e.Action)
		}
	}
	if n := strings.Count(h.log.String(), "msg=audit"); n != len(h.events("")) {
		t.Errorf("%d events in the log, %d in the store", n, len(h.events("")))
	}
}

func TestWhatChangesNothingOrFailsLeavesNoEvent(t *testing.T) {
	t.Parallel()
	h := open(t)
	op := h.steward()
	id, group := h.do("POST", "/Users", comer("ada", "e1")).ok(201).id(), h.newGroup("Eng")
	left := h.do("POST", "/Users", comer("left", "e2")).ok(201).id()
	h.do("DELETE", "/Users/"+left, "").ok(204)
	for _, deed := range []func() error{
		func() error { _, err := op.Lock(t.Context(), "ada"); return err },
		func() error { _, err := op.Readmit(t.Context(), "left", ""); return err },
		func() error { _, err := op.SetAdmin(t.Context(), "ada", true); return err },
	} {
		if err := deed(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	h.changesNothing("all this", func() {
		h.do("GET", "/Users/"+id, "").ok(200)
		h.do("PUT", "/Users/"+id, person("ada", ``, ``, `"externalId":"e1",`)).ok(200)
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
		h.do("PATCH", "/Users/"+id, patch(`{"op":"remove","path":"title"}`)).ok(200)
		h.do("PUT", "/Groups/"+group, `{"displayName":"Eng"}`).ok(200)
		h.do("PATCH", "/Groups/"+group, patch(`{"op":"remove","path":"members"}`)).ok(204)
		h.do("POST", "/Users", `{"userName":"ada"}`).fails(409, "uniqueness")
		h.do("PUT", "/Users/"+id, `{"userName":"root"}`).fails(400, "invalidValue")
		h.do("PUT", "/Users/"+id, `{"userName":"ada","title":"x"}`, "If-Match", `W/"77"`).fails(412, "")
		h.do("DELETE", "/Users/"+left, "").fails(404, "")
		for what, deed := range map[string]func() error{
			"lock":     func() error { _, err := op.Lock(ctx, "ada"); return err },
			"readmit":  func() error { _, err := op.Readmit(ctx, "left", ""); return err },
			"admin":    func() error { _, err := op.SetAdmin(ctx, "ada", true); return err },
			"renumber": func() error { _, err := op.Renumber(ctx, "ada", 1000, 0); return err },
			"set-gid":  func() error { _, err := op.SetGID(ctx, "eng", h.group(group).GID); return err },
		} {
			if err := deed(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	broken := fmt.Errorf("the disk is full")
	h.store.broken.Store(&broken)
	before := len(h.events(""))
	h.do("POST", "/Users", `{"userName":"bob"}`).fails(500, "")
	if n := len(h.events("")); n != before || strings.Contains(h.log.String(), "name=bob") {
		t.Errorf("what was not committed left %d events", n-before)
	}
}

func TestDeedsOfAdministratorsAreTheirs(t *testing.T) {
	t.Parallel()
	h := open(t)
	ctx := t.Context()
	eve := h.server.Operator("administrator eve")
	do := func(action string, want map[string]string, deed func() error) {
		t.Helper()
		e := h.heard(func() {
			if err := deed(); err != nil {
				t.Fatal(err)
			}
		})
		if e.Action != action || e.Actor != "administrator eve" {
			t.Errorf("event %+v, want %s", e, action)
		}
		got := changed(t, e)
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s is %s, want %s", action, name, got[name], value)
			}
		}
	}
	user := func(_ scimserver.UserRecord, err error) error { return err }
	do("user.create", map[string]string{"userName": `null "ada"`}, func() error { return user(eve.AddUser(ctx, map[string]any{"userName": "ada"})) })
	do("user.lock", map[string]string{"account.locked": "null true", "held": "null true"}, func() error { return user(eve.Lock(ctx, "ada")) })
	do("user.unlock", map[string]string{"account.locked": "true null", "held": "true null"}, func() error { return user(eve.Unlock(ctx, "ada")) })
	do("user.update", nil, func() error { return user(eve.SetAdmin(ctx, "ada", true)) })
	do("user.renumber", map[string]string{"account.uid": "1000 4000", "account.gid": "1000 4000"}, func() error { _, err := eve.Renumber(ctx, "ada", 4000, 0); return err })
	do("user.delete", nil, func() error { return user(eve.Delete(ctx, "ada")) })
	do("user.lock", map[string]string{"held": "null true"}, func() error { return user(eve.Lock(ctx, "ada")) }) // locked already
	do("user.readmit", map[string]string{"readmit": `null "ada"`}, func() error { return user(eve.Readmit(ctx, "ada", "")) })
	do("group.create", nil, func() error { _, err := eve.AddGroup(ctx, map[string]any{"displayName": "Eng"}); return err })
	do("group.set-gid", map[string]string{"group.gid": "1001 5000"}, func() error { _, err := eve.SetGID(ctx, "eng", 5000); return err })
	do("user.import", map[string]string{"account.uid": "null 6000"}, func() error {
		_, err := eve.ImportAccounts(ctx, []ledger.Import{{Name: "bob", UID: 6000}}, nil)
		return err
	})
	do("user.import-hash", map[string]string{"account.password": `"none" "set"`}, func() error {
		_, err := eve.ImportHashes(ctx, []scimserver.Hash{{Name: "bob", Hash: "$6$salt$hash"}}, nil)
		return err
	})
	do("group.import", map[string]string{"members.added": `null ["` + h.record("bob").ID + `"]`}, func() error {
		_, err := eve.ImportGroups(ctx, []scimserver.ImportedGroup{{"ops", 6001, []string{"bob"}}}, nil)
		return err
	})
	h.heard(func() { h.newGroup("Ops") })
	all := h.events("")
	if last := all[len(all)-1]; last.Action != "group.adopt" || last.Actor != "token test scim" || last.GID != 6001 {
		t.Errorf("event %+v", last)
	}
	h.do("DELETE", "/Users/"+h.newUser("bob"), "").ok(204)
	var actions []string
	err := eve.Audit(ctx, scimserver.EventQuery{}, "bob", func(e scimserver.Event) error {
		actions = append(actions, e.Action)
		return nil
	})
	if want := []string{"user.import", "user.import-hash", "user.return", "user.delete"}; err != nil || !slices.Equal(actions, want) {
		t.Errorf("%v, %v", actions, err)
	}
	actions = nil
	err = eve.Audit(ctx, scimserver.EventQuery{Last: 1}, "eng", func(e scimserver.Event) error {
		actions = append(actions, e.Action)
		return nil
	})
	if want := []string{"group.set-gid"}; err != nil || !slices.Equal(actions, want) {
		t.Errorf("%v, %v", actions, err)
	}
	if err := eve.Audit(ctx, scimserver.EventQuery{}, "stranger", func(scimserver.Event) error { return nil }); err == nil {
		t.Error("somebody unknown has an audit log")
	}
}

func TestAnEventNamesFiftyMembersAtMost(t *testing.T) {
	t.Parallel()
	h := open(t)
	var ids []string
	for i := range 53 {
		ids = append(ids, h.newUser(fmt.Sprint("user", i)))
	}
	group := ""
	for _, c := range []struct {
		attr string
		do   func()
		n    int
	}{
		{"members.added", func() { group = h.newGroup("Few", ids[:50]...) }, 50},
		{"members.added", func() { h.do("PUT", "/Groups/"+group, `{"displayName":"Few","members":`+values(ids...)+`}`).ok(200) }, 3},
		{"members.removed", func() { h.do("DELETE", "/Groups/"+group, "").ok(204) }, 53},
	} {
		e := h.heard(c.do)
		_, after, _ := strings.Cut(changed(t, e)[c.attr], " ")
		var list []string
		if err := json.Unmarshal([]byte(after), &list); err != nil {
			t.Fatal(err)
		}
		if c.n <= 50 && len(list) != c.n || c.n > 50 && (len(list) != 51 || list[50] != fmt.Sprintf("(%d more)", c.n-50)) {
			t.Errorf("%s of %d: %d elements, %v", c.attr, c.n, len(list), list)
		}
		for _, id := range list[:min(c.n, 50)] {
			if roster.CheckID(id) != nil || !slices.Contains(ids, id) {
				t.Errorf("%q is no member's id", id)
			}
		}
	}
}

func TestEachOperationOfABulkRequestHasItsEvent(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.do("POST", "/Bulk", `{"Operations":[
		{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"ada"}},
		{"method":"POST","path":"/Users","bulkId":"r","data":{"userName":"root"}},
		{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"Eng","members":[{"value":"bulkId:a"}]}},
		{"method":"DELETE","path":"/Users/bulkId:a"}]}`).ok(200)
	var told []string
	for _, e := range h.events("") {
		told = append(told, e.Actor+" "+e.Action)
	}
	want := []string{"token test scim user.create", "token test scim group.create", "token test scim user.delete"}
	if !slices.Equal(told, want) {
		t.Errorf("events %v, want %v", told, want)
	}
}
