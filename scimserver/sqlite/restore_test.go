package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func TestARestoreKeepsWhatWasGivenAndLockedSince(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	ids := []string{"lock", "leave", "bury", "stay", "held", "unlock", "rename"}
	update(t, s, func(tx *tx) error {
		var errs []error
		for i, id := range ids {
			errs = append(errs, settle(tx, id, uint32(1000+i)))
		}
		tx.SetCursor(ledger.UserSlot, 1000, 1010)
		errs = append(errs, lock(tx, "unlock", 1005), tx.PutSubject(ledger.Subject{ID: "rename", End: created}),
			tx.Insert(scimserver.Resource{Kind: scimserver.KindGroup, ID: "g", Name: "g", Version: 1, Created: created, Modified: created, Doc: []byte(`{"displayName":"G"}`)}),
			tx.PutRow(roster.Row{Group: &roster.Group{ID: "g", Name: "g", GID: 2000}}),
			tx.PutRow(roster.Row{Member: &roster.Member{GroupID: "g", AccountID: "lock"}}),
			tx.PutToken(storedToken("kept", "kept")), tx.PutToken(storedToken("revoked", "revoked")), tx.Record(recorded("before")),
			tx.PutNode(scimserver.Node{Name: "old", Seen: created}))
		_, err := tx.AddMember("g", "lock")
		return errors.Join(append(errs, err)...)
	})
	file := backup(t, dir)
	update(t, s, func(tx *tx) error {
		a := settled("rename", 1006)
		a.Name = "renamed"
		return errors.Join(
			lock(tx, "lock", 1000),
			tx.Delete(scimserver.KindUser, "leave"), lock(tx, "leave", 1001), tx.PutSubject(ledger.Subject{ID: "leave", State: ledger.Departed, Since: created, UserName: "name-leave"}),
			tx.Delete(scimserver.KindUser, "bury"), tx.DropRow("a/bury"),
			tx.PutSubject(ledger.Subject{ID: "bury", State: ledger.Buried, Since: created, Account: settled("bury", 1002)}),
			lock(tx, "held", 1004), tx.PutSubject(ledger.Subject{ID: "held", Held: true, End: created}),
			tx.PutRow(roster.Row{Account: settled("unlock", 1005)}),
			tx.PutRow(roster.Row{Account: a}), tx.GiveName("renamed", ledger.Entry{Subject: "rename", Name: "renamed", Given: created}),
			tx.PutSubject(ledger.Subject{ID: "rename"}),
			// Those whom the backup does not know.
			settle(tx, "new", 1007),
			settle(tx, "brief", 1008), tx.Delete(scimserver.KindUser, "brief"), lock(tx, "brief", 1008),
			tx.PutSubject(ledger.Subject{ID: "brief", State: ledger.Departed, Since: created, UserName: "name-brief", ExternalID: "x", Held: true, Due: created, End: created}),
			tx.PutSubject(ledger.Subject{ID: "grave", State: ledger.Buried, Since: created, UserName: "g", Account: settled("grave", 1009)}),
			tx.PutSubject(ledger.Subject{ID: "groupless", State: ledger.Departed, Since: created}),
			tx.PutSubject(ledger.Subject{ID: "shell", Held: true}),
			tx.GiveGID(3000, ledger.Entry{Subject: "newgroup", Name: "newgroup", Given: created}),
			tx.PutRow(roster.Row{Group: &roster.Group{ID: "newgroup", Name: "newgroup", GID: 3000}}),
			tx.DeleteToken("revoked"), tx.PutToken(storedToken("late", "late")), tx.Record(recorded("after")),
			tx.PutNode(scimserver.Node{Name: "new", Seen: created}),
		)
	})
	update(t, s, func(tx *tx) error { tx.SetCursor(ledger.GroupSlot, 5000, 5001); return nil })
	old := position(t, s)
	var latest int64
	if err := s.View(context.Background(), func(v scimserver.View) error {
		return v.(*view).c.row("SELECT max(version) FROM resources", nil, &latest)
	}); err != nil {
		t.Fatal(err)
	}

	done := mustRestore(t, dir, file, 50)
	want := Restoration{
		Position: done.Position, Users: 7, Groups: 1,
		StayLocked: []string{"nbury", "nheld", "nleave", "nlock"}, Forgotten: []string{"nbrief", "ngrave", "nnew"},
	}
	if !reflect.DeepEqual(done, want) {
		t.Errorf("restored %+v, want %+v", done, want)
	}
	if at := position(t, s); at != done.Position || at.Epoch == old.Epoch || at.Seq <= old.Seq {
		t.Errorf("position %v after %v, want %v", at, old, done.Position)
	}
	err := s.View(context.Background(), func(v scimserver.View) error {
		for i, id := range ids {
			row, err1 := v.Row(roster.AccountKey(id))
			user, err2 := v.Resource(scimserver.KindUser, id)
			if err := errors.Join(err1, err2); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			wantAccount, wantActive := *settled(id, uint32(1000+i)), !slices.Contains(done.StayLocked, "n"+id)
			wantAccount.Locked = !wantActive || id == "unlock"
			if !reflect.DeepEqual(*row.Account, wantAccount) {
				t.Errorf("account %+v, want %+v", *row.Account, wantAccount)
			}
			if doc := fmt.Sprintf(`{"active":%v,"displayName":"<%s>","userName":"Name-%s"}`, wantActive, id, id); string(user.Doc) != doc {
				t.Errorf("user %s is %s, want %s", id, user.Doc, doc)
			}
			// Beyond the versions that there were.
			if beyond := latest + 1; wantActive == (user.Version != beyond) || wantActive == user.Modified.Equal(restore) {
				t.Errorf("user %s has version %d, of %v", id, user.Version, user.Modified)
			}
		}
		var subjects []string
		if err := v.Subjects(func(s ledger.Subject) error {
			if a := s.Account; a != nil {
				if a.Hash != "" {
					t.Errorf("subject %s keeps a hash", s.ID)
				}
				s.Account = &roster.Account{Name: a.Name, UID: a.UID}
				subjects = append(subjects, fmt.Sprintf("%s %d %v %s %s held=%v readmit=%v due=%v end=%v %s %d",
					s.ID, s.State, s.Since.Equal(restore), s.UserName, s.ExternalID, s.Held, s.Readmit, !s.Due.IsZero(), !s.Ends().IsZero(), a.Name, a.UID))
				return nil
			}
			subjects = append(subjects, fmt.Sprintf("%s %d held=%v end=%v", s.ID, s.State, s.Held, !s.End.IsZero()))
			return nil
		}); err != nil {
			return err
		}
		if want := []string{
			"brief 3 true name-brief x held=true readmit=false due=false end=true nbrief 1008",
			"grave 3 true g  held=false readmit=false due=false end=false ngrave 1009",
			"held 0 held=true end=false",
			"new 3 true name-new ext-new held=false readmit=true due=false end=false nnew 1007",
			"newgroup 3 held=false end=false",
			"rename 0 held=false end=true",
			"shell 0 held=true end=false",
		}; !slices.Equal(subjects, want) {
			t.Errorf("subjects\n%s\nwant\n%s", strings.Join(subjects, "\n"), strings.Join(want, "\n"))
		}
		for n, subject := range map[uint32]string{1000: "lock", 1006: "rename", 1007: "new", 3000: "newgroup"} {
			if _, gid, err := v.IDOwners(n); err != nil || gid.Subject != subject {
				t.Errorf("%d is that of %+v, %v", n, gid, err)
			}
		}
		if owner, err := v.NameOwner("renamed"); err != nil || owner.Subject != "rename" {
			t.Errorf("renamed is that of %+v, %v", owner, err)
		}
		if _, err := v.Row("g/newgroup"); !errors.Is(err, scimserver.ErrNotFound) {
			t.Errorf("a group that the backup does not know: %v", err)
		}
		members := 0
		err1 := v.Members("g", func(scimserver.Ref) error { members++; return nil })
		tokens, err2 := v.Tokens()
		nodes, err3 := v.Nodes()
		at, err4 := v.Restored()
		var actions []string
		err5 := v.Events(scimserver.EventQuery{}, func(e scimserver.Event) error { actions = append(actions, e.Action); return nil })
		if len(tokens) != 2 || tokens[0].ID != "kept" || tokens[1].ID != "late" {
			t.Errorf("tokens %+v", tokens)
		}
		if members != 1 || len(nodes) != 2 || !at.Equal(restore) || fmt.Sprint(actions) != "[before after user.forgotten user.restore user.forgotten user.restore user.restore store.restore]" {
			t.Errorf("%d members, nodes %v, restored %v, events %v", members, nodes, at, actions)
		}
		return errors.Join(err1, err2, err3, err4, err5)
	})
	if err != nil {
		t.Error(err)
	}
	update(t, s, func(tx *tx) error {
		if user, group := tx.Cursor(ledger.UserSlot, 1000), tx.Cursor(ledger.GroupSlot, 5000); user != 1010 || group != 5001 {
			t.Errorf("cursors %d and %d, want 1010 and 5001: what was given is known", user, group)
		}
		return nil
	})

	// Once more, now that there is something to keep twice.
	again := mustRestore(t, dir, file, 50)
	if !slices.Equal(again.StayLocked, want.StayLocked) || !slices.Equal(again.Forgotten, want.Forgotten) || again.Position.Seq <= done.Position.Seq {
		t.Errorf("restored again %+v, before %+v", again, done)
	}
}

