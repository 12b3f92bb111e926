package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

var (
	created = time.UnixMilli(1e12).UTC()
	restore = created.Add(1000 * time.Hour) // when restores take place
)

// settle makes the user id whole: resource, account and all that it owns.
func settle(tx scimserver.Tx, id string, uid uint32) error {
	e := ledger.Entry{Subject: id, Name: "n" + id, Given: created}
	return errors.Join(
		tx.Insert(scimserver.Resource{
			Kind: scimserver.KindUser, ID: id, Name: "name-" + id, ExternalID: "ext-" + id, Version: 1, Created: created, Modified: created,
			Doc: []byte(`{"active":true,"displayName":"<` + id + `>","userName":"Name-` + id + `"}`),
		}),
		tx.GiveUID(uid, e), tx.GiveGID(uid, e), tx.GiveName(e.Name, e),
		tx.PutRow(roster.Row{Account: settled(id, uid)}),
	)
}

func settled(id string, uid uint32) *roster.Account {
	return &roster.Account{ID: id, Name: "n" + id, UID: uid, GID: uid, Home: "/home/n" + id, Shell: "/bin/sh", Hash: "$6$" + id}
}

func lock(tx scimserver.Tx, id string, uid uint32) error {
	a := settled(id, uid)
	a.Locked = true
	return tx.PutRow(roster.Row{Account: a})
}

func storedToken(id, name string) scimserver.Token {
	return scimserver.Token{ID: id, Name: name, Scope: scimserver.ScopeSCIM, Created: created}
}

func recorded(action string) scimserver.Event {
	return scimserver.Event{At: created, Actor: "server", Action: action}
}

// contents is all that the store in dir holds, as text, without its epoch and
// when it was restored.
func contents(t testing.TB, dir string) string {
	t.Helper()
	db := raw(t, dir)
	defer db.Close()
	var b strings.Builder
	for _, query := range []string{
		"SELECT seq, hex(sum), horizon, user_start, user_next, group_start, group_next FROM meta",
		"SELECT * FROM resources ORDER BY num", "SELECT * FROM members", "SELECT * FROM roster", "SELECT seq, hex(sum) FROM positions",
		"SELECT * FROM ledger_ids", "SELECT * FROM ledger_names", "SELECT id, name, scope, hex(hash), created, expires, used FROM tokens ORDER BY id",
		"SELECT * FROM subjects",
		// The epoch of a restore is another each time.
		"SELECT seq, at, actor, action, subject, name, uid, gid, json_remove(changes, '$.epoch') FROM events", "SELECT * FROM nodes", "SELECT * FROM node_ids", "SELECT * FROM node_names",
	} {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, query)
		for rows.Next() {
			values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, values)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func mustRestore(t testing.TB, dir, file string, margin uint32) Restoration {
	t.Helper()
	done, err := Restore(context.Background(), dir, file, margin, "test", restore)
	if err != nil {
		t.Fatal(err)
	}
	checkWhole(t, dir)
	if left := filesIn(t, dir); strings.Contains(left, "restore") {
		t.Errorf("the restore left %s", left)
	}
	return done
}

// checkWhole looks at what holds for every store: pages, digest and numbers of
// changes.
func checkWhole(t testing.TB, dir string) {
	t.Helper()
	db := raw(t, dir)
	defer db.Close()
	var beyond int
	if err := errors.Join(
		checkIntegrity(context.Background(), db, "integrity_check"), checkDigest(context.Background(), db),
		db.QueryRow("SELECT count(*) FROM roster, meta WHERE roster.seq > meta.seq").Scan(&beyond),
	); err != nil || beyond > 0 {
		t.Errorf("%d rows beyond the position, %v", beyond, err)
	}
}
