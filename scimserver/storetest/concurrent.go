package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

var concurrencyTests = []test{
	{"64 callers at once lose nothing and give no number twice", manyCallers},
	{"readers see committed states alone", readersBesideWriters},
	{"two processes share the data without losing anything", twoProcesses},
	{"a store that closes has done what it has acknowledged", closeWhileBusy},
	{"a closed store says so", closedStore},
}

// take gives the next number to a subject the way an allocator does.
func take(tx scimserver.Tx, subject string) (uint32, error) {
	for n := max(tx.Cursor(ledger.UserSlot, 1000), 1000); ; n++ {
		uid, gid, err := tx.IDOwners(n)
		if err != nil {
			return 0, err
		}
		if uid.Subject != "" || gid.Subject != "" {
			continue
		}
		tx.SetCursor(ledger.UserSlot, 1000, n+1)
		if err := tx.GiveUID(n, entry(subject)); err != nil {
			return 0, err
		}
		return n, tx.PutRow(account(subject, n))
	}
}

func manyCallers(t *testing.T, e *env) {
	s, _ := e.fresh()
	const callers, each = 64, 10
	var all sync.WaitGroup
	var inserted, refused atomic.Int64
	for c := range callers {
		all.Go(func() {
			for i := range each {
				// Four callers fight for each name.
				id := fmt.Sprintf("%d-%d", c, i)
				u := user(id)
				u.Name = fmt.Sprintf("%d-%d", c/4, i)
				err := s.Update(context.Background(), func(tx scimserver.Tx) error {
					if _, err := take(tx, id); err != nil {
						return err
					}
					return tx.Insert(u)
				})
				switch {
				case err == nil:
					inserted.Add(1)
				case errors.Is(err, scimserver.ErrTaken):
					refused.Add(1)
				default:
					t.Errorf("update %s: %v", id, err)
				}
			}
		})
	}
	all.Wait()
	const want = callers / 4 * each
	if inserted.Load() != want || refused.Load() != 3*want {
		t.Errorf("%d inserted and %d refused, want %d and %d", inserted.Load(), refused.Load(), want, 3*want)
	}
	st := s.state()
	if len(st.rows) != want || st.at.Seq != want {
		t.Errorf("%d rows at seq %d, want %d", len(st.rows), st.at.Seq, want)
	}
	uids := map[uint32]string{}
	s.view(func(v scimserver.View) error {
		return v.Snapshot(func(c roster.Change) error {
			row, err := c.Row()
			if err != nil {
				return err
			}
			a := row.Account
			if other, twice := uids[a.UID]; twice {
				t.Errorf("uid %d is that of %s and %s", a.UID, other, a.ID)
			}
			uids[a.UID] = a.ID
			// Failed updates gave their numbers back: there is no gap.
			if a.UID < 1000 || a.UID >= 1000+want {
				t.Errorf("uid %d", a.UID)
			}
			return nil
		})
	})
}

func readersBesideWriters(t *testing.T, e *env) {
	s, _ := e.fresh()
	const rounds = 30
	write := func(i uint32) error {
		return s.Update(context.Background(), func(tx scimserver.Tx) error {
			return errors.Join(tx.PutRow(account("x", i)), tx.PutRow(account("y", i)))
		})
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		readers.Go(func() {
			for last := uint32(0); !stop.Load(); {
				err := s.View(context.Background(), func(v scimserver.View) error {
					x, err1 := v.Row("a/x")
					y, err2 := v.Row("a/y")
					if err := errors.Join(err1, err2); err != nil {
						return err
					}
					if x.Account.UID != y.Account.UID {
						return fmt.Errorf("half an update: %d and %d", x.Account.UID, y.Account.UID)
					}
					if x.Account.UID < last {
						return fmt.Errorf("back from %d to %d", last, x.Account.UID)
					}
					last = x.Account.UID
					_, err := readState(v)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Go(func() {
		for i := range uint32(rounds) {
			if err := write(i + 1); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}

func twoProcesses(t *testing.T, e *env) {
	a, reopen := e.fresh()
	b := reopen()
	const callers, each = 8, 10
	var all sync.WaitGroup
	for c := range callers {
		for p, s := range []*store{a, b} {
			all.Go(func() {
				for i := range each {
					id := fmt.Sprintf("%d-%d-%d", p, c, i)
					if err := s.Update(context.Background(), func(tx scimserver.Tx) error {
						_, err := take(tx, id)
						return errors.Join(err, tx.Insert(user(id)))
					}); err != nil {
						t.Errorf("update %s: %v", id, err)
					}
				}
			})
		}
	}
	all.Wait()
	const want = 2 * callers * each
	for i, s := range []*store{a, b} {
		st := s.state()
		if len(st.rows) != want || st.at.Seq != want {
			t.Errorf("store %d has %d rows at seq %d, want %d", i, len(st.rows), st.at.Seq, want)
		}
	}
	thief := user("thief")
	thief.Name = user("0-0-0").Name
	if err := b.Update(context.Background(), func(tx scimserver.Tx) error { return tx.Insert(thief) }); !errors.Is(err, scimserver.ErrTaken) {
		t.Errorf("a name that the other process gave: %v", err)
	}
}

func closeWhileBusy(t *testing.T, e *env) {
	s, reopen := e.fresh()
	const callers = 32
	var all sync.WaitGroup
	var mu sync.Mutex
	acknowledged, refused := map[string]bool{}, map[string]bool{}
	busy := make(chan struct{})
	for c := range callers {
		all.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", c, i)
				err := s.Update(context.Background(), func(tx scimserver.Tx) error {
					return errors.Join(tx.Insert(user(id)), tx.PutRow(account(id, 1)))
				})
				mu.Lock()
				if err == nil {
					acknowledged[id] = true
					if len(acknowledged) == 100 {
						close(busy)
					}
				} else {
					refused[id] = true
				}
				mu.Unlock()
				if err != nil {
					if !errors.Is(err, scimserver.ErrClosed) {
						t.Errorf("update %s: %v", id, err)
					}
					return
				}
			}
		})
	}
	<-busy
	s.close()
	all.Wait()
	st := reopen().state()
	for id := range acknowledged {
		if st.rows["a/"+id] == "" {
			t.Errorf("update %s was acknowledged and is not there", id)
		}
	}
	for id := range refused {
		if st.rows["a/"+id] != "" {
			t.Errorf("update %s was refused and is there", id)
		}
	}
	if len(st.rows) != len(acknowledged) {
		t.Errorf("%d rows of %d acknowledged updates", len(st.rows), len(acknowledged))
	}
}

func closedStore(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.close()
	for range 20 {
		if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return nil }); !errors.Is(err, scimserver.ErrClosed) {
			t.Fatalf("Update: %v", err)
		}
		if err := s.View(context.Background(), func(v scimserver.View) error { return nil }); !errors.Is(err, scimserver.ErrClosed) {
			t.Fatalf("View: %v", err)
		}
	}
}
