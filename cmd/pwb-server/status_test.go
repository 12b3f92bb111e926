package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

func TestStatusCommand(t *testing.T) {
	s := newTranscript(t, "status")
	s.run("status")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example")
	s.run("group add Compilers")
	s.run("user lock ada")
	s.both("status")
	s.withStore(func(store scimserver.Store) {
		err := store.Update(t.Context(), func(tx scimserver.Tx) (err error) {
			at, err := tx.Position()
			now := time.Now()
			for name, result := range map[string]string{
				"well": "", "failing": "disk full", "held": roster.ResultFuse + " change 3 back", "pinned": roster.ResultPinned + " 2", "picky": "",
			} {
				n := scimserver.Node{Name: name, Version: "1.0", Seen: now, Result: result}
				if name == "picky" {
					n.Quarantined = 3
				}
				err = errors.Join(err, tx.PutNode(n), tx.SeeNode(scimserver.Sighting{Name: name, Version: "1.0", Seen: now, Epoch: at.Epoch, Position: at.Seq}))
			}
			err = errors.Join(err, tx.SeeNode(scimserver.Sighting{Name: "away", Version: "1.0", Seen: now.Add(-time.Hour), Epoch: at.Epoch, Position: at.Seq}))
			for i := range 60 {
				err = errors.Join(err, tx.Record(scimserver.Event{
					At: now, Actor: "token provider", Action: "user.delete", Subject: fmt.Sprint("u", i), Changes: []byte("{}"), Loss: scimserver.LossDeleted,
				}))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.run("token create short --scope operator --duration 3")
	s.remark("five nodes, of which one is well, and one that is away; a provider that has deleted 60 users")
	s.both("status")
	s.run("status --min-free-bytes 1000000000000000000 --fuse-window 0")
	s.run("status surplus")
}
