package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pwb/roster"
	"pwb/scimserver"
)

var feedTests = []test{
	{"a new store stands at the beginning", feedBegins},
	{"every change of a row counts one, and what is no change none", seqCounts},
	{"a row that changed often comes once, as it is now", coalesced},
	{"a row that is gone comes as a tombstone", tombstones},
	{"positions that were never reached are unknown", unknownPositions},
	{"moved is closed by the next change and by nothing else", movedByChange},
	{"moved is closed by a change of another process", movedByOther},
	{"memberships are read from either end", membershipRows},
	{"two stores have different epochs, one keeps its own", epochs},
	{"any history leads from each of its positions to the present", anyHistory},
}

// keyed is an account with SSH keys.
func keyed(id string, uid uint32, keys ...string) roster.Row {
	row := account(id, uid)
	row.Account.Keys = keys
	return row
}

func feedBegins(t *testing.T, e *env) {
	s, _ := e.fresh()
	st := s.state()
	if st.at.Seq != 0 || st.at.Sum != (roster.Sum{}) || len(st.rows) != 0 || roster.CheckID(st.at.Epoch) != nil {
		t.Errorf("%+v", st)
	}
	s.view(func(v scimserver.View) error {
		got, err := changes(v, st.at)
		if len(got) != 0 {
			t.Errorf("changes %v", got)
		}
		return err
	})
}

func seqCounts(t *testing.T, e *env) {
	s, _ := e.fresh()
	for i, c := range []struct {
		sentence string
		moves    int64
		fn       func(tx scimserver.Tx) error
	}{
		{"a new row", 1, func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1000)) }},
		{"the same row", 0, func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1000)) }},
		{"another value", 1, func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1001)) }},
		{"two changes of one row", 2, func(tx scimserver.Tx) error {
			return errors.Join(tx.PutRow(account("u1", 1002)), tx.PutRow(account("u1", 1001)))
		}},
		{"keys alone", 1, func(tx scimserver.Tx) error { return tx.PutRow(keyed("u1", 1001, "ssh-ed25519 AAAA")) }},
		{"the same keys", 0, func(tx scimserver.Tx) error { return tx.PutRow(keyed("u1", 1001, "ssh-ed25519 AAAA")) }},
		{"one key more", 1, func(tx scimserver.Tx) error {
			return tx.PutRow(keyed("u1", 1001, "ssh-ed25519 AAAA", "ssh-ed25519 BBBB"))
		}},
		{"the last key that goes", 1, func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1001)) }},
		{"three rows", 3, func(tx scimserver.Tx) error {
			return errors.Join(tx.PutRow(account("u2", 1002)), tx.PutRow(member("g1", "u1")), tx.PutRow(member("g1", "u2")))
		}},
		{"a row that goes", 1, func(tx scimserver.Tx) error { return tx.DropRow("m/g1/u1") }},
		{"a row that is gone", 0, func(tx scimserver.Tx) error { return tx.DropRow("m/g1/u1") }},
		{"a row that never was", 0, func(tx scimserver.Tx) error { return tx.DropRow("a/x") }},
		{"a row that comes back", 1, func(tx scimserver.Tx) error { return tx.PutRow(member("g1", "u1")) }},
		{"a row that comes and goes", 2, func(tx scimserver.Tx) error {
			return errors.Join(tx.PutRow(account("u3", 1)), tx.DropRow("a/u3"))
		}},
		{"what is not of the roster", 0, func(tx scimserver.Tx) error {
			return errors.Join(tx.Insert(user("u1")), tx.GiveUID(1, entry("u1")), tx.PutToken(token("t1", "one")))
		}},
	} {
		before := s.state()
		s.update(c.fn)
		after := s.state()
		if after.at.Seq-before.at.Seq != c.moves {
			t.Errorf("step %d, %s: from seq %d to %d", i+1, c.sentence, before.at.Seq, after.at.Seq)
		}
		if after.at.Seq == before.at.Seq && after.at != before.at {
			t.Errorf("step %d, %s: %v became %v", i+1, c.sentence, before.at, after.at)
		}
	}
	s.view(func(v scimserver.View) error {
		if _, err := v.Row("a/u3"); !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("a row that is gone: %v", err)
		}
		row, err := v.Row("m/g1/u1")
		if err == nil && (row.Member == nil || *row.Member != (roster.Member{GroupID: "g1", AccountID: "u1"})) {
			t.Errorf("row %+v", row)
		}
		return err
	})
}

