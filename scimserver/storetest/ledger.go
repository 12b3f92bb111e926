package storetest

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"pwb/scimserver"
)

var ledgerTests = []test{
	{"a number is one subject's for ever, as uid and as gid", numberIsForEver},
	{"a name is one subject's for ever", nameIsForEver},
	{"the cursor is kept, and goes back with an update that fails", cursor},
	{"tokens are kept by id and unique by name", tokens},
}

func numberIsForEver(t *testing.T, e *env) {
	s, reopen := e.fresh()
	uid := func(n uint32, subject string) error {
		return s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.GiveUID(n, entry(subject)) })
	}
	gid := func(n uint32, subject string) error {
		return s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.GiveGID(n, entry(subject)) })
	}
	check := func(sentence string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", sentence, err, want)
		}
	}
	s.update(func(tx scimserver.Tx) error { return tx.Insert(user("u1")) })
	check("a free uid", uid(1000, "u1"), nil)
	check("the same again", uid(1000, "u1"), nil)
	check("the uid as the gid of the same", gid(1000, "u1"), nil)
	check("the uid for another", uid(1000, "u2"), scimserver.ErrTaken)
	check("the uid as another's gid", gid(1000, "u2"), scimserver.ErrTaken)
	check("a free gid", gid(1001, "g1"), nil)
	check("the gid as another's uid", uid(1001, "u1"), scimserver.ErrTaken)
	check("the gid for another group", gid(1001, "g2"), scimserver.ErrTaken)
	check("the greatest number", uid(math.MaxUint32, "u1"), nil)
	check("the greatest number for another", gid(math.MaxUint32, "u2"), scimserver.ErrTaken)

	later := entry("u1")
	later.Name, later.Given = "renamed", when.Add(time.Hour)
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.GiveUID(1000, later), tx.Delete(scimserver.KindUser, "u1"))
	})
	s.close()
	s = reopen()
	check("the uid for another after deletion and reopening", uid(1000, "u2"), scimserver.ErrTaken)
	s.view(func(v scimserver.View) error {
		for n, want := range map[uint32]scimserver.Entry{1000: entry("u1"), 1001: entry("g1"), math.MaxUint32: entry("u1")} {
			if got, err := v.IDOwner(n); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("owner of %d: %+v, %v, want %+v", n, got, err, want)
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
		{"a name of another user", "ada", "u2", scimserver.ErrTaken},
		{"a name of a user for a group", "eda", "g1", scimserver.ErrTaken},
		{"a name in other letters", "Ada", "u2", nil},
	} {
		if err := give(c.name, c.subject); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.sentence, err, c.want)
		}
	}
	s.close()
	s = reopen()
	if err := give("eda", "u2"); !errors.Is(err, scimserver.ErrTaken) {
		t.Errorf("after reopening: %v", err)
	}
	s.view(func(v scimserver.View) error {
		got, err := v.NameOwner("eda")
		if want := (scimserver.Entry{Subject: "u1", Name: "eda", Given: when}); !reflect.DeepEqual(got, want) {
			t.Errorf("owner of eda: %+v, want %+v", got, want)
		}
		return err
	})
}

func cursor(t *testing.T, e *env) {
	s, reopen := e.fresh()
	read := func() (n uint32) {
		s.update(func(tx scimserver.Tx) error { n = tx.Cursor(); return nil })
		return n
	}
	if n := read(); n != 0 {
		t.Errorf("the cursor begins at %d", n)
	}
	at := s.position()
	s.update(func(tx scimserver.Tx) error { tx.SetCursor(math.MaxUint32); return nil })
	if n := read(); n != math.MaxUint32 {
		t.Errorf("the cursor is %d", n)
	}
	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { tx.SetCursor(7); return no }); err != no {
		t.Fatal(err)
	}
	if s.position() != at {
		t.Error("the cursor moves the feed")
	}
	s.close()
	s = reopen()
	if n := read(); n != math.MaxUint32 {
		t.Errorf("after a failure and reopening the cursor is %d", n)
	}
}

func tokens(t *testing.T, e *env) {
	s, _ := e.fresh()
	one, two, eternal := token("t1", "one"), token("t2", "two"), token("t0", "eternal")
	two.Scope, two.Created = scimserver.ScopeNodeAdmin, when.Add(time.Second)
	eternal.Expires, eternal.Created = time.Time{}, when.Add(time.Minute)
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.PutToken(two), tx.PutToken(eternal), tx.PutToken(one))
	})
	want := func(all ...scimserver.Token) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			got, err := v.Tokens()
			if !reflect.DeepEqual(got, all) {
				t.Errorf("tokens %+v, want %+v", got, all)
			}
			for _, k := range all {
				if got, err := v.Token(k.ID); err != nil || !reflect.DeepEqual(got, k) {
					t.Errorf("token %+v, %v, want %+v", got, err, k)
				}
			}
			return err
		})
	}
	want(one, two, eternal)
	for sentence, k := range map[string]scimserver.Token{"name": token("t3", "one"), "id": token("t1", "three")} {
		if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.PutToken(k) }); !errors.Is(err, scimserver.ErrTaken) {
			t.Errorf("a second token of the same %s: %v", sentence, err)
		}
	}
	s.update(func(tx scimserver.Tx) error { return tx.DeleteToken("one") })
	want(two, eternal)
	s.view(func(v scimserver.View) error {
		if _, err := v.Token("t1"); !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("the token that was deleted: %v", err)
		}
		return nil
	})
	s.update(func(tx scimserver.Tx) error { return tx.PutToken(token("t4", "one")) })
}
