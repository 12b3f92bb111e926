package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

var resourceTests = []test{
	{"a resource comes back as it was stored", resourceComesBack},
	{"what is not there is ErrNotFound", notThere},
	{"a name is taken once within its kind", nameIsTaken},
	{"an update goes on after ErrTaken", goesOnAfterTaken},
	{"pages are in order and say how many there are", pages},
	{"resources are found by each field of a query", foundByField},
	{"an error of yield ends the reading and comes back", yieldFails},
	{"members are listed both ways", membersBothWays},
	{"members are users and groups that exist", membersExist},
	{"a user's or group's memberships go with it", deleteCascades},
	{"what is being read may be read and written within", readsNest},
}

func resourceComesBack(t *testing.T, e *env) {
	s, _ := e.fresh()
	full := scimserver.Resource{
		Kind: scimserver.KindUser, ID: "u1", Name: "ada ünal", ExternalID: "Ext 1", Display: "ada", Version: 1,
		Created: when, Modified: when.Add(time.Millisecond), Doc: []byte(`{"userName":"Ada Ünal","a":[1,null,"\u0000"]}`),
	}
	bare := user("u2")
	s.update(func(tx scimserver.Tx) error { return errors.Join(tx.Insert(full), tx.Insert(bare)) })
	check := func(want ...scimserver.Resource) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			for _, w := range want {
				if got, err := v.Resource(w.Kind, w.ID); err != nil || !reflect.DeepEqual(got, w) {
					t.Errorf("got %+v, %v, want %+v", got, err, w)
				}
			}
			var all []scimserver.Resource
			if _, err := v.Find(scimserver.KindUser, scimserver.Query{Limit: 9}, func(r scimserver.Resource) error {
				all = append(all, r)
				return nil
			}); err != nil || !reflect.DeepEqual(all, want) {
				t.Errorf("found %+v, %v, want %+v", all, err, want)
			}
			return nil
		})
	}
	check(full, bare)
	full.Name, full.ExternalID, full.Display, full.Version = "eda", "", "", 2
	full.Modified, full.Doc = when.Add(time.Hour), []byte(`{"userName":"Eda"}`)
	s.update(func(tx scimserver.Tx) error { return tx.Replace(full) })
	check(full, bare)
	s.update(func(tx scimserver.Tx) error { return tx.Delete(scimserver.KindUser, "u1") })
	check(bare)
}

func notThere(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return tx.Insert(user("u1")) })
	s.view(func(v scimserver.View) error {
		_, err1 := v.Resource(scimserver.KindUser, "x")
		_, err2 := v.Resource(scimserver.KindGroup, "u1")
		_, err3 := v.Row("a/u1")
		_, err4 := v.Token("x")
		_, err5 := v.TokenNamed("x")
		for i, err := range []error{err1, err2, err3, err4, err5} {
			if !errors.Is(err, scimserver.ErrNotFound) {
				t.Errorf("reading %d: %v", i+1, err)
			}
		}
		uid, gid, err1 := v.IDOwners(1000)
		name, err2 := v.NameOwner("ada")
		subject, err3 := v.Subject("x")
		byID, err4 := v.NodeWithID(1000)
		byName, err5 := v.NodeWithName("ada")
		none := ledger.Entry{}
		if uid != none || gid != none || name != none || byID != "" || byName != "" || !reflect.DeepEqual(subject, ledger.Subject{ID: "x"}) {
			t.Errorf("owners %+v, %+v and %+v, subject %+v, nodes %q and %q", uid, gid, name, subject, byID, byName)
		}
		return errors.Join(err1, err2, err3, err4, err5)
	})
	for i, fn := range []func(scimserver.Tx) error{
		func(tx scimserver.Tx) error { return tx.Replace(user("x")) },
		func(tx scimserver.Tx) error { return tx.Replace(group("u1")) },
		func(tx scimserver.Tx) error { return tx.Delete(scimserver.KindUser, "x") },
		func(tx scimserver.Tx) error { return tx.Delete(scimserver.KindGroup, "u1") },
		func(tx scimserver.Tx) error { return tx.DeleteToken("x") },
	} {
		if err := s.Update(context.Background(), fn); !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("writing %d: %v", i+1, err)
		}
	}
	s.view(func(v scimserver.View) error {
		_, err := v.Resource(scimserver.KindUser, "u1")
		return err
	})
}