func membershipRows(t *testing.T, e *env) {
	s, reopen := e.fresh()
	group := func(id string, gid uint32) roster.Row {
		return roster.Row{Group: &roster.Group{ID: id, Name: "n" + id, GID: gid}}
	}
	keys := func(each func(string, func(roster.Change) error) error, id string) (all []string) {
		err := each(id, func(c roster.Change) error {
			row, err := c.Row()
			if err == nil && row.Key() != c.Key {
				err = fmt.Errorf("row %s has the line %q", c.Key, c.Line)
			}
			all = append(all, c.Key)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return all
	}
	check := func(sentence string, s *store, members map[string][]string) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			for _, g := range []string{"g1", "g10", "g2", "g3", "u1"} {
				if got := keys(v.AccountsIn, g); !slices.Equal(got, members[g]) {
					t.Errorf("%s: accounts in %s: %q, want %q", sentence, g, got, members[g])
				}
			}
			for _, a := range []string{"u1", "u10", "u9", "g1"} {
				var want []string
				for _, g := range []string{"g1", "g10", "g2"} {
					if slices.Contains(members[g], "a/"+a) {
						want = append(want, "g/"+g)
					}
				}
				if got := keys(v.GroupsOf, a); !slices.Equal(got, want) {
					t.Errorf("%s: groups of %s: %q, want %q", sentence, a, got, want)
				}
			}
			stop := errors.New("enough")
			return errors.Join(v.AccountsIn("g9", func(roster.Change) error { return stop }), v.GroupsOf("u9", func(roster.Change) error { return stop }))
		})
	}
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(
			tx.PutRow(account("u1", 1001)), tx.PutRow(account("u10", 1010)), tx.PutRow(account("u2", 1002)),
			tx.PutRow(group("g1", 2001)), tx.PutRow(group("g10", 2010)), tx.PutRow(group("g2", 2002)),
			tx.PutRow(member("g1", "u2")), tx.PutRow(member("g1", "u10")), tx.PutRow(member("g10", "u1")),
			tx.PutRow(member("g2", "u1")), tx.PutRow(member("g2", "u3")), tx.PutRow(member("g3", "u1")),
		)
	})
	check("as they were put", s, map[string][]string{"g1": {"a/u10", "a/u2"}, "g10": {"a/u1"}, "g2": {"a/u1"}, "g3": {"a/u1"}})
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.DropRow("m/g1/u10"), tx.DropRow("a/u2"), tx.DropRow("m/g10/u1"), tx.PutRow(member("g10", "u1")))
	})
	want := map[string][]string{"g10": {"a/u1"}, "g2": {"a/u1"}, "g3": {"a/u1"}}
	check("after some went", s, want)
	check("in another process", reopen(), want)
	stop := errors.New("enough")
	err := s.View(context.Background(), func(v scimserver.View) error {
		return v.AccountsIn("g2", func(roster.Change) error { return stop })
	})
	if !errors.Is(err, stop) {
		t.Errorf("an error of yield became %v", err)
	}
}

func coalesced(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1000)) })
	after := s.position()
	for i := range 5 {
		s.update(func(tx scimserver.Tx) error {
			return errors.Join(tx.PutRow(account("u1", uint32(2000+i))), tx.PutRow(account("u0", uint32(3000+i))))
		})
	}
	s.view(func(v scimserver.View) error {
		got, err := changes(v, after)
		if len(got) != 2 || got[0].Key != "a/u0" || string(got[1].Line) != string(account("u1", 2004).Line()) {
			t.Errorf("changes %q", got)
		}
		return err
	})
}

