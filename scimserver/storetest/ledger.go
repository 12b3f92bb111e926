package storetest

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

var ledgerTests = []test{
	{"a number is one subject's for ever as uid, and one's as gid", numberIsForEver},
	{"a name is one subject's for ever", nameIsForEver},
	{"each cursor is kept for its start, and goes back with an update that fails", cursors},
	{"all that a subject owns is listed in order, and all that anybody owns", possessions},
}

func numberIsForEver(t *testing.T, e *env) {
	s, reopen := e.fresh()
	type give = func(scimserver.Tx, uint32, ledger.Entry) error
	uid, gid := give(scimserver.Tx.GiveUID), give(scimserver.Tx.GiveGID)
	check := func(sentence string, give give, n uint32, subject string, want error) {
		t.Helper()
		if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return give(tx, n, entry(subject)) }); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", sentence, err, want)
		}
	}
	s.update(func(tx scimserver.Tx) error { return tx.Insert(user("u1")) })
	check("a free uid", uid, 1000, "u1", nil)
	check("the same again", uid, 1000, "u1", nil)
	check("the uid for another", uid, 1000, "u2", ledger.ErrTaken)
	check("a free gid", gid, 1000, "u1", nil)
	check("the gid for another", gid, 1000, "u2", ledger.ErrTaken)
	check("the uid of one as the gid of another: apart", uid, 1001, "u1", nil)
	check("the gid of another as the uid of one: apart", gid, 1001, "g1", nil)
	check("the gid of another group", gid, 1001, "g2", ledger.ErrTaken)
	check("the uid of one for the owner of the gid", uid, 1001, "g1", ledger.ErrTaken)
	check("the gid of one for the owner of the uid", gid, 1001, "u1", ledger.ErrTaken)
	check("the greatest number", uid, math.MaxUint32, "u1", nil)
	check("the greatest number for another", uid, math.MaxUint32, "u2", ledger.ErrTaken)

	later := entry("u1")
	later.Name, later.Given = "renamed", when.Add(time.Hour)
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.GiveUID(1000, later), tx.Delete(scimserver.KindUser, "u1"))
	})
	s.close()
	s = reopen()
	check("the uid for another after deletion and reopening", uid, 1000, "u2", ledger.ErrTaken)
	s.view(func(v scimserver.View) error {
		for n, want := range map[uint32][2]ledger.Entry{
			1000:           {entry("u1"), entry("u1")},
			1001:           {entry("u1"), entry("g1")},
			math.MaxUint32: {entry("u1"), {}},
			1002:           {},
		} {
			if uid, gid, err := v.IDOwners(n); err != nil || uid != want[0] || gid != want[1] {
				t.Errorf("owners of %d: %+v and %+v, %v, want %+v", n, uid, gid, err, want)
			}
		}
		return nil
	})
}

func nameIsForEver(t *testing.T, e *env) {
	s, reopen := e.fresh()
	give := func(name, subject string) error {
		return s.Update(context.Background(), func(tx scimserver.Tx) error {
			en := entry(subject)
			en.Name = name
			return tx.GiveName(name, en)
		})
	}
	for _, c := range []struct {
		sentence, name, subject string
		want                    error
	}{
		{"a free name", "ada", "u1", nil},
		{"the same again", "ada", "u1", nil},
		{"a second name of the same", "eda", "u1", nil},
		{"a name of another user", "ada", "u2", ledger.ErrTaken},
		{"a name of a user for a group", "eda", "g1", ledger.ErrTaken},
		{"a name in other letters", "Ada", "u2", nil},
	} {
		if err := give(c.name, c.subject); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.sentence, err, c.want)
		}
	}
	s.close()
	s = reopen()
	if err := give("eda", "u2"); !errors.Is(err, ledger.ErrTaken) {
		t.Errorf("after reopening: %v", err)
	}
	s.view(func(v scimserver.View) error {
		if free, err := v.NameOwner("bob"); err != nil || free != (ledger.Entry{}) {
			t.Errorf("owner of a free name: %+v, %v", free, err)
		}
		got, err := v.NameOwner("eda")
		if want := (ledger.Entry{Subject: "u1", Name: "eda", Given: when}); !reflect.DeepEqual(got, want) {
			t.Errorf("owner of eda: %+v, want %+v", got, want)
		}
		return err
	})
}

