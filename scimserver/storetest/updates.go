package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

var updateTests = []test{
	{"an update that fails changes nothing and returns its error as it is", failingUpdate},
	{"an update that panics changes nothing and the store goes on", panickingUpdate},
	{"updates that fail do not touch those that run beside them", companions},
	{"an update sees what it has done", seesOwn},
	{"an update whose context has ended does not run", endedContext},
	{"a view stays what it was while updates go on", viewStays},
	{"a view sees every update that has returned", viewSees},
	{"a view returns the error of its function as it is", viewFails},
	{"a view that panics leaves the store in order", viewPanics},
	{"everything is there after reopening", survives},
}

func token(id, name string) scimserver.Token {
	t := scimserver.Token{ID: id, Name: name, Scope: scimserver.ScopeSCIM, Created: when, Expires: when.Add(time.Hour)}
	copy(t.Hash[:], "hash of "+id)
	return t
}

// everything changes all that a store keeps, for the subject id.
func everything(tx scimserver.Tx, id string, number uint32) error {
	errs := []error{
		tx.Insert(user("u" + id)), tx.Insert(group("g" + id)),
		tx.PutRow(account("u"+id, number)), tx.PutRow(member("g"+id, "u"+id)),
		tx.GiveUID(number, entry("u"+id)), tx.GiveGID(number, entry("u"+id)), tx.GiveName("n"+id, entry("u"+id)),
		tx.PutToken(token("t"+id, "token "+id)),
	}
	errs = append(errs,
		tx.PutSubject(ledger.Subject{ID: "u" + id, Held: true, Due: when}), tx.Record(event("user.create", "u"+id)),
		tx.PutNode(scimserver.Node{Name: "node " + id, Version: "1", Seen: when, IDs: []uint32{number}, Names: []string{"n" + id}}),
		tx.UseTokens(map[string]time.Time{"t" + id: when}),
	)
	_, err := tx.AddMember("g"+id, "u"+id)
	tx.SetCursor(ledger.UserSlot, 1000, number+1)
	tx.SetCursor(ledger.GroupSlot, 2000, number+2)
	return errors.Join(append(errs, err)...)
}

// dump is all that a store keeps for the subjects, as text.
func (s *store) dump(subjects ...string) string {
	s.t.Helper()
	var b strings.Builder
	s.view(func(v scimserver.View) error {
		st, err := readState(v)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%v %v\n", st.at, st.rows)
		for _, kind := range []scimserver.Kind{scimserver.KindUser, scimserver.KindGroup} {
			if _, err := v.Find(kind, scimserver.Query{Limit: 1000}, func(r scimserver.Resource) error {
				fmt.Fprintf(&b, "%+v %s\n", r, r.Doc)
				return nil
			}); err != nil {
				return err
			}
		}
		for _, id := range subjects {
			m, err1 := refs(v.Members, "g"+id)
			owner, err2 := v.NameOwner("n" + id)
			subject, err3 := v.Subject("u" + id)
			fmt.Fprintf(&b, "%v %+v %+v\n", m, owner, subject)
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
		}
		err1 := v.Possessions("", func(p ledger.Possession) error {
			fmt.Fprintf(&b, "%+v\n", p)
			return nil
		})
		err2 := v.Events(scimserver.EventQuery{}, func(e scimserver.Event) error {
			fmt.Fprintf(&b, "%+v\n", e)
			return nil
		})
		nodes, err3 := v.Nodes()
		all, err4 := v.Tokens()
		restored, err5 := v.Restored()
		fmt.Fprintf(&b, "%+v\n%+v\n%v\n", nodes, all, restored)
		return errors.Join(err1, err2, err3, err4, err5)
	})
	// The cursors are for writers alone to see.
	err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		fmt.Fprintf(&b, "cursors %d and %d\n", tx.Cursor(ledger.UserSlot, 1000), tx.Cursor(ledger.GroupSlot, 2000))
		return nil
	})
	if err != nil {
		s.t.Fatalf("read the cursors: %v", err)
	}
	return b.String()
}

