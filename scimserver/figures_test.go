package scimserver_test

import (
	"errors"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

func TestFiguresFollowWhatChanges(t *testing.T) {
	t.Parallel()
	h := open(t)
	want := func(users, accounts, locked int) scimserver.Figures {
		t.Helper()
		f, err := h.steward().Figures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.Users != users || f.Accounts != accounts || f.Locked != locked {
			t.Errorf("%d users, %d accounts, %d locked; want %d, %d, %d", f.Users, f.Accounts, f.Locked, users, accounts, locked)
		}
		if f.Position != h.feed().at {
			t.Errorf("they are of %v, and the feed is at %v", f.Position, h.feed().at)
		}
		return f
	}
	want(0, 0, 0)
	ada, bob := h.newUser("ada"), h.newUser("bob")
	want(2, 2, 0)
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	want(2, 2, 1)
	want(2, 2, 1) // and again, though nothing changed
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"displayName","value":"Ada"}`)).ok(200)
	want(2, 2, 1)
	h.do("DELETE", "/Users/"+bob, "").ok(204)
	want(1, 2, 2)
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	f := want(1, 2, 1)
	if f.LastProvider().IsZero() || time.Since(f.LastProvider()) > time.Minute {
		t.Errorf("a provider came last at %v", f.LastProvider())
	}
	for _, token := range f.Tokens {
		if token.Hash != [32]byte{} {
			t.Errorf("what proves the token %s is among the figures", token.Name)
		}
	}
	// Who begins anew counts the same.
	again, err := scimserver.New(scimserver.Config{Store: h.store})
	if err != nil {
		t.Fatal(err)
	}
	if g, err := again.Operator("test").Figures(t.Context()); err != nil || g.Locked != f.Locked || g.Accounts != f.Accounts {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestFiguresTellNodesApart(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	h.newUser("ada")
	at := h.feed().at
	for name, result := range map[string]string{"held": roster.ResultFuse + " change 4 back", "pinned": roster.ResultPinned + " 3", "failing": "no space left", "well": ""} {
		h.update(func(tx scimserver.Tx) error {
			return errors.Join(
				tx.PutNode(scimserver.Node{Name: name, Seen: clock.now(), Result: result, Quarantined: 2}),
				tx.SeeNode(scimserver.Sighting{Name: name, Seen: clock.now(), Epoch: at.Epoch, Position: at.Seq}))
		})
	}
	clock.pass(time.Hour)
	// One node comes again, with its next request, which is not in the store yet.
	h.newUser("bob")
	h.sync("changes", query(h.feed().at, ""), "Pwb-Node", "well", "Pwb-Position", at.String())
	f, err := h.steward().Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := scimserver.Fleet{Online: 1, Offline: 3, Converged: 0, Lagging: 1, FuseHeld: 1, Pinned: 1, Failed: 1, Quarantined: 8}
	if got := scimserver.Summary(f.Nodes); got != want {
		t.Errorf("the fleet is %+v, want %+v", got, want)
	}
}
