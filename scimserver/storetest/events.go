package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pwb/scimserver"
)

var eventTests = []test{
	{"events come back as they were recorded, numbered from 1", eventsComeBack},
	{"events are selected by each field of a query", eventsSelected},
	{"an event knows where the feed stands with what it did", eventsPosition},
	{"losses are counted by subject and from a moment on", lossesCounted},
	{"the fuse is released until the moment that was set last", fuseReleased},
	{"a store that was never restored says so", neverRestored},
}

func event(action, subject string) scimserver.Event {
	return scimserver.Event{At: when, Actor: "token entra", Action: action, Subject: subject, Name: "n" + subject, UID: 1000, GID: 1001, Changes: []byte(`{"active":[true,false]}`)}
}

// events collects what a query yields, without where the feed stood.
func events(v scimserver.View, q scimserver.EventQuery) (all []scimserver.Event, err error) {
	err = v.Events(q, func(e scimserver.Event) error {
		e.Epoch, e.Position = "", 0
		all = append(all, e)
		return nil
	})
	return all, err
}

func eventsComeBack(t *testing.T, e *env) {
	s, reopen := e.fresh()
	at := s.position()
	full := event("user.create", "u1")
	full.Seq, full.UID = 77, 4_294_967_295 // the store numbers them
	bare := scimserver.Event{At: when.Add(-time.Hour), Actor: "server", Action: "token.revoke"}
	s.update(func(tx scimserver.Tx) error { return errors.Join(tx.Record(full), tx.Record(bare)) })
	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		return errors.Join(tx.Record(event("user.delete", "u1")), no)
	}); !errors.Is(err, no) {
		t.Fatal(err)
	}
	s.close()
	s = reopen()
	s.update(func(tx scimserver.Tx) error { return tx.Record(full) })
	again := full
	full.Seq, bare.Seq, again.Seq = 1, 2, 3
	s.view(func(v scimserver.View) error {
		got, err := events(v, scimserver.EventQuery{})
		if want := []scimserver.Event{full, bare, again}; !reflect.DeepEqual(got, want) {
			t.Errorf("events %+v, want %+v", got, want)
		}
		return err
	})
	if s.position() != at {
		t.Error("events move the feed")
	}
}

func eventsSelected(t *testing.T, e *env) {
	s, _ := e.fresh()
	// Event n is at second n and of subject u1 when n is odd.
	const n = 300
	s.update(func(tx scimserver.Tx) error {
		for i := range n {
			ev := event("user.update", fmt.Sprint("u", (i+1)%2))
			ev.At = when.Add(time.Duration(i+1) * time.Second)
			if i == n-1 {
				ev.Subject = ""
			}
			if err := tx.Record(ev); err != nil {
				return err
			}
		}
		return nil
	})
	at := func(n int) time.Time { return when.Add(time.Duration(n) * time.Second) }
	sequence := func(from, to, step int64) (all []int64) {
		for i := from; i <= to; i += step {
			all = append(all, i)
		}
		return all
	}
	s.view(func(v scimserver.View) error {
		for _, c := range []struct {
			sentence string
			q        scimserver.EventQuery
			want     []int64
		}{
			{"all", scimserver.EventQuery{}, sequence(1, n, 1)},
			{"the newest", scimserver.EventQuery{Last: 3}, sequence(n-2, n, 1)},
			{"more than there are", scimserver.EventQuery{Last: 2 * n}, sequence(1, n, 1)},
			{"of a subject", scimserver.EventQuery{Subject: "u1"}, sequence(1, n, 2)},
			{"the newest of a subject", scimserver.EventQuery{Subject: "u0", Last: 2}, []int64{n - 4, n - 2}},
			{"of nobody known", scimserver.EventQuery{Subject: "x"}, nil},
			{"not before a moment", scimserver.EventQuery{Since: at(298)}, sequence(298, n, 1)},
			{"before a moment", scimserver.EventQuery{Until: at(4)}, sequence(1, 3, 1)},
			{"between moments that are no whole milliseconds", scimserver.EventQuery{Since: at(4).Add(1), Until: at(8).Add(1)}, sequence(5, 8, 1)},
			{"the newest between moments", scimserver.EventQuery{Since: at(4), Until: at(100), Last: 2}, []int64{98, 99}},
			{"of a subject between moments", scimserver.EventQuery{Subject: "u1", Since: at(4), Until: at(10)}, []int64{5, 7, 9}},
			{"the newest of a subject between moments", scimserver.EventQuery{Subject: "u1", Since: at(4), Until: at(10), Last: 1}, []int64{9}},
			{"in no time", scimserver.EventQuery{Since: at(4), Until: at(4)}, nil},
		} {
			var got []int64
			all, err := events(v, c.q)
			for _, e := range all {
				got = append(got, e.Seq)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, %v, want %v", c.sentence, got, err, c.want)
			}
		}
		return nil
	})
}

