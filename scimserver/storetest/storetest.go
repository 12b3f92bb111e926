// Package storetest is the suite that every scimserver.Store passes: each
// promise in the prose of that interface, held against a store from outside.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// patience bounds waits that end at once unless something is wrong.
const patience = 30 * time.Second

// Run runs the suite. open opens a new, empty store; reopen opens the same data
// once more, be the first store closed or not, as another process would. Run
// closes every store that it was given.
func Run(t *testing.T, open func(t *testing.T) (store scimserver.Store, reopen func() scimserver.Store)) {
	for _, section := range []struct {
		name  string
		tests []test
	}{
		{"resources", resourceTests},
		{"updates", updateTests},
		{"feed", feedTests},
		{"ledger", ledgerTests},
		{"subjects", subjectTests},
		{"events", eventTests},
		{"nodes", nodeTests},
		{"tokens", tokenTests},
		{"identities", identityTests},
		{"concurrency", concurrencyTests},
	} {
		t.Run(section.name, func(t *testing.T) {
			for _, test := range section.tests {
				t.Run(test.sentence, func(t *testing.T) {
					t.Parallel()
					test.run(t, &env{t: t, open: open})
				})
			}
		})
	}
}

type test struct {
	sentence string
	run      func(t *testing.T, e *env)
}

// env gives a test its stores and closes those that are left.
type env struct {
	t    *testing.T
	open func(t *testing.T) (scimserver.Store, func() scimserver.Store)
}

// fresh opens an empty store.
func (e *env) fresh() (*store, func() *store) {
	s, reopen := e.open(e.t)
	return e.own(s), func() *store { return e.own(reopen()) }
}

func (e *env) own(s scimserver.Store) *store {
	owned := &store{Store: s, t: e.t}
	e.t.Cleanup(owned.close)
	return owned
}

// fataler is a *testing.T or *rapid.T.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// store is the store under test with methods that fail the test.
type store struct {
	scimserver.Store
	t      fataler
	closed bool
}

func (s *store) close() {
	s.t.Helper()
	if s.closed {
		return
	}
	s.closed = true
	if err := s.Close(); err != nil {
		s.t.Errorf("Close: %v", err)
	}
}

// update runs fn, which must succeed. fn runs on a goroutine of the store, so
// it returns what is wrong and does not end the test.
func (s *store) update(fn func(tx scimserver.Tx) error) {
	s.t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		s.t.Fatalf("Update: %v", err)
	}
}

func (s *store) view(fn func(v scimserver.View) error) {
	s.t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		s.t.Fatalf("View: %v", err)
	}
}

func (s *store) position() (p roster.Position) {
	s.t.Helper()
	s.view(func(v scimserver.View) (err error) {
		p, err = v.Position()
		return err
	})
	return p
}

// state is the whole roster as text and where it stands. It fails when the
// digest is not that of the rows.
type state struct {
	at   roster.Position
	rows map[string]string
}

func (s *store) state() (st state) {
	s.t.Helper()
	s.view(func(v scimserver.View) (err error) {
		st, err = readState(v)
		return err
	})
	return st
}

func readState(v scimserver.View) (state, error) {
	at, err := v.Position()
	if err != nil {
		return state{}, err
	}
	st := state{at: at, rows: map[string]string{}}
	var sum roster.Sum
	last := ""
	err = v.Snapshot(func(c roster.Change) error {
		if c.Key <= last {
			return fmt.Errorf("snapshot: row %s comes after row %s", c.Key, last)
		}
		if c.Line == nil {
			return fmt.Errorf("snapshot: row %s is gone", c.Key)
		}
		parsed, err := roster.ParseChange(c.Line)
		if err != nil || parsed.Key != c.Key {
			return fmt.Errorf("snapshot: row %s has the line %q: %v", c.Key, c.Line, err)
		}
		last = c.Key
		sum.Add(c.Line)
		st.rows[c.Key] = string(c.Line)
		return nil
	})
	if err == nil {
		accounts := 0
		for key := range st.rows {
			if strings.HasPrefix(key, "a/") {
				accounts++
			}
		}
		var counted int
		if counted, err = v.Accounts(); err == nil && counted != accounts {
			err = fmt.Errorf("%d accounts are counted, and %d are there", counted, accounts)
		}
	}
	if err == nil && sum != at.Sum {
		err = fmt.Errorf("the rows have the digest %v, the position at seq %d says %v", sum, at.Seq, at.Sum)
	}
	return st, err
}

// changes is what Changes yields, checked for order.
func changes(v scimserver.View, after roster.Position) ([]roster.Change, error) {
	var all []roster.Change
	err := v.Changes(after, func(c roster.Change) error {
		if n := len(all); n > 0 && c.Key <= all[n-1].Key {
			return fmt.Errorf("changes: row %s comes after row %s", c.Key, all[n-1].Key)
		}
		all = append(all, roster.Change{Key: c.Key, Line: bytes.Clone(c.Line)})
		return nil
	})
	return all, err
}

// when is a time of the precision that stores keep.
var when = time.Date(2026, 3, 4, 5, 6, 7, 891e6, time.UTC)

func user(id string) scimserver.Resource {
	return scimserver.Resource{
		Kind: scimserver.KindUser, ID: id, Name: "name-" + id, Version: 1, Created: when, Modified: when,
		Doc: fmt.Appendf(nil, `{"userName":"Name-%s"}`, id),
	}
}

func group(id string) scimserver.Resource {
	return scimserver.Resource{
		Kind: scimserver.KindGroup, ID: id, Name: "name-" + id, Display: "name-" + id, Version: 1, Created: when, Modified: when,
		Doc: fmt.Appendf(nil, `{"displayName":"Name-%s"}`, id),
	}
}

func entry(subject string) ledger.Entry {
	return ledger.Entry{Subject: subject, Name: "n-" + subject, Given: when}
}

func account(id string, uid uint32) roster.Row {
	return roster.Row{Account: &roster.Account{ID: id, Name: "n" + id, UID: uid, GID: uid, Home: "/home/n" + id, Shell: "/bin/sh"}}
}

func member(group, user string) roster.Row {
	return roster.Row{Member: &roster.Member{GroupID: group, AccountID: user}}
}

// find lists the ids that a query yields.
func find(v scimserver.View, kind scimserver.Kind, q scimserver.Query) (ids []string, total int, err error) {
	total, err = v.Find(kind, q, func(r scimserver.Resource) error {
		ids = append(ids, r.ID)
		return nil
	})
	return ids, total, err
}

// refs lists what Members or Memberships yields.
func refs(each func(string, func(scimserver.Ref) error) error, id string) (all []scimserver.Ref, err error) {
	err = each(id, func(r scimserver.Ref) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

func (s *store) wantRefs(what string, each func(scimserver.View) func(string, func(scimserver.Ref) error) error, id string, want ...scimserver.Ref) {
	s.t.Helper()
	s.view(func(v scimserver.View) error {
		got, err := refs(each(v), id)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("%s of %s: %v, want %v", what, id, got, want)
		}
		return err
	})
}

func (s *store) wantMembers(group string, want ...scimserver.Ref) {
	s.t.Helper()
	s.wantRefs("members", func(v scimserver.View) func(string, func(scimserver.Ref) error) error { return v.Members }, group, want...)
}

func (s *store) wantMemberships(user string, want ...scimserver.Ref) {
	s.t.Helper()
	s.wantRefs("memberships", func(v scimserver.View) func(string, func(scimserver.Ref) error) error { return v.Memberships }, user, want...)
}
