package sqlite

import (
	"database/sql"
	"fmt"
	"math"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// IDOwners reads both owners in one statement: a number has two rows at most.
func (v *view) IDOwners(number uint32) (uid, gid ledger.Entry, err error) {
	err = v.c.each(`SELECT kind, subject, name, given FROM ledger_ids WHERE number = ?`, []any{number}, func(rows *sql.Rows) error {
		var kind string
		var e ledger.Entry
		var given int64
		err := rows.Scan(&kind, &e.Subject, &e.Name, &given)
		e.Given = fromMilli(given)
		if kind == "uid" {
			uid = e
		} else {
			gid = e
		}
		return err
	})
	return uid, gid, err
}

func (v *view) NameOwner(name string) (e ledger.Entry, err error) {
	err = v.c.each(`SELECT subject, given FROM ledger_names WHERE name = ?`, []any{name}, func(rows *sql.Rows) error {
		var given int64
		err := rows.Scan(&e.Subject, &given)
		e.Name, e.Given = name, fromMilli(given)
		return err
	})
	return e, err
}

// Possessions yields the uid before the gid of one number.
func (v *view) Possessions(subject string, yield func(ledger.Possession) error) error {
	ids := `SELECT number, kind, subject, name, given FROM ledger_ids`
	names := `SELECT name, subject, given FROM ledger_names`
	var args []any
	if subject != "" {
		ids += ` WHERE subject = ?`
		names += ` WHERE subject = ?`
		args = []any{subject}
	}
	err := v.c.each(ids+` ORDER BY number, kind DESC`, args, func(rows *sql.Rows) error {
		var number uint32
		var kind string
		var given int64
		var p ledger.Possession
		if err := rows.Scan(&number, &kind, &p.Entry.Subject, &p.Entry.Name, &given); err != nil {
			return err
		}
		if kind == "uid" {
			p.UID = number
		} else {
			p.GID = number
		}
		p.Entry.Given = fromMilli(given)
		return yield(p)
	})
	if err != nil {
		return err
	}
	return v.c.each(names+` ORDER BY name`, args, func(rows *sql.Rows) error {
		var given int64
		var p ledger.Possession
		if err := rows.Scan(&p.Name, &p.Entry.Subject, &given); err != nil {
			return err
		}
		p.Entry.Name, p.Entry.Given = p.Name, fromMilli(given)
		return yield(p)
	})
}

func (t *tx) Cursor(slot ledger.Slot, start uint32) uint32 {
	if c := t.meta.cursors[slot]; c.start == start {
		return c.next
	}
	if t.meta.margin == 0 {
		return 0
	}
	return start + min(t.meta.margin, math.MaxUint32-start)
}

func (t *tx) SetCursor(slot ledger.Slot, start, next uint32) {
	t.meta.cursors[slot] = cursor{start, next}
}

func (t *tx) GiveUID(number uint32, e ledger.Entry) error { return t.giveID("uid", number, e) }
func (t *tx) GiveGID(number uint32, e ledger.Entry) error { return t.giveID("gid", number, e) }

// giveID is one statement for a number that is free, as most are.
func (t *tx) giveID(kind string, number uint32, e ledger.Entry) error {
	n, err := t.c.exec(`INSERT INTO ledger_ids (number, kind, subject, name, given) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		number, kind, e.Subject, e.Name, e.Given.UnixMilli())
	if err != nil || n > 0 {
		return err
	}
	var owner string
	err = t.c.row(`SELECT subject FROM ledger_ids WHERE number = ? AND kind = ?`, []any{number, kind}, &owner)
	return given(owner, err, e, fmt.Sprintf("%s %d", kind, number))
}

func (t *tx) GiveName(name string, e ledger.Entry) error {
	n, err := t.c.exec(`INSERT INTO ledger_names (name, subject, given) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, name, e.Subject, e.Given.UnixMilli())
	if err != nil || n > 0 {
		return err
	}
	owner, err := t.NameOwner(name)
	return given(owner.Subject, err, e, "name "+name)
}

// given says whether what could not be given anew is e's already.
func given(owner string, err error, e ledger.Entry, what string) error {
	if err == nil && owner != e.Subject {
		return fmt.Errorf("%s: %w", what, scimserver.ErrTaken)
	}
	return err
}
