package sqlite

import (
	"context"
	"errors"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func TestARestoreBringsNoRevokedTokenBack(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return errors.Join(settle(tx, "u1", 1000), tx.PutToken(storedToken("t1", "one"))) })
	file := backup(t, dir)
	update(t, s, func(tx *tx) error { return errors.Join(tx.DeleteToken("one"), tx.Record(recorded("token.revoke"))) })
	mustRestore(t, dir, file, 0)
	if err := s.View(context.Background(), func(v scimserver.View) error {
		all, err := v.Tokens()
		if len(all) > 0 {
			t.Errorf("tokens %+v are back", all)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestWhoHadLeftIsNotReadmittedByARestore(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	file := backup(t, dir)
	update(t, s, func(tx *tx) error {
		return errors.Join(
			tx.PutRow(roster.Row{Group: &roster.Group{ID: "eng", Name: "eng", GID: 5000}}),
			settle(tx, "stays", 1000), settle(tx, "leaves", 1001), lock(tx, "leaves", 1001), tx.Delete(scimserver.KindUser, "leaves"),
			tx.PutSubject(ledger.Subject{ID: "leaves", State: ledger.Departed, Since: created, UserName: "name-leaves", ExternalID: "x"}),
		)
	})
	mustRestore(t, dir, file, 0)
	if err := s.View(context.Background(), func(v scimserver.View) error {
		if eng, err := v.Subject("eng"); err != nil || eng.State != ledger.Buried || !eng.Readmit || eng.Group == nil || eng.Group.GID != 5000 {
			t.Errorf("group %+v, %v", eng, err)
		}
		for id, readmit := range map[string]bool{"stays": true, "leaves": false} {
			if got, err := v.Subject(id); err != nil || got.State != ledger.Buried || got.Readmit != readmit {
				t.Errorf("subject %+v, %v", got, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