func cursors(t *testing.T, e *env) {
	s, reopen := e.fresh()
	check := func(sentence string, slot ledger.Slot, start, want uint32) {
		t.Helper()
		s.update(func(tx scimserver.Tx) error {
			if n := tx.Cursor(slot, start); n != want {
				t.Errorf("%s: the cursor of slot %d from %d is %d, want %d", sentence, slot, start, n, want)
			}
			return nil
		})
	}
	set := func(slot ledger.Slot, start, next uint32) {
		t.Helper()
		s.update(func(tx scimserver.Tx) error {
			tx.SetCursor(slot, start, next)
			if n := tx.Cursor(slot, start); n != next {
				t.Errorf("within the update the cursor is %d, want %d", n, next)
			}
			return nil
		})
	}
	at := s.position()
	check("a new store", ledger.UserSlot, 1000, 0)
	check("a new store", ledger.GroupSlot, 1000, 0)
	check("a new store, from nowhere", ledger.UserSlot, 0, 0)
	set(ledger.UserSlot, 1000, math.MaxUint32)
	check("what was stored", ledger.UserSlot, 1000, math.MaxUint32)
	check("another slot", ledger.GroupSlot, 1000, 0)
	check("another start", ledger.UserSlot, 1001, 0)
	set(ledger.GroupSlot, 5000, 5001)
	check("a slot of its own", ledger.GroupSlot, 5000, 5001)
	check("the other one beside it", ledger.UserSlot, 1000, math.MaxUint32)
	set(ledger.UserSlot, 2000, 2001)
	check("a new start", ledger.UserSlot, 2000, 2001)
	check("the start before", ledger.UserSlot, 1000, 0)

	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		tx.SetCursor(ledger.UserSlot, 7, 8)
		tx.SetCursor(ledger.GroupSlot, 5000, 9)
		return no
	}); err != no {
		t.Fatal(err)
	}
	if s.position() != at {
		t.Error("the cursors move the feed")
	}
	s.close()
	s = reopen()
	check("after a failure and reopening", ledger.UserSlot, 2000, 2001)
	check("after a failure and reopening", ledger.UserSlot, 7, 0)
	check("after a failure and reopening", ledger.GroupSlot, 5000, 5001)
}

func possessions(t *testing.T, e *env) {
	s, _ := e.fresh()
	named := func(subject, name string) ledger.Entry {
		return ledger.Entry{Subject: subject, Name: name, Given: when}
	}
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(
			tx.GiveName("eda", named("u1", "eda")), tx.GiveGID(10_000, entry("u1")), tx.GiveUID(3_000_000_000, entry("u1")),
			tx.GiveUID(2000, entry("u1")), tx.GiveGID(2000, entry("u1")), tx.GiveName("ada", named("u1", "ada")),
			tx.GiveUID(10_000, entry("u2")), tx.GiveName("bob", named("u2", "bob")),
		)
	})
	numbers := []ledger.Possession{
		{UID: 2000, Entry: entry("u1")},
		{GID: 2000, Entry: entry("u1")},
		{UID: 10_000, Entry: entry("u2")},
		{GID: 10_000, Entry: entry("u1")},
		{UID: 3_000_000_000, Entry: entry("u1")},
	}
	names := []ledger.Possession{
		{Name: "ada", Entry: named("u1", "ada")},
		{Name: "bob", Entry: named("u2", "bob")},
		{Name: "eda", Entry: named("u1", "eda")},
	}
	all := append(slices.Clone(numbers), names...)
	of := func(subject string) []ledger.Possession {
		return slices.DeleteFunc(slices.Clone(all), func(p ledger.Possession) bool { return p.Entry.Subject != subject })
	}
	s.view(func(v scimserver.View) error {
		for subject, want := range map[string][]ledger.Possession{"u1": of("u1"), "u2": of("u2"), "x": {}, "": all} {
			got := []ledger.Possession{}
			err := v.Possessions(subject, func(p ledger.Possession) error {
				got = append(got, p)
				return v.Possessions(subject, func(ledger.Possession) error { return nil }) // what is read may be read within
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("possessions of %q: %+v, %v, want %+v", subject, got, err, want)
			}
		}
		return nil
	})
}
