package sqlite

import (
	"context"
	"database/sql"
	"errors"
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

// firstStore makes a store of schema version 1 in dir, as the first release
// wrote it: the user u1 with uid 1000, the group g1 that holds it, a tombstone
// and a token.
func firstStore(t testing.TB, dir string) roster.Position {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, FileName), false))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	schema, err := migrations.ReadFile("migrations/0001_first.sql")
	if err != nil {
		t.Fatal(err)
	}
	rows := []roster.Row{
		{Account: &roster.Account{ID: "u1", Name: "ada", UID: 1000, GID: 1000, Gecos: "Ada", Home: "/home/ada", Shell: "/bin/sh", Hash: "$6$x"}},
		{Group: &roster.Group{ID: "g1", Name: "eng", GID: 1001}},
		{Member: &roster.Member{GroupID: "g1", AccountID: "u1"}},
	}
	at := roster.Position{Epoch: "the-first-epoch", Seq: 4}
	type step struct {
		text string
		args []any
	}
	steps := []step{
		{string(schema), nil},
		{`INSERT INTO resources (num, kind, id, name, external_id, version, created, modified, doc)
			VALUES (1, 1, 'u1', 'ada', 'x1', 3, 1000000000000, 1000000000000, '{"active":true,"userName":"Ada"}'),
				(2, 2, 'g1', 'eng', NULL, 1, 1000000000000, 1000000000000, '{"displayName":"Eng"}')`, nil},
		{`INSERT INTO members (grp, usr) VALUES (2, 1)`, nil},
		{`INSERT INTO ledger_ids (number, kind, subject, name, given)
			VALUES (1000, 'uid', 'u1', 'ada', 1000000000000), (1000, 'gid', 'u1', 'ada', 1000000000000), (1001, 'gid', 'g1', 'eng', 1000000000000)`, nil},
		{`INSERT INTO ledger_names (name, subject, given) VALUES ('ada', 'u1', 1000000000000), ('eng', 'g1', 1000000000000)`, nil},
		{`INSERT INTO tokens (id, name, scope, hash, created, expires) VALUES ('t1', 'entra', 'scim', ?, 1000000000000, NULL)`, []any{make([]byte, 32)}},
		{`INSERT INTO roster (key, seq, line) VALUES ('a/gone', 4, NULL)`, nil},
	}
	for i, r := range rows {
		at.Sum.Add(r.Line())
		steps = append(steps, step{`INSERT INTO roster (key, seq, line) VALUES (?, ?, ?)`, []any{r.Key(), i + 1, string(r.Line())}})
	}
	steps = append(steps,
		step{`INSERT INTO positions (seq, sum) VALUES (0, ?), (4, ?)`, []any{make([]byte, 32), at.Sum[:]}},
		step{`INSERT INTO meta (one, epoch, seq, sum, cursor) VALUES (1, ?, ?, ?, 1002)`, []any{at.Epoch, at.Seq, at.Sum[:]}},
		step{`PRAGMA user_version = 1`, nil},
	)
	for _, s := range steps {
		if _, err := db.Exec(s.text, s.args...); err != nil {
			t.Fatalf("%.60s: %v", s.text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAStoreOfTheFirstVersionKeepsAllItHolds(t *testing.T) {
	dir := newDir(t)
	at := firstStore(t, dir)
	s := openStore(t, dir)
	if got := position(t, s); got != at {
		t.Errorf("position %v, want %v", got, at)
	}
	given := time.UnixMilli(1e12).UTC()
	ada, eng := ledger.Entry{Subject: "u1", Name: "ada", Given: given}, ledger.Entry{Subject: "g1", Name: "eng", Given: given}
	err := s.View(context.Background(), func(v scimserver.View) error {
		uid, gid, err1 := v.IDOwners(1000)
		name, err2 := v.NameOwner("eng")
		user, err3 := v.Resource(scimserver.KindUser, "u1")
		row, err4 := v.Row("a/u1")
		token, err5 := v.Token("t1")
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			return err
		}
		if uid != ada || gid != ada || name != eng || user.Name != "ada" || row.Account.Hash != "$6$x" || token.Name != "entra" || !token.Used.IsZero() {
			t.Errorf("owners %+v, %+v and %+v, user %+v, account %+v, token %+v", uid, gid, name, user, row.Account, token)
		}
		var owned []ledger.Possession
		err1 = v.Possessions("u1", func(p ledger.Possession) error { owned = append(owned, p); return nil })
		if want := []ledger.Possession{{UID: 1000, Entry: ada}, {GID: 1000, Entry: ada}, {Name: "ada", Entry: ada}}; !slices.Equal(owned, want) {
			t.Errorf("possessions %+v, want %+v", owned, want)
		}
		subject, err2 := v.Subject("u1")
		nodes, err3 := v.Nodes()
		restored, err4 := v.Restored()
		if !reflect.DeepEqual(subject, ledger.Subject{ID: "u1"}) || nodes != nil || !restored.IsZero() {
			t.Errorf("subject %+v, nodes %v, restored %v", subject, nodes, restored)
		}
		return errors.Join(err1, err2, err3, err4, v.Changes(at, func(roster.Change) error { return errors.New("a change") }))
	})
	if err != nil {
		t.Error(err)
	}
	update(t, s, func(tx *tx) error {
		if n := tx.Cursor(ledger.UserSlot, 1000); n != 0 {
			t.Errorf("the cursor, whose start nobody knows, is %d", n)
		}
		tx.SetCursor(ledger.UserSlot, 1000, 1003)
		return errors.Join(
			tx.GiveUID(1001, ledger.Entry{Subject: "u2"}), // which was g1's alone
			tx.PutRow(account("u2", 1001)), tx.PutSubject(ledger.Subject{ID: "u1", Held: true}),
			tx.Record(scimserver.Event{Actor: "server", Action: "user.create"}), tx.UseTokens(map[string]time.Time{"t1": given}),
		)
	})
}

// TestQueriesUseTheirIndexes guards those whose index is easily missed.
func TestQueriesUseTheirIndexes(t *testing.T) {
	dir := newDir(t)
	openStore(t, dir)
	db := raw(t, dir)
	ofSubject, _ := eventQuery(scimserver.EventQuery{Subject: "u1", Last: 10})
	for _, c := range []struct {
		sentence, query, plan string
	}{
		{"departed subjects", departedSubjects, "USING INDEX subjects_departed"},
		{"due subjects", dueSubjects, "USING INDEX subjects_due"},
		{"events of a subject", ofSubject, "USING INDEX events_subject"},
		{"losses between two moments", lossesBetween, "USING COVERING INDEX events_loss (at>? AND at<?)"},
		{"numbers of a subject", `SELECT number FROM ledger_ids WHERE subject = ?`, "ledger_ids_subject"},
		{"names of a subject", `SELECT name FROM ledger_names WHERE subject = ?`, "ledger_names_subject"},
		{"nodes with a number", `SELECT node FROM node_ids WHERE number = ? ORDER BY node LIMIT 1`, "USING PRIMARY KEY (number=?)"},
		{"groups of an account", groupsOf, "USING INDEX roster_account (<expr>=? "},
		{"groups of an account, themselves", groupsOf, "g USING PRIMARY KEY (key=?)"},
		{"accounts in a group", accountsIn, "m USING PRIMARY KEY (key>? AND key<?)"},
		{"accounts in a group, themselves", accountsIn, "a USING PRIMARY KEY (key=?)"},
		{"an identity", `SELECT subject FROM identities WHERE issuer = ? AND sub = ?`, "USING PRIMARY KEY (issuer=? AND sub=?)"},
		{"identities of a user", `SELECT issuer FROM identities WHERE subject = ? ORDER BY issuer`, "identities_subject"},
		{"what may be forgotten", `SELECT digest FROM used_once WHERE expires <= ? LIMIT 100`, "used_once_expires"},
		{"numbers of a node", `SELECT number FROM node_ids WHERE node = ?`, "node_ids_node"},
	} {
		rows, err := db.Query("EXPLAIN QUERY PLAN "+c.query, make([]any, strings.Count(c.query, "?")-strings.Count(c.query, "?1")+min(1, strings.Count(c.query, "?1")))...)
		if err != nil {
			t.Errorf("%s: %v", c.sentence, err)
			continue
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil || !strings.Contains(strings.Join(plan, "\n"), c.plan) {
			t.Errorf("%s: %q has not %q, %v", c.sentence, plan, c.plan, err)
		}
		rows.Close()
	}
}