func nameIsTaken(t *testing.T, e *env) {
	s, _ := e.fresh()
	u1, u2, g1 := user("u1"), user("u2"), group("g1")
	g1.Name = u1.Name
	s.update(func(tx scimserver.Tx) error { return errors.Join(tx.Insert(u1), tx.Insert(u2), tx.Insert(g1)) })
	thief := user("u3")
	thief.Name = u1.Name
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.Insert(thief) }); !errors.Is(err, scimserver.ErrTaken) {
		t.Errorf("insert with a name in use: %v", err)
	}
	renamed := u2
	renamed.Name = u1.Name
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.Replace(renamed) }); !errors.Is(err, scimserver.ErrTaken) {
		t.Errorf("replace with a name in use: %v", err)
	}
	s.view(func(v scimserver.View) error {
		got, err := v.Resource(scimserver.KindUser, "u2")
		if got.Name != u2.Name {
			t.Errorf("the name became %q", got.Name)
		}
		return err
	})
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.Replace(u2), tx.Delete(scimserver.KindUser, "u1"), tx.Replace(renamed))
	})
	heir := user("u4")
	heir.Name = u2.Name
	s.update(func(tx scimserver.Tx) error { return tx.Insert(heir) })
}

func goesOnAfterTaken(t *testing.T, e *env) {
	s, _ := e.fresh()
	taken := user("x")
	taken.Name = user("u1").Name
	s.update(func(tx scimserver.Tx) error {
		err := errors.Join(tx.Insert(user("u1")), tx.GiveName("ada", entry("u1")), tx.GiveUID(1000, entry("u1")), tx.PutToken(token("t1", "one")))
		if err != nil {
			return err
		}
		twice := token("t2", "one")
		for i, err := range []error{tx.Insert(taken), tx.GiveName("ada", entry("u2")), tx.GiveUID(1000, entry("u2")), tx.PutToken(twice)} {
			if !errors.Is(err, scimserver.ErrTaken) {
				return fmt.Errorf("step %d: %v", i+1, err)
			}
		}
		return errors.Join(tx.Insert(user("u2")), tx.GiveName("ada-2", entry("u2")))
	})
	s.view(func(v scimserver.View) error {
		ids, _, err := find(v, scimserver.KindUser, scimserver.Query{Limit: 9})
		if !slices.Equal(ids, []string{"u1", "u2"}) {
			t.Errorf("users %v", ids)
		}
		owner, err2 := v.NameOwner("ada-2")
		if owner.Subject != "u2" {
			t.Errorf("owner of ada-2: %+v", owner)
		}
		return errors.Join(err, err2)
	})
}

func pages(t *testing.T, e *env) {
	s, _ := e.fresh()
	const n = 250
	var want []string
	s.update(func(tx scimserver.Tx) error {
		for i := range n {
			// Ids that do not ascend: the order is that of the insertions.
			id := fmt.Sprintf("u%03d", i*7%n)
			want = append(want, id)
			if err := errors.Join(tx.Insert(user(id)), tx.Insert(group("g"+id))); err != nil {
				return err
			}
		}
		return nil
	})
	s.update(func(tx scimserver.Tx) error { // a change does not move a resource
		r := user(want[10])
		r.Version = 2
		return tx.Replace(r)
	})
	s.view(func(v scimserver.View) error {
		for _, c := range []struct{ offset, limit int }{
			{0, 1}, {0, 100}, {100, 100}, {200, 100}, {249, 1}, {250, 10}, {9999, 10}, {0, 9999}, {17, 0}, {0, 0},
		} {
			got, total, err := find(v, scimserver.KindUser, scimserver.Query{Offset: c.offset, Limit: c.limit})
			if err != nil {
				return err
			}
			if total != n {
				t.Errorf("%+v: total %d, want %d", c, total, n)
			}
			lo := min(c.offset, n)
			if page := want[lo:min(lo+c.limit, n)]; !slices.Equal(got, page) {
				t.Errorf("%+v: %v, want %v", c, got, page)
			}
		}
		return nil
	})
}

