package sqlite

import (
	"bytes"
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// keepChanges is how many changes back a delta can begin; an agent that was
// away for longer takes a snapshot.
const keepChanges = 1 << 20

// pruneEvery is how many changes pass between two prunings.
const pruneEvery = 1 << 14

func (v *view) Position() (roster.Position, error) {
	m, err := v.readMeta()
	return roster.Position{Epoch: m.epoch, Seq: m.seq, Sum: m.sum}, err
}

// Position includes what the batch has done so far, which is not yet in meta's
// row.
func (t *tx) Position() (roster.Position, error) {
	return roster.Position{Epoch: t.meta.epoch, Seq: t.meta.seq, Sum: t.meta.sum}, nil
}

func (v *view) readMeta() (m meta, err error) {
	var sum []byte
	user, group := &m.cursors[ledger.UserSlot], &m.cursors[ledger.GroupSlot]
	err = v.c.row(`SELECT epoch, seq, sum, horizon, user_start, user_next, group_start, group_next, margin FROM meta`, nil,
		&m.epoch, &m.seq, &sum, &m.horizon, &user.start, &user.next, &group.start, &group.next, &m.margin)
	copy(m.sum[:], sum)
	return m, err
}

func (v *view) Restored() (time.Time, error) {
	var at sql.NullInt64
	err := v.c.row(`SELECT restored FROM meta`, nil, &at)
	return fromMilliOrNull(at), err
}

func (v *view) Row(key string) (roster.Row, error) {
	line, err := v.line(key)
	if err != nil {
		return roster.Row{}, err
	}
	if line == nil {
		return roster.Row{}, scimserver.ErrNotFound
	}
	c, err := roster.ParseChange(line)
	if err != nil {
		return roster.Row{}, err
	}
	return c.Row()
}

// line returns the row's encoding, nil when it is gone, and ErrNotFound when
// there never was one.
func (v *view) line(key string) ([]byte, error) {
	var line []byte
	err := v.c.row(`SELECT line FROM roster WHERE key = ?`, []any{key}, &line)
	return line, notFound(err)
}

func (v *view) Changes(after roster.Position, yield func(roster.Change) error) error {
	m, err := v.readMeta()
	if err != nil {
		return err
	}
	if after.Epoch != m.epoch || after.Seq > m.seq || after.Seq < m.horizon {
		return scimserver.ErrUnknownPosition
	}
	var sum []byte
	switch err := v.c.row(`SELECT sum FROM positions WHERE seq = ?`, []any{after.Seq}, &sum); {
	case errors.Is(err, sql.ErrNoRows):
		return scimserver.ErrUnknownPosition
	case err != nil:
		return err
	case !bytes.Equal(sum, after.Sum[:]):
		return scimserver.ErrUnknownPosition
	}
	// The index on seq finds the few; they are put in the order of their keys here.
	var changes []roster.Change
	err = v.c.each(`SELECT key, line FROM roster WHERE seq > ?`, []any{after.Seq}, func(rows *sql.Rows) error {
		var c roster.Change
		err := rows.Scan(&c.Key, &c.Line)
		changes = append(changes, c)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(changes, func(a, b roster.Change) int { return cmp.Compare(a.Key, b.Key) })
	for _, c := range changes {
		if err := yield(c); err != nil {
			return err
		}
	}
	return nil
}

// Accounts reads the keys of a range, in which nothing but accounts is.
func (v *view) Accounts() (n int, err error) {
	err = v.c.row(`SELECT count(*) FROM roster WHERE key >= 'a/' AND key < 'a0' AND line IS NOT NULL`, nil, &n)
	return n, err
}

func (v *view) Snapshot(yield func(roster.Change) error) error {
	return v.c.each(`SELECT key, line FROM roster WHERE line IS NOT NULL ORDER BY key`, nil, func(rows *sql.Rows) error {
		var c roster.Change
		if err := rows.Scan(&c.Key, &c.Line); err != nil {
			return err
		}
		return yield(c)
	})
}

func (v *view) RowsUnder(prefix string, yield func(roster.Change) error) error {
	// Keys are ASCII: no key lies between prefix+0x7f and what has the prefix.
	return v.rows(`SELECT key, line FROM roster WHERE key >= ?1 AND key < ?1 || char(127) AND line IS NOT NULL ORDER BY key`, prefix, yield)
}

// rows yields the rows, by key and line, that a query with one argument finds.
func (v *view) rows(query, arg string, yield func(roster.Change) error) error {
	return v.c.each(query, []any{arg}, func(rows *sql.Rows) error {
		var c roster.Change
		if err := rows.Scan(&c.Key, &c.Line); err != nil {
			return err
		}
		return yield(c)
	})
}

// Both joins begin with the members, which CROSS JOIN makes sure of: the other
// tables are found by their keys.
const (
	accountsIn = `SELECT a.key, a.line FROM roster m CROSS JOIN roster a ON a.key = 'a/' || substr(m.key, length(?1) + 1)
		WHERE m.key >= ?1 AND m.key < ?1 || char(127) AND m.line IS NOT NULL AND a.line IS NOT NULL ORDER BY m.key`
	// What it compares is the index's, as are the three conditions behind.
	groupsOf = `SELECT g.key, g.line FROM roster m CROSS JOIN roster g ON g.key = 'g/' || substr(m.key, 3, instr(substr(m.key, 3), '/') - 1)
		WHERE substr(m.key, instr(substr(m.key, 3), '/') + 3) = ?1 AND m.key > 'm/' AND m.key < 'm0' AND m.line IS NOT NULL
		AND g.line IS NOT NULL ORDER BY m.key`
)

func (v *view) AccountsIn(groupID string, yield func(roster.Change) error) error {
	return v.rows(accountsIn, roster.MemberKey(groupID, ""), yield)
}

func (v *view) GroupsOf(accountID string, yield func(roster.Change) error) error {
	return v.rows(groupsOf, accountID, yield)
}

func (t *tx) PutRow(r roster.Row) error {
	key, line := r.Key(), r.Line()
	if len(line) >= roster.MaxLine {
		return fmt.Errorf("row %s has %d bytes, %d at most", key, len(line), roster.MaxLine-1)
	}
	if _, err := roster.ParseChange(line); err != nil {
		return err // no agent would take it
	}
	// Most rows are new, so that this is one statement.
	n, err := t.c.exec(`INSERT INTO roster (seq, line, key) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING`, t.meta.seq+1, string(line), key)
	switch {
	case err != nil:
		return err
	case n > 0:
		t.meta.seq++
		t.meta.sum.Add(line)
		return nil
	}
	old, err := t.line(key)
	if err != nil || bytes.Equal(old, line) {
		return err
	}
	if err := t.step(string(line), key); err != nil {
		return err
	}
	if old != nil {
		t.meta.sum.Remove(old)
	}
	t.meta.sum.Add(line)
	return nil
}

func (t *tx) DropRow(key string) error {
	old, err := t.line(key)
	switch {
	case errors.Is(err, scimserver.ErrNotFound), err == nil && old == nil:
		return nil
	case err != nil:
		return err
	}
	t.meta.sum.Remove(old)
	return t.step(nil, key)
}

// step gives the row that is there its next line, nil when it is gone.
func (t *tx) step(line any, key string) error {
	t.meta.seq++
	_, err := t.c.exec(`UPDATE roster SET seq = ?, line = ? WHERE key = ?`, t.meta.seq, line, key)
	return err
}

func (t *tx) loadMeta() (err error) {
	t.meta, err = t.readMeta()
	return err
}

// storeMeta ends a batch: the position that others will see.
func (t *tx) storeMeta(seqBefore int64) error {
	m := &t.meta
	if m.seq != seqBefore {
		if _, err := t.c.exec(`INSERT INTO positions (seq, sum) VALUES (?, ?)`, m.seq, m.sum[:]); err != nil {
			return err
		}
		if m.seq/pruneEvery != seqBefore/pruneEvery {
			if err := t.prune(m.seq - keepChanges); err != nil {
				return err
			}
		}
	}
	user, group := m.cursors[ledger.UserSlot], m.cursors[ledger.GroupSlot]
	_, err := t.c.exec(`UPDATE meta SET seq = ?, sum = ?, horizon = ?, user_start = ?, user_next = ?, group_start = ?, group_next = ?`,
		m.seq, m.sum[:], m.horizon, user.start, user.next, group.start, group.next)
	return err
}

// prune forgets what only deltas from before horizon need.
func (t *tx) prune(horizon int64) error {
	if horizon <= t.meta.horizon {
		return nil
	}
	t.meta.horizon = horizon
	if _, err := t.c.exec(`DELETE FROM positions WHERE seq < ?`, horizon); err != nil {
		return err
	}
	_, err := t.c.exec(`DELETE FROM roster WHERE seq <= ? AND line IS NULL`, horizon)
	return err
}
