package main

import (
	"testing"

	"pwb/roster"
	"pwb/scimserver"
)

func TestIDsCommands(t *testing.T) {
	s := newTranscript(t, "ids")
	s.run("token create provider --scope scim")
	s.both("ids check")
	s.run("user add ada@acme.example")
	s.run("group add Compilers --gid 6000")
	s.run("user renumber ada 7000")
	s.run("user lock ada")
	s.both("ids history 1001")
	s.both("ids history ada")
	s.both("ids history compilers")
	s.run("ids history ada --at '2001-02-03 04:05'")
	s.run("ids history ada --at 2001-02-03 --json")
	s.run("ids history ada --at 2999-01-01T00:00:00Z")
	s.run("ids history ada --at yesterday")
	s.run("ids history 4242")
	s.run("ids history nobody-here --json")
	s.both("ids check")
}

func TestIDsCheckSaysWhatIsNotAsItMustBe(t *testing.T) {
	s := newTranscript(t, "ids-wrong")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example")
	s.withStore(func(store scimserver.Store) {
		err := store.Update(t.Context(), func(tx scimserver.Tx) error {
			return tx.PutRow(roster.Row{Account: &roster.Account{ID: "stranger", Name: "stranger", UID: 1001, GID: 1001, Home: "/home/stranger", Shell: "/bin/sh"}})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.both("ids check")
}