func foundByField(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error {
		var errs []error
		for _, id := range []string{"u1", "u2", "u3"} {
			r := user(id)
			r.ExternalID, r.Display = "Ext", "shown"
			if id == "u3" {
				r.ExternalID, r.Display = "ext", ""
			}
			g := group("g" + id)
			g.ExternalID = "Ext"
			errs = append(errs, tx.Insert(r), tx.Insert(g))
		}
		return errors.Join(errs...)
	})
	s.view(func(v scimserver.View) error {
		for _, c := range []struct {
			q     scimserver.Query
			want  []string
			total int
		}{
			{scimserver.Query{ID: "u2", Limit: 9}, []string{"u2"}, 1},
			{scimserver.Query{ID: "gu2", Limit: 9}, nil, 0},
			{scimserver.Query{ID: "U2", Limit: 9}, nil, 0},
			{scimserver.Query{Name: "name-u1", Limit: 9}, []string{"u1"}, 1},
			{scimserver.Query{Name: "name-x", Limit: 9}, nil, 0},
			{scimserver.Query{ExternalID: "Ext", Limit: 9}, []string{"u1", "u2"}, 2},
			{scimserver.Query{ExternalID: "ext", Limit: 9}, []string{"u3"}, 1},
			{scimserver.Query{ExternalID: "Ext", Limit: 1}, []string{"u1"}, 2},
			{scimserver.Query{ExternalID: "Ext", Limit: 1, Offset: 1}, []string{"u2"}, 2},
			{scimserver.Query{ExternalID: "Ext"}, nil, 2},
			{scimserver.Query{Display: "shown", Limit: 9}, []string{"u1", "u2"}, 2},
			{scimserver.Query{Name: "x' OR '1'='1", Limit: 9}, nil, 0},
		} {
			got, total, err := find(v, scimserver.KindUser, c.q)
			if err != nil {
				return err
			}
			if !slices.Equal(got, c.want) || total != c.total {
				t.Errorf("%+v: %v of %d, want %v of %d", c.q, got, total, c.want, c.total)
			}
		}
		return nil
	})
}

func yieldFails(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error {
		for _, id := range []string{"1", "2"} {
			if err := errors.Join(
				tx.Insert(user("u"+id)), tx.Insert(group("g"+id)), tx.PutRow(account("u"+id, 1000)),
				tx.GiveUID(1000, entry("u1")), tx.GiveName("n"+id, entry("u2")), tx.Record(event("user.create", "u"+id)),
				tx.PutSubject(ledger.Subject{ID: "u" + id, State: ledger.Departed, UserName: "ada"}),
			); err != nil {
				return err
			}
			for _, u := range []string{"u1", "u" + id} {
				for _, g := range []string{"g1", "g" + id} {
					if _, err := tx.AddMember(g, u); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	enough := errors.New("enough")
	s.view(func(v scimserver.View) error {
		start, err := v.Position()
		if err != nil {
			return err
		}
		start.Seq, start.Sum = 0, [32]byte{}
		for what, read := range map[string]func(fail func() error) error{
			"Find": func(fail func() error) error {
				_, err := v.Find(scimserver.KindUser, scimserver.Query{Limit: 9}, func(scimserver.Resource) error { return fail() })
				return err
			},
			"Members": func(fail func() error) error { return v.Members("g1", func(scimserver.Ref) error { return fail() }) },
			"Memberships": func(fail func() error) error {
				return v.Memberships("u1", func(scimserver.Ref) error { return fail() })
			},
			"Snapshot": func(fail func() error) error { return v.Snapshot(func(roster.Change) error { return fail() }) },
			"Changes":  func(fail func() error) error { return v.Changes(start, func(roster.Change) error { return fail() }) },
			"Possessions of numbers": func(fail func() error) error {
				return v.Possessions("u1", func(ledger.Possession) error { return fail() })
			},
			"Possessions of names": func(fail func() error) error {
				return v.Possessions("u2", func(ledger.Possession) error { return fail() })
			},
			"Subjects": func(fail func() error) error { return v.Subjects(func(ledger.Subject) error { return fail() }) },
			"Departed": func(fail func() error) error {
				return v.Departed("ada", func(ledger.Subject) error { return fail() })
			},
			"Events": func(fail func() error) error {
				return v.Events(scimserver.EventQuery{}, func(scimserver.Event) error { return fail() })
			},
		} {
			calls := 0
			if err := read(func() error { calls++; return enough }); err != enough || calls != 1 {
				t.Errorf("%s: %v after %d calls", what, err, calls)
			}
		}
		return nil
	})
}

func membersBothWays(t *testing.T, e *env) {
	s, _ := e.fresh()
	add := func(g, u string, want bool) {
		t.Helper()
		s.update(func(tx scimserver.Tx) error {
			changed, err := tx.AddMember(g, u)
			if changed != want {
				t.Errorf("add %s to %s changed: %v", u, g, changed)
			}
			return err
		})
	}
	remove := func(g, u string, want bool) {
		t.Helper()
		s.update(func(tx scimserver.Tx) error {
			changed, err := tx.RemoveMember(g, u)
			if changed != want {
				t.Errorf("remove %s from %s changed: %v", u, g, changed)
			}
			return err
		})
	}
	ref := func(id string) scimserver.Ref { return scimserver.Ref{ID: id, Display: "Name-" + id} }
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.Insert(user("u1")), tx.Insert(user("u2")), tx.Insert(user("u3")), tx.Insert(group("g1")), tx.Insert(group("g2")))
	})
	s.wantMembers("g1")
	add("g1", "u3", true)
	add("g1", "u1", true)
	add("g1", "u1", false)
	add("g2", "u1", true)
	s.wantMembers("g1", ref("u1"), ref("u3"))
	s.wantMembers("g2", ref("u1"))
	s.wantMemberships("u1", ref("g1"), ref("g2"))
	s.wantMemberships("u2")
	remove("g1", "u3", true)
	remove("g1", "u3", false)
	remove("g1", "u2", false)
	remove("g1", "x", false)
	remove("x", "u1", false)
	s.wantMembers("g1", ref("u1"))
	s.wantMemberships("u3")
	s.wantMembers("x")
	s.wantMembers("u1")
	s.wantMemberships("g1")
}

func membersExist(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.Insert(user("u1")), tx.Insert(group("g1")), tx.Insert(group("g2")))
	})
	for sentence, ids := range map[string][2]string{
		"no such user":          {"g1", "x"},
		"no such group":         {"x", "u1"},
		"a group as a member":   {"g1", "g2"},
		"a user as a group":     {"u1", "u1"},
		"a user that is a name": {"g1", user("u1").Name},
	} {
		err := s.Update(context.Background(), func(tx scimserver.Tx) error {
			_, err := tx.AddMember(ids[0], ids[1])
			return err
		})
		if !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	s.wantMembers("g1")
}