func failingUpdate(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
	before := s.dump("1", "2")
	no := errors.New("no")
	err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		if err := errors.Join(everything(tx, "2", 1001), tx.Delete(scimserver.KindUser, "u1"), tx.DropRow("a/u1"), tx.DeleteToken("token 1")); err != nil {
			return err
		}
		return no
	})
	if err != no {
		t.Errorf("the error came back as %v", err)
	}
	if after := s.dump("1", "2"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func panickingUpdate(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
	before := s.dump("1", "2")
	err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		if err := everything(tx, "2", 1001); err != nil {
			return err
		}
		// While rows are being read, too.
		return tx.Members("g1", func(scimserver.Ref) error { panic("in the middle") })
	})
	if err == nil || !strings.Contains(err.Error(), "in the middle") {
		t.Errorf("the panic came back as %v", err)
	}
	if after := s.dump("1", "2"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	s.update(func(tx scimserver.Tx) error { return everything(tx, "2", 1001) })
}

func companions(t *testing.T, e *env) {
	s, _ := e.fresh()
	const n = 120
	no := errors.New("no")
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			errs[i] = s.Update(context.Background(), func(tx scimserver.Tx) error {
				if err := everything(tx, fmt.Sprint(i), uint32(1000+i)); err != nil {
					return err
				}
				switch i % 5 {
				case 1:
					return no
				case 2:
					panic("no")
				}
				return nil
			})
		})
	}
	all.Wait()
	want := 0
	s.view(func(v scimserver.View) error {
		for i, err := range errs {
			id := fmt.Sprint(i)
			_, missing := v.Resource(scimserver.KindUser, "u"+id)
			_, noRow := v.Row("a/u" + id)
			owner, _, noOwner := v.IDOwners(uint32(1000 + i))
			if noOwner == nil && owner.Subject == "" {
				noOwner = scimserver.ErrNotFound
			}
			switch i % 5 {
			case 1, 2:
				if err == nil || i%5 == 1 && err != no {
					t.Errorf("update %d returned %v", i, err)
				}
				for _, err := range []error{missing, noRow, noOwner} {
					if !errors.Is(err, scimserver.ErrNotFound) {
						t.Errorf("update %d failed and left something: %v", i, err)
					}
				}
			default:
				want++
				if err := errors.Join(err, missing, noRow, noOwner); err != nil {
					t.Errorf("update %d: %v", i, err)
				}
			}
		}
		return nil
	})
	st := s.state()
	if len(st.rows) != 2*want || st.at.Seq != int64(2*want) {
		t.Errorf("%d rows at seq %d, want %d", len(st.rows), st.at.Seq, 2*want)
	}
}

func seesOwn(t *testing.T, e *env) {
	s, _ := e.fresh()
	before := s.position()
	s.update(func(tx scimserver.Tx) error {
		if err := everything(tx, "1", 1000); err != nil {
			return err
		}
		_, err1 := tx.Resource(scimserver.KindUser, "u1")
		ids, total, err2 := find(tx, scimserver.KindGroup, scimserver.Query{Name: "name-g1", Limit: 9})
		m, err3 := refs(tx.Members, "g1")
		_, err4 := tx.Row("m/g1/u1")
		owner, _, err5 := tx.IDOwners(1000)
		name, err6 := tx.NameOwner("n1")
		_, err7 := tx.Token("t1")
		st, err8 := readState(tx)
		subject, err9 := tx.Subject("u1")
		node, err10 := tx.NodeWithID(1000)
		recorded, err11 := events(tx, scimserver.EventQuery{})
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11); err != nil {
			return err
		}
		if !subject.Held || node != "node 1" || len(recorded) != 1 {
			return fmt.Errorf("subject %+v, node %q, events %v", subject, node, recorded)
		}
		if !slices.Equal(ids, []string{"g1"}) || total != 1 || len(m) != 1 || owner.Subject != "u1" || name.Subject != "u1" || tx.Cursor(ledger.UserSlot, 1000) != 1001 {
			return fmt.Errorf("found %v of %d, members %v, owners %+v and %+v, cursor %d", ids, total, m, owner, name, tx.Cursor(ledger.UserSlot, 1000))
		}
		if len(st.rows) != 2 || st.at.Seq != 2 || st.at.Epoch != before.Epoch {
			return fmt.Errorf("position %v with rows %v", st.at, st.rows)
		}
		delta, err := changes(tx, before)
		if err == nil && len(delta) != 2 {
			err = fmt.Errorf("%d changes", len(delta))
		}
		return err
	})
	if at := s.position(); at.Seq != 2 {
		t.Errorf("position %v", at)
	}
}