func neverRestored(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.update(func(tx scimserver.Tx) error { return everything(tx, "1", 1000) })
	s.view(func(v scimserver.View) error {
		at, err := v.Restored()
		if !at.IsZero() {
			t.Errorf("restored at %v", at)
		}
		return err
	})
}

func eventsPosition(t *testing.T, e *env) {
	s, _ := e.fresh()
	for i := range 3 {
		s.update(func(tx scimserver.Tx) error {
			return errors.Join(tx.PutRow(account("u1", uint32(1000+i))), tx.PutRow(account("u2", uint32(2000+i))), tx.Record(event("user.update", "u1")))
		})
		at := s.position()
		s.view(func(v scimserver.View) error {
			return v.Events(scimserver.EventQuery{Last: 1}, func(e scimserver.Event) error {
				if e.Epoch != at.Epoch || e.Position != at.Seq {
					t.Errorf("the event is at %s/%d, the feed at %v", e.Epoch, e.Position, at)
				}
				return nil
			})
		})
	}
}

func lossesCounted(t *testing.T, e *env) {
	s, reopen := e.fresh()
	loss := func(subject string, second int, what scimserver.Loss) {
		ev := event("user.update", subject)
		ev.At, ev.Loss = when.Add(time.Duration(second)*time.Second), what
		s.update(func(tx scimserver.Tx) error { return tx.Record(ev) })
	}
	loss("u1", 1, scimserver.LossLocked)
	loss("u2", 2, scimserver.LossNone)
	loss("u1", 3, scimserver.LossLocked)
	loss("u1", 4, scimserver.LossDeleted)
	loss("u3", 5, scimserver.LossDeleted)
	loss("u4", 6, scimserver.LossLocked)
	s.close()
	s = reopen()
	s.view(func(v scimserver.View) error {
		all, deleted, err := v.Losses(when, when.Add(4*time.Second))
		if all != 1 || deleted != 0 {
			t.Errorf("before second 4: %d and %d", all, deleted)
		}
		return err
	})
	for second, want := range map[int][2]int{0: {3, 2}, 4: {3, 2}, 5: {2, 1}, 6: {1, 0}, 7: {0, 0}} {
		s.view(func(v scimserver.View) error {
			all, deleted, err := v.Losses(when.Add(time.Duration(second)*time.Second), when.Add(time.Hour))
			if got := [2]int{all, deleted}; got != want {
				t.Errorf("from second %d on: %v, want %v", second, got, want)
			}
			return err
		})
	}
}

func fuseReleased(t *testing.T, e *env) {
	s, reopen := e.fresh()
	want := func(until time.Time) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			got, err := v.FuseReleased()
			if !got.Equal(until) {
				t.Errorf("released until %v, want %v", got, until)
			}
			return err
		})
	}
	want(time.Time{})
	for _, until := range []time.Time{when, when.Add(time.Hour), when} {
		s.update(func(tx scimserver.Tx) error {
			return errors.Join(tx.ReleaseFuse(until), tx.PutRow(account("u1", uint32(until.Hour()))))
		})
		want(until)
	}
	s.close()
	s = reopen()
	want(when)
}