func tombstones(t *testing.T, e *env) {
	s, _ := e.fresh()
	start := s.position()
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.PutRow(account("u1", 1)), tx.PutRow(account("u2", 2)))
	})
	both := s.position()
	s.update(func(tx scimserver.Tx) error { return tx.DropRow("a/u1") })
	s.view(func(v scimserver.View) error {
		for _, after := range []roster.Position{start, both} {
			got, err := changes(v, after)
			if err != nil {
				return err
			}
			if len(got) == 0 || got[0].Key != "a/u1" || got[0].Line != nil {
				t.Errorf("after %v: %q", after, got)
			}
		}
		got, err := changes(v, both)
		if len(got) != 1 {
			t.Errorf("changes %q", got)
		}
		return err
	})
}

func unknownPositions(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1)) })
	one := s.position()
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.PutRow(account("u2", 2)), tx.PutRow(account("u3", 3)))
	})
	three := s.position()

	within := one // seq 2 was passed within an update
	within.Seq = 2
	future := three
	future.Seq++
	past, negative := one, one
	past.Seq, negative.Seq = 0, -1
	otherSum, otherEpoch, swapped := one, one, three
	otherSum.Sum[31] ^= 1
	otherEpoch.Epoch = "other"
	swapped.Sum = one.Sum
	s.view(func(v scimserver.View) error {
		for sentence, p := range map[string]roster.Position{
			"nobody's":                      {},
			"one still to come":             future,
			"one within an update":          within,
			"one with another sum":          otherSum,
			"the present with an older sum": swapped,
			"the beginning with a sum":      past,
			"one before the beginning":      negative,
			"one of another epoch":          otherEpoch,
		} {
			err := v.Changes(p, func(c roster.Change) error {
				t.Errorf("%s: row %s", sentence, c.Key)
				return nil
			})
			if !errors.Is(err, scimserver.ErrUnknownPosition) {
				t.Errorf("%s: %v", sentence, err)
			}
		}
		for p, n := range map[roster.Position]int{one: 2, three: 0} {
			if got, err := changes(v, p); err != nil || len(got) != n {
				t.Errorf("after %v: %q, %v", p, got, err)
			}
		}
		return nil
	})
}