func deleteCascades(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error {
		err := errors.Join(tx.Insert(user("u1")), tx.Insert(user("u2")), tx.Insert(group("g1")), tx.Insert(group("g2")))
		for _, m := range [][2]string{{"g1", "u1"}, {"g1", "u2"}, {"g2", "u1"}, {"g2", "u2"}} {
			_, more := tx.AddMember(m[0], m[1])
			err = errors.Join(err, more)
		}
		return err
	})
	s.update(func(tx scimserver.Tx) error { return tx.Delete(scimserver.KindUser, "u1") })
	s.wantMembers("g1", scimserver.Ref{ID: "u2", Display: "Name-u2"})
	s.update(func(tx scimserver.Tx) error { return tx.Delete(scimserver.KindGroup, "g1") })
	s.wantMemberships("u2", scimserver.Ref{ID: "g2", Display: "Name-g2"})
	// Who comes back under the same id is a stranger to the groups.
	s.update(func(tx scimserver.Tx) error { return errors.Join(tx.Insert(user("u1")), tx.Insert(group("g1"))) })
	s.wantMembers("g1")
	s.wantMemberships("u1")
}

func readsNest(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error {
		var errs []error
		for i := range 5 {
			id := fmt.Sprint(i)
			errs = append(errs, tx.Insert(user("u"+id)), tx.Insert(group("g"+id)))
		}
		for g := range 5 {
			for u := range 5 {
				_, err := tx.AddMember(fmt.Sprint("g", g), fmt.Sprint("u", u))
				errs = append(errs, err, tx.PutRow(member(fmt.Sprint("g", g), fmt.Sprint("u", u))))
			}
		}
		return errors.Join(errs...)
	})
	all := scimserver.Query{Limit: 9}
	pairs := 0
	s.view(func(v scimserver.View) error {
		_, err := v.Find(scimserver.KindUser, all, func(r scimserver.Resource) error {
			return v.Memberships(r.ID, func(g scimserver.Ref) error {
				return v.Members(g.ID, func(scimserver.Ref) error {
					_, err := v.Find(scimserver.KindUser, all, func(scimserver.Resource) error { pairs++; return nil })
					return err
				})
			})
		})
		return err
	})
	if pairs != 5*5*5*5 {
		t.Errorf("%d readings within each other, want %d", pairs, 5*5*5*5)
	}
	s.update(func(tx scimserver.Tx) error {
		seen := 0
		err := tx.Memberships("u1", func(g scimserver.Ref) error {
			seen++
			return tx.DropRow(member(g.ID, "u1").Key())
		})
		if seen != 5 {
			return fmt.Errorf("%d memberships were seen while rows were dropped", seen)
		}
		return err
	})
	if n := len(s.state().rows); n != 20 {
		t.Errorf("%d rows are left, want 20", n)
	}
}
