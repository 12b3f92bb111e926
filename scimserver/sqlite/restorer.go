package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// restorer is a Restore in its transaction, on a connection that has the backup
// attached. Names of tables without "backup." are those of the present store.
type restorer struct {
	tx
	ctx   context.Context
	file  string
	actor string
	now   time.Time
	fresh bool // the present store is a new one
	done  Restoration
}

// run does all of it. What the present store has to say is read before its
// tables become those of the backup.
func (r *restorer) run(margin uint32) error {
	if err := r.checkOwners(); err != nil {
		return err
	}
	if err := r.loadMeta(); err != nil {
		return err
	}
	// A store that never gave anything is a new one.
	if err := r.c.row(`SELECT NOT EXISTS (SELECT 1 FROM ledger_ids) AND NOT EXISTS (SELECT 1 FROM ledger_names)`, nil, &r.fresh); err != nil {
		return fmt.Errorf("look at the ledger: %w", err)
	}
	stay, err := r.locksThatStay()
	if err != nil {
		return fmt.Errorf("compare the locks: %w", err)
	}
	forgotten, err := r.forgotten()
	if err != nil {
		return fmt.Errorf("look for accounts that the backup does not know: %w", err)
	}
	groups, err := r.forgottenGroups()
	if err != nil {
		return fmt.Errorf("look for groups that the backup does not know: %w", err)
	}
	forgotten = append(forgotten, groups...)
	before, err := r.accounts()
	if err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	held, err := r.held()
	if err != nil {
		return fmt.Errorf("look for accounts that are held: %w", err)
	}
	if err := r.replaceTables(); err != nil {
		return err
	}
	if err := r.replaceRoster(stay); err != nil {
		return fmt.Errorf("put the roster back: %w", err)
	}
	if err := r.deactivate(stay); err != nil {
		return fmt.Errorf("lock what was locked: %w", err)
	}
	for _, s := range forgotten {
		if err := r.PutSubject(s); err != nil {
			return fmt.Errorf("bury %s: %w", s.ID, err)
		}
	}
	for id := range stay {
		// Whom no provider knows an administrator lets go.
		switch _, err := r.Resource(scimserver.KindUser, id); {
		case errors.Is(err, scimserver.ErrNotFound):
			held = append(held, id)
		case err != nil:
			return err
		}
	}
	for _, id := range held {
		if err := r.hold(id); err != nil {
			return fmt.Errorf("hold %s: %w", id, err)
		}
	}
	if err := r.begin(margin); err != nil {
		return fmt.Errorf("begin another epoch: %w", err)
	}
	if err := r.recordAccounts(before); err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return r.ctx.Err()
}

// accounts returns the lines of all accounts that have one.
func (r *restorer) accounts() (map[string][]byte, error) {
	all := map[string][]byte{}
	return all, r.RowsUnder("a/", func(c roster.Change) error {
		all[c.Key] = bytes.Clone(c.Line)
		return r.ctx.Err()
	})
}

// recordAccounts writes down what became of the accounts that there were, so
// that their history goes on.
func (r *restorer) recordAccounts(before map[string][]byte) error {
	now := map[string]bool{}
	whole := scimserver.RestoreEvent(roster.Account{}, roster.Account{}, r.actor, r.now)
	var err error
	if whole.Changes, err = json.Marshal(map[string][2]any{"file": {nil, r.file}, "epoch": {nil, r.meta.epoch}}); err != nil {
		return err
	}
	if len(before) == 0 { // the log came back with the accounts
		return r.Record(whole)
	}
	var events []scimserver.Event
	record := func(key string, was, is []byte) error {
		var before, after roster.Account
		for _, a := range []struct {
			line []byte
			into *roster.Account
		}{{was, &before}, {is, &after}} {
			if a.line != nil {
				account, err := accountOf(key, a.line)
				if err != nil {
					return err
				}
				*a.into = *account
			}
		}
		events = append(events, scimserver.RestoreEvent(before, after, r.actor, r.now))
		return r.ctx.Err()
	}
	err = r.RowsUnder("a/", func(c roster.Change) error {
		now[c.Key] = true
		if was := before[c.Key]; !bytes.Equal(was, c.Line) {
			return record(c.Key, was, c.Line)
		}
		return nil
	})
	for key, was := range before {
		if !now[key] && err == nil {
			err = record(key, was, nil)
		}
	}
	if err != nil {
		return err
	}
	slices.SortFunc(events, func(a, b scimserver.Event) int { return cmp.Compare(a.Subject, b.Subject) })
	for _, e := range append(events, whole) {
		if err := r.Record(e); err != nil {
			return err
		}
	}
	return nil
}

// maxListed is how many of the disagreements an error lists.
const maxListed = 10