func closedNow(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func movedByChange(t *testing.T, e *env) {
	s, _ := e.fresh()
	moved := s.Moved()
	_ = s.Update(context.Background(), func(tx scimserver.Tx) error {
		return errors.Join(tx.PutRow(account("u1", 1)), errors.New("no"))
	})
	s.update(func(tx scimserver.Tx) error { return tx.Insert(user("u1")) })
	if closedNow(moved) {
		t.Error("moved without a change of the position")
	}
	other := s.Moved()
	s.update(func(tx scimserver.Tx) error { return tx.PutRow(account("u1", 1)) })
	for _, c := range []<-chan struct{}{moved, other} {
		select {
		case <-c:
		case <-time.After(patience):
			t.Fatal("a change of the position does not wake those who wait")
		}
	}
	if closedNow(s.Moved()) {
		t.Error("the next channel is closed from the start")
	}
}

func movedByOther(t *testing.T, e *env) {
	s, reopen := e.fresh()
	other := reopen()
	for i := range 3 {
		moved := s.Moved()
		other.update(func(tx scimserver.Tx) error { return tx.PutRow(account("u1", uint32(i))) })
		if want, got := other.position(), s.position(); got != want {
			t.Errorf("one store is at %v, the other at %v", got, want)
		}
		select {
		case <-moved:
		case <-time.After(patience):
			t.Fatal("what another process does is not noticed")
		}
	}
}

func epochs(t *testing.T, e *env) {
	s, reopen := e.fresh()
	mine := s.position().Epoch
	other, _ := e.fresh()
	if other.position().Epoch == mine {
		t.Error("two stores have one epoch")
	}
	s.close()
	if got := reopen().position().Epoch; got != mine {
		t.Errorf("the epoch was %s and is %s after reopening", mine, got)
	}
}

// anyHistory holds the feed against the simplest model there is: the rows
// after each update, kept whole.
func anyHistory(t *testing.T, e *env) {
	opened, _ := e.fresh()
	rapid.Check(t, func(rt *rapid.T) {
		// One store serves all histories; each begins with no rows in it.
		s := &store{Store: opened.Store, t: rt}
		s.update(func(tx scimserver.Tx) error {
			st, err := readState(tx)
			for key := range st.rows {
				err = errors.Join(err, tx.DropRow(key))
			}
			return err
		})
		history := []state{s.state()}
		touched := []map[string]bool{{}} // by the update that led to history[i]
		present := map[string]string{}
		key := rapid.Custom(func(rt *rapid.T) roster.Row {
			g, u := rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "g"), rapid.SampledFrom([]string{"1", "2", "3"}).Draw(rt, "u")
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				return account(u, rapid.Uint32Range(1, 3).Draw(rt, "uid"))
			case 1:
				return roster.Row{Group: &roster.Group{ID: g, Name: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "name"), GID: 1}}
			}
			return member(g, u)
		})
		update := func(fail bool) {
			rows := rapid.SliceOfN(key, 1, 5).Draw(rt, "rows")
			drop := rapid.SliceOfN(rapid.Bool(), len(rows), len(rows)).Draw(rt, "drop")
			after, keys := maps.Clone(present), map[string]bool{}
			count := int64(0)
			for i, r := range rows {
				line, was := after[r.Key()]
				switch {
				case drop[i] && was:
					delete(after, r.Key())
				case !drop[i] && line != string(r.Line()):
					after[r.Key()] = string(r.Line())
				default:
					continue
				}
				keys[r.Key()] = true
				count++
			}
			no := errors.New("no")
			err := s.Update(context.Background(), func(tx scimserver.Tx) error {
				for i, r := range rows {
					var err error
					if drop[i] {
						err = tx.DropRow(r.Key())
					} else {
						err = tx.PutRow(r)
					}
					if err != nil {
						return err
					}
				}
				if fail {
					return no
				}
				return nil
			})
			before := history[len(history)-1].at
			switch {
			case fail && err != no, !fail && err != nil:
				rt.Fatalf("Update: %v", err)
			case fail && s.position() != before:
				rt.Fatalf("a failed update moved the feed from %v to %v", before, s.position())
			case fail:
				return
			}
			st := s.state() // checks the sum
			if !maps.Equal(st.rows, after) {
				rt.Fatalf("rows %v, want %v", st.rows, after)
			}
			if st.at.Seq != before.Seq+count {
				rt.Fatalf("seq went from %d to %d over %d changes", before.Seq, st.at.Seq, count)
			}
			present = after
			if count > 0 {
				history, touched = append(history, st), append(touched, keys)
			}
		}
		for range rapid.IntRange(1, 10).Draw(rt, "updates") {
			update(rapid.IntRange(0, 4).Draw(rt, "fails") == 4)
		}
		s.view(func(v scimserver.View) error {
			for i, past := range history {
				delta, err := changes(v, past.at)
				if err != nil {
					return fmt.Errorf("changes after %v: %w", past.at, err)
				}
				may := map[string]bool{}
				for _, keys := range touched[i+1:] {
					maps.Copy(may, keys)
				}
				rows := maps.Clone(past.rows)
				for _, c := range delta {
					if !may[c.Key] {
						rt.Errorf("changes after %v: nobody touched row %s", past.at, c.Key)
					}
					delete(rows, c.Key)
					if c.Line != nil {
						rows[c.Key] = string(c.Line)
					}
				}
				if !maps.Equal(rows, present) {
					rt.Errorf("changes after %v lead to %v, not to %v", past.at, slices.Sorted(maps.Keys(rows)), present)
				}
			}
			return nil
		})
	})
}
