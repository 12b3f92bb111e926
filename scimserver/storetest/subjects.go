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

var subjectTests = []test{
	{"a subject comes back as it was stored, without its hash", subjectComesBack},
	{"subjects are listed by id", subjectsByID},
	{"the departed of a userName come latest first", departed},
	{"what is due comes earliest first, as much as is wanted", due},
}

func (s *store) putSubjects(all ...ledger.Subject) {
	s.t.Helper()
	s.update(func(tx scimserver.Tx) error {
		for _, subject := range all {
			if err := tx.PutSubject(subject); err != nil {
				return err
			}
		}
		return nil
	})
}

func subjectComesBack(t *testing.T, e *env) {
	s, reopen := e.fresh()
	at := s.position()
	full := ledger.Subject{
		ID: "u1", State: ledger.Buried, Since: when, UserName: "ada ünal", ExternalID: "Ext 1", JoinedImported: true, WasImported: true, Limit: when.Add(time.Hour), Primary: true, Claimed: true, Held: true, Readmit: true,
		End: when.Add(time.Hour), Due: when.Add(time.Minute),
		Aliases: []ledger.Alias{{Name: "ada", Until: when.Add(2 * time.Hour)}, {Name: "eda", Until: when.Add(time.Second)}},
		Account: &roster.Account{ID: "u1", Name: "ada3", UID: 1000, GID: 1001, Gecos: "Ada <Ü>", Home: "/home/ada", Shell: "/bin/sh", Locked: true, Expire: 7},
	}
	check := func(sentence string, want ledger.Subject) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			got, err := v.Subject(want.ID)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v with account %+v, want %+v with account %+v", sentence, got, got.Account, want, want.Account)
			}
			return err
		})
	}
	check("one that was never stored", ledger.Subject{ID: "u1"})
	secret := full
	account := *full.Account
	account.Hash = "$6$secret"
	secret.Account = &account
	s.putSubjects(secret)
	check("all that there is", full)
	if account.Hash == "" {
		t.Error("the caller's account was changed")
	}
	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error {
		return errors.Join(tx.PutSubject(ledger.Subject{ID: "u1"}), no)
	}); !errors.Is(err, no) {
		t.Fatal(err)
	}
	check("after an update that failed", full)
	s.close()
	s = reopen()
	check("after reopening", full)
	for state := ledger.Present; state <= ledger.Buried; state++ {
		bare := ledger.Subject{ID: "u1", State: state}
		s.putSubjects(bare)
		check("one in place of another", bare)
	}
	elsewhere := ledger.Subject{ID: "u2", Since: when.In(time.FixedZone("", 3600)), End: when.In(time.FixedZone("", 3600))}
	s.putSubjects(elsewhere)
	s.view(func(v scimserver.View) error {
		got, err := v.Subject("u2")
		if !got.Since.Equal(when) || !got.End.Equal(when) {
			t.Errorf("times of another zone: %+v", got)
		}
		return err
	})
	if s.position() != at {
		t.Error("subjects move the feed")
	}
}

// ids collects the ids of the subjects that are yielded.
func ids(each func(func(ledger.Subject) error) error) (all []string, err error) {
	err = each(func(s ledger.Subject) error {
		all = append(all, s.ID)
		return nil
	})
	return all, err
}

func subjectsByID(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.putSubjects(
		ledger.Subject{ID: "c", State: ledger.Departed}, ledger.Subject{ID: "a", Held: true}, ledger.Subject{ID: "B"},
		ledger.Subject{ID: "d", Due: when}, ledger.Subject{ID: "a"},
	)
	s.view(func(v scimserver.View) error {
		got, err := ids(v.Subjects)
		if want := []string{"B", "a", "c", "d"}; !slices.Equal(got, want) {
			t.Errorf("subjects %v, want %v", got, want)
		}
		return err
	})
}

func departed(t *testing.T, e *env) {
	s, _ := e.fresh()
	at := func(n int) time.Time { return when.Add(time.Duration(n) * time.Hour) }
	s.putSubjects(
		ledger.Subject{ID: "first", State: ledger.Departed, UserName: "ada", Since: at(1)},
		ledger.Subject{ID: "third", State: ledger.Departed, UserName: "ada", Since: at(3)},
		ledger.Subject{ID: "second", State: ledger.Buried, UserName: "ada", Since: at(2)},
		ledger.Subject{ID: "there", State: ledger.Present, UserName: "ada", Since: at(4)},
		ledger.Subject{ID: "imported", State: ledger.Imported, UserName: "ada", Since: at(5)},
		ledger.Subject{ID: "other", State: ledger.Departed, UserName: "Ada", Since: at(6)},
		ledger.Subject{ID: "nameless", State: ledger.Departed, Since: at(7)},
		ledger.Subject{ID: "back", State: ledger.Departed, UserName: "eda", Since: at(8)},
	)
	s.putSubjects(ledger.Subject{ID: "back", State: ledger.Present, UserName: "eda"})
	s.view(func(v scimserver.View) error {
		for userName, want := range map[string][]string{"ada": {"third", "second", "first"}, "Ada": {"other"}, "eda": nil, "x": nil, "": nil} {
			got, err := ids(func(yield func(ledger.Subject) error) error { return v.Departed(userName, yield) })
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("departed of %q: %v, %v, want %v", userName, got, err, want)
			}
		}
		return nil
	})
}

func due(t *testing.T, e *env) {
	s, _ := e.fresh()
	s.putSubjects(ledger.Subject{ID: "never"}, ledger.Subject{ID: "done", Due: when})
	for i, n := range []int{3, 1, 2, 5, 4} {
		s.putSubjects(ledger.Subject{ID: fmt.Sprint(n), State: ledger.State(i % 4), Due: when.Add(time.Duration(n) * time.Second)})
	}
	s.putSubjects(ledger.Subject{ID: "done"})
	s.view(func(v scimserver.View) error {
		for _, c := range []struct {
			sentence string
			seconds  int
			limit    int
			want     []string
		}{
			{"before all", 0, 9, nil},
			{"some", 3, 9, []string{"1", "2", "3"}},
			{"all", 9, 9, []string{"1", "2", "3", "4", "5"}},
			{"as many as there are", 9, 5, []string{"1", "2", "3", "4", "5"}},
			{"fewer than there are", 9, 2, []string{"1", "2"}},
			{"none", 9, 0, nil},
		} {
			all, err := v.Due(when.Add(time.Duration(c.seconds)*time.Second), c.limit)
			var got []string
			for _, s := range all {
				got = append(got, s.ID)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, %v, want %v", c.sentence, got, err, c.want)
			}
		}
		return nil
	})
}
