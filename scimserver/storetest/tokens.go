package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"pwb/scimserver"
)

var tokenTests = []test{
	{"tokens are kept by id and unique by name", tokens},
	{"when a token was used moves forward only", tokensUsed},
}

func (s *store) wantTokens(all ...scimserver.Token) {
	s.t.Helper()
	s.view(func(v scimserver.View) error {
		got, err := v.Tokens()
		if !reflect.DeepEqual(got, all) {
			s.t.Errorf("tokens %+v, want %+v", got, all)
		}
		for _, k := range all {
			if got, err := v.Token(k.ID); err != nil || !reflect.DeepEqual(got, k) {
				s.t.Errorf("token %+v, %v, want %+v", got, err, k)
			}
			if got, err := v.TokenNamed(k.Name); err != nil || !reflect.DeepEqual(got, k) {
				s.t.Errorf("token by its name %+v, %v, want %+v", got, err, k)
			}
		}
		return err
	})
}

func tokens(t *testing.T, e *env) {
	s, _ := e.fresh()
	one, two, eternal := token("t1", "one"), token("t2", "two"), token("t0", "eternal")
	two.Uses = 3
	two.Scope, two.Created, two.Used = scimserver.ScopeNodeAdmin, when.Add(time.Second), when.Add(time.Hour)
	eternal.Expires, eternal.Created = time.Time{}, when.Add(time.Minute)
	s.update(func(tx scimserver.Tx) error {
		return errors.Join(tx.PutToken(two), tx.PutToken(eternal), tx.PutToken(one))
	})
	s.wantTokens(one, two, eternal)
	for sentence, k := range map[string]scimserver.Token{"name": token("t3", "one"), "id": token("t1", "three")} {
		if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.PutToken(k) }); !errors.Is(err, scimserver.ErrTaken) {
			t.Errorf("a second token of the same %s: %v", sentence, err)
		}
	}
	s.update(func(tx scimserver.Tx) error { return tx.DeleteToken("one") })
	s.wantTokens(two, eternal)
	s.view(func(v scimserver.View) error {
		if _, err := v.Token("t1"); !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("the token that was deleted: %v", err)
		}
		return nil
	})
	s.update(func(tx scimserver.Tx) error { return tx.PutToken(token("t4", "one")) })
}

func tokensUsed(t *testing.T, e *env) {
	s, reopen := e.fresh()
	one, two := token("t1", "one"), token("t2", "two")
	at := s.position()
	s.update(func(tx scimserver.Tx) error { return errors.Join(tx.PutToken(one), tx.PutToken(two)) })
	use := func(used map[string]time.Time) {
		t.Helper()
		s.update(func(tx scimserver.Tx) error { return tx.UseTokens(used) })
	}
	use(nil)
	use(map[string]time.Time{"t1": {}, "nobody's": when})
	s.wantTokens(one, two)
	use(map[string]time.Time{"t1": when, "nobody's": when})
	one.Used = when
	s.wantTokens(one, two)
	use(map[string]time.Time{"t1": when.Add(-time.Second), "t2": when.Add(time.Minute)})
	two.Used = when.Add(time.Minute)
	s.wantTokens(one, two)
	use(map[string]time.Time{"t1": when.Add(time.Hour), "t2": when.Add(time.Minute)})
	one.Used = when.Add(time.Hour)
	s.wantTokens(one, two)
	if s.position() != at {
		t.Error("tokens move the feed")
	}
	s.close()
	s = reopen()
	s.wantTokens(one, two)
}