func TestARestoreIntoAnEmptyDirectoryBringsAllBack(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error {
		tx.SetCursor(ledger.UserSlot, 1000, 1002)
		return errors.Join(settle(tx, "u1", 1000), settle(tx, "u2", 1001), lock(tx, "u2", 1001), tx.DropRow("a/x"),
			tx.PutSubject(ledger.Subject{ID: "u2", Held: true}), tx.PutToken(storedToken("t1", "one")), tx.PutToken(storedToken("t2", "two")),
			tx.Record(recorded("first")), tx.Record(recorded("second")), tx.PutNode(scimserver.Node{Name: "web", Seen: created}))
	})
	update(t, s, func(tx *tx) error { return errors.Join(tx.PutRow(account("brief", 9)), tx.DropRow("a/brief")) })
	file := backup(t, dir)
	before := position(t, s)

	fresh := filepath.Join(newDir(t), "new", "data")
	done := mustRestore(t, fresh, file, 10)
	if done.Users != 2 || done.StayLocked != nil || done.Forgotten != nil || done.Position.Seq <= before.Seq || done.Position.Sum != before.Sum {
		t.Errorf("restored %+v of %v", done, before)
	}
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	r := openStore(t, fresh)
	update(t, r, func(tx *tx) error {
		// Also a search that begins anew leaves the margin out.
		if user, other, group := tx.Cursor(ledger.UserSlot, 1000), tx.Cursor(ledger.UserSlot, 7000), tx.Cursor(ledger.GroupSlot, 5000); user != 1012 || other != 7010 || group != 5010 {
			t.Errorf("cursors %d, %d and %d", user, other, group)
		}
		return nil
	})
	err := r.View(context.Background(), func(v scimserver.View) error {
		tokens, err1 := v.Tokens()
		held, err2 := v.Subject("u2")
		uid, _, err3 := v.IDOwners(1001)
		nodes, err4 := v.Nodes()
		var actions []string
		err5 := v.Events(scimserver.EventQuery{}, func(e scimserver.Event) error { actions = append(actions, e.Action); return nil })
		var tombstones int
		err6 := v.(*view).c.row("SELECT count(*) FROM roster WHERE line IS NULL", nil, &tombstones)
		if len(tokens) != 2 || !held.Held || uid.Subject != "u2" || len(nodes) != 0 || fmt.Sprint(actions) != "[first second store.restore]" || tombstones != 0 {
			t.Errorf("tokens %v, subject %+v, owner %+v, nodes %v, events %v, %d tombstones", tokens, held, uid, nodes, actions, tombstones)
		}
		return errors.Join(err1, err2, err3, err4, err5, err6)
	})
	if err != nil {
		t.Error(err)
	}
	update(t, r, func(tx *tx) error {
		if n := tx.Cursor(ledger.UserSlot, 1000); n != 1012 {
			t.Errorf("the cursor is %d, want 1012", n)
		}
		return tx.Record(recorded("third"))
	})
	// A backup of nothing moves the position too.
	empty := newDir(t)
	e := openStore(t, empty)
	at := position(t, e)
	if done := mustRestore(t, empty, backup(t, empty), 10); done.Position.Seq != at.Seq+1 || done.Position.Epoch == at.Epoch {
		t.Errorf("from %v to %v", at, done.Position)
	}
	update(t, e, func(tx *tx) error {
		if n := tx.Cursor(ledger.UserSlot, 0) + tx.Cursor(ledger.GroupSlot, 0); n != 0 {
			t.Errorf("cursors that were never set are %d", n)
		}
		return nil
	})
}

