package main

import (
	"errors"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

// see has nodes seen where the feed stands, some changes ago.
func (s *transcript) see(lag int64, seen time.Time, names ...string) {
	s.t.Helper()
	s.withStore(func(store scimserver.Store) {
		err := store.Update(s.t.Context(), func(tx scimserver.Tx) error {
			at, err := tx.Position()
			for _, name := range names {
				err = errors.Join(err, tx.SeeNode(scimserver.Sighting{Name: name, Version: "1.4", Seen: seen, Epoch: at.Epoch, Position: at.Seq - lag}))
			}
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	})
}

func TestNodeCommands(t *testing.T) {
	s := newTranscript(t, "nodes")
	s.run("token create provider --scope scim")
	s.both("node list")
	s.run("user add ada@acme.example")
	s.run("user add bob@acme.example")
	now := time.Now()
	s.see(0, now, "web1")
	s.see(2, now.Add(-time.Hour), "old")
	s.withStore(func(store scimserver.Store) {
		err := store.Update(t.Context(), func(tx scimserver.Tx) error {
			return errors.Join(
				tx.PutNode(scimserver.Node{Name: "web1", Version: "1.4", Seen: now, Quarantined: 2, Result: "the fuse holds change 2 back"}),
				tx.SeeNode(scimserver.Sighting{Name: "before-the-restore", Version: "1.3", Seen: now, Epoch: "another", Position: 9}),
				tx.SeeNode(scimserver.Sighting{Name: "odd name", Seen: now}))
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.both("node list")
	s.run("node list --node-offline-after 2h")
	s.run("node list --node-offline-after 30s")
	s.run("node forget old")
	s.run("node forget old --json")
	s.withStore(func(store scimserver.Store) {
		err := store.Update(t.Context(), func(tx scimserver.Tx) error {
			return tx.SeeNode(scimserver.Sighting{Name: "gone", Seen: now.Add(-24 * time.Hour)})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.run("node forget gone --json")
	s.run("audit --last 2")
}

func TestANodeThatLivesIsNotForgotten(t *testing.T) {
	s := newTranscript(t, "nodes-live")
	s.run("token create provider --scope scim")
	s.see(0, time.Now(), "web1")
	s.withStore(func(store scimserver.Store) {
		err := store.Update(t.Context(), func(tx scimserver.Tx) error {
			return tx.PutRow(roster.Row{Group: &roster.Group{ID: "g", Name: "g", GID: 5000}})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.run("node forget web1")
	s.run("node forget web2")
	s.run("node list")
}

func TestRevokeStatus(t *testing.T) {
	s := newTranscript(t, "revoke")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example")
	s.run("revoke status ada")
	s.run("revoke status nobody-here")
	s.run("user lock ada")
	s.both("revoke status ada")
	now := time.Now()
	s.see(0, now, "web1", "web2")
	s.see(1, now, "late")
	s.see(1, now.Add(-time.Hour), "asleep")
	s.both("revoke status ada")
	s.remark("what is changed after the lock is not waited for")
	s.run("user add bob@acme.example")
	s.see(1, now, "late", "asleep")
	s.both("revoke status ada")
	s.remark("the last lock counts")
	s.run("user unlock ada")
	s.run("user delete ada")
	s.see(0, now, "web1", "web2", "late")
	s.run("revoke status ada@acme.example")
	s.see(0, now, "asleep")
	s.run("revoke status ada")
}