func endedContext(t *testing.T, e *env) {
	s, _ := e.fresh()
	why := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	for range 20 { // were it a matter of chance, it would show
		err := s.Update(ctx, func(tx scimserver.Tx) error {
			t.Error("the function runs")
			return nil
		})
		if !errors.Is(err, why) {
			t.Fatalf("Update: %v", err)
		}
	}
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
}

func viewStays(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
	s.view(func(v scimserver.View) error {
		before, err := readState(v)
		if err != nil {
			return err
		}
		for i := 2; i < 6; i++ {
			s.update(func(tx scimserver.Tx) error {
				return errors.Join(everything(tx, fmt.Sprint(i), uint32(1000+i)), tx.PutRow(account("u1", uint32(2000+i))))
			})
		}
		after, err := readState(v)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(after, before) {
			t.Errorf("the view was at %v and is at %v", before, after)
		}
		_, noUser := v.Resource(scimserver.KindUser, "u2")
		_, noToken := v.Token("t2")
		for _, err := range []error{noUser, noToken} {
			if !errors.Is(err, scimserver.ErrNotFound) {
				t.Errorf("the view sees what came later: %v", err)
			}
		}
		name, err := v.NameOwner("n2")
		recorded, err2 := events(v, scimserver.EventQuery{})
		nodes, err3 := v.Nodes()
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
		if name.Subject != "" || len(recorded) != 1 || len(nodes) != 1 {
			t.Errorf("the view sees what came later: %+v, %v, %v", name, recorded, nodes)
		}
		row, err := v.Row("a/u1")
		if err == nil && row.Account.UID != 1000 {
			t.Errorf("the view sees uid %d", row.Account.UID)
		}
		return err
	})
}

func viewSees(t *testing.T, e *env) {
	s, _ := e.fresh()
	for i := range 100 {
		s.update(func(tx scimserver.Tx) error { return tx.PutRow(account("u1", uint32(1000+i))) })
		s.view(func(v scimserver.View) error {
			row, err := v.Row("a/u1")
			if err == nil && row.Account.UID != uint32(1000+i) {
				t.Errorf("after update %d the view sees %d", i, row.Account.UID-1000)
			}
			return err
		})
	}
}

func viewFails(t *testing.T, e *env) {
	s, _ := e.fresh()
	no := errors.New("no")
	for range 100 { // more often than any pool has connections
		if err := s.View(context.Background(), func(v scimserver.View) error { return no }); err != no {
			t.Fatalf("the error came back as %v", err)
		}
	}
	why := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if err := s.View(ctx, func(v scimserver.View) error { return nil }); err != nil && !errors.Is(err, why) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func viewPanics(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
	for range 100 {
		func() {
			defer func() {
				if p := recover(); p != "in the middle" {
					t.Errorf("recovered %v", p)
				}
			}()
			_ = s.View(context.Background(), func(v scimserver.View) error {
				return v.Snapshot(func(roster.Change) error { panic("in the middle") })
			})
		}()
	}
	s.update(func(tx scimserver.Tx) error { return everything(tx, "2", 1001) })
	if n := len(s.state().rows); n != 4 {
		t.Errorf("%d rows", n)
	}
}

func survives(t *testing.T, e *env) {
	s, reopen := e.fresh()
	start := s.position()
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
	middle := s.position()
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(everything(tx, "2", 1001), tx.DropRow("a/u1"), tx.Delete(scimserver.KindUser, "u1"))
	})
	before := s.dump("1", "2")
	s.close()
	s = reopen()
	if after := s.dump("1", "2"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	s.view(func(v scimserver.View) error {
		for _, after := range []roster.Position{start, middle} {
			if got, err := changes(v, after); err != nil || len(got) == 0 {
				t.Errorf("changes after %v: %v, %v", after, got, err)
			}
		}
		return nil
	})
	s.update(func(tx scimserver.Tx) error { return everything(tx, "3", 1002) })
}