func TestARestoreIsNoticedByThoseWhoHaveTheStoreOpen(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return errors.Join(settle(tx, "u1", 1000), tx.PutRow(account("u2", 1001))) })
	file := backup(t, dir)
	for i := range uint32(3) {
		update(t, s, func(tx *tx) error { return tx.PutRow(account("u2", 1002+i)) })
		old, moved := position(t, s), s.Moved()
		done := mustRestore(t, dir, file, 0)
		select {
		case <-moved:
		case <-time.After(30 * time.Second):
			t.Fatal("nobody noticed")
		}
		err := s.View(context.Background(), func(v scimserver.View) error {
			moved := old
			moved.Epoch = done.Position.Epoch // as if the epochs were one
			for _, p := range []roster.Position{old, moved, {Epoch: done.Position.Epoch}} {
				if err := v.Changes(p, func(roster.Change) error { return nil }); !errors.Is(err, scimserver.ErrUnknownPosition) {
					t.Errorf("changes after %v: %v", p, err)
				}
			}
			return v.Changes(done.Position, func(c roster.Change) error { return fmt.Errorf("%s changed", c.Key) })
		})
		if err != nil {
			t.Error(err)
		}
		update(t, s, func(tx *tx) error { return tx.PutRow(account("u3", 1)) })
		var changed []string
		if err := s.View(context.Background(), func(v scimserver.View) error {
			return v.Changes(done.Position, func(c roster.Change) error { changed = append(changed, c.Key); return nil })
		}); err != nil || fmt.Sprint(changed) != "[a/u3]" {
			t.Errorf("changes after the restore: %v, %v", changed, err)
		}
	}
	checkWhole(t, dir)
}

