package scimserver_test

import (
	"fmt"
	"testing"
	"time"

	"pwb/scimserver"
)

// named is what a front end says of somebody for whom it has no name of its own.
func named(username string) scimserver.Claims {
	return scimserver.Claims{Issuer: scimserver.ProxyIssuer, Subject: username, Username: username}
}

func TestTheSubjectsOfOneFrontEndAreNotThoseOfAnother(t *testing.T) {
	t.Parallel()
	h := open(t, believing)
	portal, batch := h.newToken("portal", scimserver.ScopeJITProxy, time.Now(), 0), h.newToken("batch", scimserver.ScopeJITProxy, time.Now(), 0)
	say := func(token, body string) map[string]any {
		t.Helper()
		return h.postRegisterAs(token, 200, body)
	}
	// Each counts its people from 1.
	ada := say(portal, `{"username":"ada","subject":"1"}`)
	bob := say(batch, `{"username":"bob","subject":"1"}`)
	if ada["uid"] == bob["uid"] || bob["name"] != "bob" {
		t.Fatalf("two people are one account: %v, then %v", ada, bob)
	}
	// A username is no subject either.
	if one := say(portal, `{"username":"1"}`); one["uid"] == ada["uid"] {
		t.Errorf("who is called as another's subject is %v, and that one %v", one, ada)
	}
	// Whom both know by the username is one person, and stays so.
	if again := say(batch, `{"username":"ada","subject":"2"}`); again["uid"] != ada["uid"] {
		t.Errorf("ada is %v at the one and %v at the other", ada, again)
	}
	if again := say(batch, `{"username":"ada","subject":"2"}`); again["uid"] != ada["uid"] {
		t.Errorf("once more: %v", again)
	}
	h.checkStore()
}

func TestAUserNameThatIsAnothersByNowDoesNotOpenTheFormerOnesAccount(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	first := h.newUser("ada@acme.example")
	if reg := h.register(named("ada@acme.example")); reg.ID != first {
		t.Fatalf("matched %+v", reg)
	}
	// She marries; a year later another Ada comes.
	h.do("PATCH", "/Users/"+first, patch(`{"op":"replace","path":"userName","value":"lovelace@acme.example"}`)).ok(200)
	if reg := h.register(named("ada@acme.example")); reg.ID != first {
		t.Errorf("while nobody else has the name: %+v", reg)
	}
	second := h.newUser("ada@acme.example")
	h.refuses(named("ada@acme.example"), scimserver.Taken, "another user", "user unbind "+first)
	if _, err := h.steward().Unbind(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for _, who := range []struct{ username, id string }{{"ada@acme.example", second}, {"lovelace@acme.example", first}} {
		if reg := h.register(named(who.username)); reg.ID != who.id {
			t.Errorf("%s is %s, want %s", who.username, fmt.Sprint(reg), who.id)
		}
	}
	// One who was deleted opens nothing either.
	h.do("DELETE", "/Users/"+second, "").ok(204)
	h.refuses(named("ada@acme.example"), scimserver.Departed)
	third := h.do("POST", "/Users", `{"userName":"ada@acme.example","externalId":"the third"}`).ok(201).id()
	h.refuses(named("ada@acme.example"), scimserver.Taken, "user unbind "+second)
	if _, err := h.steward().Unbind(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if reg := h.register(named("ada@acme.example")); reg.ID != third {
		t.Errorf("the third Ada is %+v", reg)
	}
	h.checkStore()
}