// checkOwners fails when the two ledgers disagree about anything.
func (r *restorer) checkOwners() error {
	disagreements := 0
	var listed []string
	err := r.c.each(`
		SELECT p.kind || ' ' || p.number, p.subject, b.subject FROM ledger_ids p
			JOIN backup.ledger_ids b ON b.number = p.number AND b.kind = p.kind WHERE b.subject <> p.subject
		UNION ALL
		SELECT 'name ' || p.name, p.subject, b.subject FROM ledger_names p
			JOIN backup.ledger_names b ON b.name = p.name WHERE b.subject <> p.subject`, nil, func(rows *sql.Rows) error {
		var what, here, there string
		err := rows.Scan(&what, &here, &there)
		if disagreements++; disagreements <= maxListed {
			listed = append(listed, fmt.Sprintf("%s is that of %s here and of %s there", what, here, there))
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("compare the ledgers: %w", err)
	case disagreements == 0:
		return nil
	case disagreements > maxListed:
		listed = append(listed, fmt.Sprintf("and %d more", disagreements-maxListed))
	}
	return fmt.Errorf("the file is the backup of another store, in which other subjects own what is given here; nothing was changed. To go on with the backup, move the present store away and restore into an empty directory: %s",
		strings.Join(listed, "; "))
}

// locksThatStay returns the ids of the accounts that the backup has unlocked
// and that are locked, held or gone in the present store.
func (r *restorer) locksThatStay() (map[string]bool, error) {
	gone := map[string]bool{}
	err := r.Subjects(func(s ledger.Subject) error {
		gone[s.ID] = s.Held || s.State == ledger.Departed || s.State == ledger.Buried
		return nil
	})
	if err != nil {
		return nil, err
	}
	stay := map[string]bool{}
	// Those of which nothing has changed need not be decoded.
	return stay, r.c.each(`SELECT b.key, b.line, p.line FROM backup.roster b LEFT JOIN roster p ON p.key = b.key
		WHERE b.key >= 'a/' AND b.key < 'a0' AND b.line IS NOT NULL
		AND (p.line IS NOT b.line OR EXISTS (SELECT 1 FROM subjects s WHERE s.id = substr(b.key, 3)))`, nil, func(rows *sql.Rows) error {
		var key string
		var line, present []byte
		if err := rows.Scan(&key, &line, &present); err != nil {
			return err
		}
		backup, err := accountOf(key, line)
		if err != nil || backup.Locked {
			return err
		}
		stays := gone[backup.ID]
		if !stays && present != nil {
			a, err := accountOf(key, present)
			if err != nil {
				return err
			}
			stays = a.Locked
		}
		if stays {
			stay[backup.ID] = true
			r.done.StayLocked = append(r.done.StayLocked, backup.Name)
		}
		return r.ctx.Err()
	})
}

// accountOf reads the account in a line of the roster.
func accountOf(key string, line []byte) (*roster.Account, error) {
	row, err := roster.Change{Key: key, Line: line}.Row()
	return row.Account, err
}

// replaceTables makes the tables those of the backup, or of both, that go over
// as they are.
func (r *restorer) replaceTables() error {
	for _, step := range []struct{ what, text string }{
		{"ledger", `INSERT INTO ledger_ids (number, kind, subject, name, given)
			SELECT number, kind, subject, name, given FROM backup.ledger_ids WHERE true ON CONFLICT DO NOTHING`},
		{"ledger", `INSERT INTO ledger_names (name, subject, given)
			SELECT name, subject, given FROM backup.ledger_names WHERE true ON CONFLICT DO NOTHING`},
		{"memberships", `DELETE FROM members`},
		// Versions go beyond all that were, so that no client takes what is
		// restored for what it has seen.
		{"resources", `CREATE TEMP TABLE latest AS SELECT coalesce(max(version), 0) AS version FROM resources`},
		{"resources", `DELETE FROM resources`},
		{"resources", `INSERT INTO resources (num, kind, id, name, external_id, display, version, created, modified, doc)
			SELECT num, kind, id, name, external_id, display, version + (SELECT version FROM latest), created, modified, doc FROM backup.resources`},
		{"resources", `DROP TABLE latest`},
		{"memberships", `INSERT INTO members (grp, usr) SELECT grp, usr FROM backup.members`},
		{"subjects", `DELETE FROM subjects`},
		{"subjects", `INSERT INTO subjects (` + subjectColumns + `) SELECT ` + subjectColumns + ` FROM backup.subjects`},
		// Who was bound since the backup stays bound.
		{"identities", `INSERT INTO identities (` + identityColumns + `) SELECT ` + identityColumns + ` FROM backup.identities WHERE true ON CONFLICT DO NOTHING`},
		// A token that is not there may have been revoked.
		{"tokens", `INSERT INTO tokens (` + tokenColumns + `) SELECT ` + tokenColumns + ` FROM backup.tokens WHERE ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE action = 'token.revoke') ON CONFLICT DO NOTHING`},
		{"audit log", `INSERT INTO events (at, actor, action, subject, name, uid, gid, changes)
			SELECT at, actor, action, subject, name, uid, gid, changes FROM backup.events WHERE ?1 ORDER BY seq`},
	} {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		var args []any
		if strings.Contains(step.text, "?1") {
			args = append(args, r.fresh)
		}
		if _, err := r.c.exec(step.text, args...); err != nil {
			return fmt.Errorf("put the %s back: %w", step.what, err)
		}
	}
	return r.c.row(`SELECT count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 2) FROM resources`, nil, &r.done.Users, &r.done.Groups)
}

// replaceRoster gives every row of the backup a seq of its own, beyond those of
// both stores, and makes the digest of them.
func (r *restorer) replaceRoster(stay map[string]bool) error {
	var seqOfBackup int64
	var stored []byte
	if err := r.c.row(`SELECT seq, sum FROM backup.meta`, nil, &seqOfBackup, &stored); err != nil {
		return err
	}
	r.meta.seq, r.meta.sum = max(r.meta.seq, seqOfBackup), roster.Sum{}
	before := r.meta.seq
	if _, err := r.c.exec(`DELETE FROM roster`); err != nil {
		return err
	}
	var read roster.Sum // to know that the file is still the one that was checked
	err := r.c.each(`SELECT key, line FROM backup.roster WHERE line IS NOT NULL ORDER BY key`, nil, func(rows *sql.Rows) error {
		var key string
		var line []byte
		if err := rows.Scan(&key, &line); err != nil {
			return err
		}
		read.Add(line)
		if id, ok := strings.CutPrefix(key, "a/"); ok && stay[id] {
			account, err := accountOf(key, line)
			if err != nil {
				return err
			}
			account.Locked = true
			line = roster.Row{Account: account}.Line()
		}
		r.meta.seq++
		r.meta.sum.Add(line)
		_, err := r.c.exec(`INSERT INTO roster (key, seq, line) VALUES (?, ?, ?)`, key, r.meta.seq, string(line))
		return cmp.Or(err, r.ctx.Err())
	})
	if err != nil {
		return err
	}
	if string(stored) != string(read[:]) {
		return errors.New("the backup changed while it was read: nobody else may write to it")
	}
	r.meta.seq = max(r.meta.seq, before+1) // also for a backup without rows
	return nil
}

// deactivate says in the resources of those that stay locked that they are.
func (r *restorer) deactivate(stay map[string]bool) error {
	for id := range stay {
		_, err := r.c.exec(`UPDATE resources SET doc = json_set(doc, '$.active', json('false')), version = version + 1, modified = ?
			WHERE id = ? AND kind = ?`, r.now.UnixMilli(), id, scimserver.KindUser)
		if err != nil {
			return err
		}
	}
	return nil
}

// begin stores where the feed stands and forgets every position before.
func (r *restorer) begin(margin uint32) error {
	m := &r.meta
	m.epoch, m.horizon = uuid.NewString(), m.seq
	var backup [2]cursor
	user, group := &backup[ledger.UserSlot], &backup[ledger.GroupSlot]
	err := r.c.row(`SELECT user_start, user_next, group_start, group_next FROM backup.meta`, nil, &user.start, &user.next, &group.start, &group.next)
	if err != nil {
		return err
	}
	if !r.fresh {
		margin = 0 // what was given is known
	}
	for slot := range m.cursors {
		m.cursors[slot] = beyond(m.cursors[slot], backup[slot], margin)
	}
	if margin == 0 { // that of a restore before goes on
		if err := r.c.row(`SELECT max(m.margin, b.margin) FROM meta m, backup.meta b`, nil, &margin); err != nil {
			return err
		}
	}
	if _, err := r.c.exec(`DELETE FROM positions`); err != nil {
		return err
	}
	if err := r.storeMeta(m.seq - 1); err != nil {
		return err
	}
	if _, err := r.c.exec(`UPDATE meta SET epoch = ?, restored = ?, margin = ?`, m.epoch, r.now.UnixMilli(), margin); err != nil {
		return err
	}
	slices.Sort(r.done.StayLocked)
	slices.Sort(r.done.Forgotten)
	r.done.Position = roster.Position{Epoch: m.epoch, Seq: m.seq, Sum: m.sum}
	return nil
}

// beyond is the further of two cursors and margin numbers more; one that was
// never set stays so.
func beyond(a, b cursor, margin uint32) cursor {
	if b.next > a.next {
		a = b
	}
	if a.next == 0 {
		return cursor{}
	}
	a.next += min(margin, math.MaxUint32-a.next)
	return a
}
