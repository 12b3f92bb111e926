package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pwb/scimserver"
)

var identityTests = []test{
	{"an identity is one user's, and a user has one at each issuer", identitiesAreBound},
	{"what is used once is used once, until its moment has come", usedOnce},
}

func identitiesAreBound(t *testing.T, e *env) {
	s, reopen := e.fresh()
	ada := scimserver.Identity{Issuer: "https://id.example", Sub: "1", Subject: "u1", Made: true, Bound: when}
	other := scimserver.Identity{Issuer: "proxy", Sub: "1", Subject: "u1", Bound: when}
	at := s.position()
	s.update(func(tx scimserver.Tx) error { return errors.Join(tx.Bind(other), tx.Bind(ada)) })
	for sentence, i := range map[string]scimserver.Identity{
		"the sub of another user":        {Issuer: ada.Issuer, Sub: "1", Subject: "u2", Bound: when},
		"another sub of the same user":   {Issuer: ada.Issuer, Sub: "2", Subject: "u1", Bound: when},
		"the very same identity as well": ada,
	} {
		if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.Bind(i) }); !errors.Is(err, scimserver.ErrTaken) {
			t.Errorf("%s: %v, want ErrTaken", sentence, err)
		}
	}
	s.close()
	s = reopen()
	s.view(func(v scimserver.View) error {
		got, err := v.Identity(ada.Issuer, "1")
		if got != ada {
			t.Errorf("%+v, want %+v", got, ada)
		}
		if _, err := v.Identity(ada.Issuer, "2"); !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("a sub that nobody has: %v", err)
		}
		all, err2 := v.Identities("u1")
		if want := []scimserver.Identity{ada, other}; !slices.Equal(all, want) {
			t.Errorf("%+v, want %+v", all, want)
		}
		return errors.Join(err, err2)
	})
	s.update(func(tx scimserver.Tx) error {
		n, err := tx.Unbind("u1")
		if n != 2 {
			err = errors.Join(err, fmt.Errorf("%d identities were unbound, want 2", n))
		}
		return errors.Join(err, tx.Bind(scimserver.Identity{Issuer: ada.Issuer, Sub: "1", Subject: "u2", Bound: when}))
	})
	if now := s.position(); now != at {
		t.Errorf("identities moved the feed from %v to %v", at, now)
	}
}

func usedOnce(t *testing.T, e *env) {
	s, reopen := e.fresh()
	use := func(b byte, now, until time.Time) error {
		return s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.UseOnce([32]byte{b}, now, until) })
	}
	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		return errors.Join(tx.UseOnce([32]byte{1}, when, when.Add(time.Hour)), no)
	}); !errors.Is(err, no) {
		t.Fatal(err)
	}
	if err := errors.Join(use(1, when, when.Add(time.Hour)), use(2, when, when.Add(time.Hour))); err != nil {
		t.Fatal(err) // what failed used nothing up
	}
	s.close()
	s = reopen()
	for _, now := range []time.Time{when, when.Add(time.Hour - time.Millisecond)} {
		if err := use(1, now, when.Add(2*time.Hour)); !errors.Is(err, scimserver.ErrTaken) {
			t.Errorf("at %v: %v, want ErrTaken", now, err)
		}
	}
	if err := use(1, when.Add(time.Hour), when.Add(2*time.Hour)); err != nil {
		t.Errorf("when its moment has come: %v", err)
	}
	if err := use(1, when.Add(time.Hour), when.Add(2*time.Hour)); !errors.Is(err, scimserver.ErrTaken) {
		t.Errorf("after that: %v, want ErrTaken", err)
	}
}
