package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pwb/scimserver"
)

func TestFuseCommands(t *testing.T) {
	s := newTranscript(t, "fuse")
	s.run("token create provider --scope scim")
	s.both("fuse status")
	s.withStore(func(store scimserver.Store) {
		err := store.Update(t.Context(), func(tx scimserver.Tx) (err error) {
			for i := range 60 {
				err = errors.Join(err, tx.Record(scimserver.Event{
					At: time.Now(), Actor: "token provider", Action: "user.delete", Subject: fmt.Sprint("u", i), Changes: []byte("{}"), Loss: scimserver.LossDeleted,
				}))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.remark("the provider has deleted 60 users")
	s.both("fuse status")
	s.run("fuse status --fuse-count 70")
	s.run("fuse status --fuse-window 0")
	s.run("user add ada@acme.example")
	s.run("user lock ada")
	s.both("fuse release --for 30m")
	s.run("fuse status")
	s.run("fuse release --for 0")
	s.run("fuse release --fuse-count 0")
	s.run("fuse status --fuse-percent 101")
	s.run("audit --last 1")
}
