package sqlite

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pwb/scimserver"
)

func TestARestoreUnbindsNobodyAndMakesNoTokenNew(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	identity := func(sub, subject string) scimserver.Identity {
		return scimserver.Identity{Issuer: "https://id.example", Sub: sub, Subject: subject, Made: true, Bound: created}
	}
	update(t, s, func(tx *tx) error {
		return errors.Join(settle(tx, "ada", 1000), settle(tx, "grace", 1001), tx.Bind(identity("1", "ada")), tx.Bind(identity("2", "grace")))
	})
	file := backup(t, dir)
	until := created.Add(time.Hour)
	update(t, s, func(tx *tx) error {
		_, err := tx.Unbind("grace")
		return errors.Join(err, tx.Bind(identity("3", "grace")), settle(tx, "new", 1002), tx.Bind(identity("4", "new")), tx.UseOnce([32]byte{1}, created, until))
	})
	mustRestore(t, dir, file, 50)
	update(t, s, func(tx *tx) error {
		var all []scimserver.Identity
		for _, id := range []string{"ada", "grace", "new"} {
			i, err := tx.Identities(id)
			if err != nil {
				return err
			}
			all = append(all, i...)
		}
		if want := []scimserver.Identity{identity("1", "ada"), identity("3", "grace"), identity("4", "new")}; !slices.Equal(all, want) {
			t.Errorf("bound are %+v, want %+v", all, want)
		}
		if err := tx.UseOnce([32]byte{1}, created, until); !errors.Is(err, scimserver.ErrTaken) {
			t.Errorf("a token that was used before the restore: %v", err)
		}
		return nil
	})
	empty := newDir(t)
	mustRestore(t, empty, file, 50)
	update(t, openStore(t, empty), func(tx *tx) error {
		i, err := tx.Identity("https://id.example", "2")
		if i != identity("2", "grace") {
			t.Errorf("in an empty store grace is %+v", i)
		}
		return err
	})
}