func TestCursorsGoBeyondBothAndNotBeyondTheLastNumber(t *testing.T) {
	const last = math.MaxUint32
	for _, c := range []struct {
		sentence   string
		a, b, want cursor
	}{
		{"neither was set", cursor{}, cursor{}, cursor{}},
		{"the present one alone", cursor{1000, 1005}, cursor{}, cursor{1000, 1105}},
		{"the backup's alone", cursor{}, cursor{1000, 1005}, cursor{1000, 1105}},
		{"the backup's is further", cursor{1000, 1005}, cursor{2000, 2001}, cursor{2000, 2101}},
		{"the present one is further", cursor{3000, 3005}, cursor{2000, 2001}, cursor{3000, 3105}},
		{"both are as far", cursor{1000, 2001}, cursor{2000, 2001}, cursor{1000, 2101}},
		{"near the end", cursor{1000, last - 5}, cursor{}, cursor{1000, last}},
	} {
		if got := beyond(c.a, c.b, 100); got != c.want {
			t.Errorf("%s: %v, want %v", c.sentence, got, c.want)
		}
	}
}

func TestABackupOfAnOlderVersionIsMigratedOnTheWay(t *testing.T) {
	from := newDir(t)
	firstStore(t, from)
	file := backup(t, from)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	dir := newDir(t)
	done := mustRestore(t, dir, file, 10)
	if done.Users != 1 || done.Groups != 1 {
		t.Errorf("restored %+v", done)
	}
	s := openStore(t, dir)
	if err := s.View(context.Background(), func(v scimserver.View) error {
		row, err1 := v.Row("a/u1")
		uid, _, err2 := v.IDOwners(1000)
		_, err3 := v.Token("t1")
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if row.Account.Hash != "$6$x" || uid.Subject != "u1" {
			t.Errorf("account %+v, owner %+v", row.Account, uid)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the backup was changed, %v", err)
	}
	// A store of the older version takes a backup of the newer.
	older := newDir(t)
	firstStore(t, older)
	mustRestore(t, older, backup(t, dir), 10)
}
