package sqlite

import (
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite"
	sqlite3lib "modernc.org/sqlite/lib"

	"pwb/scimserver"
)

// tx changes the store on the writer's connection.
type tx struct {
	view
	meta meta
}

// taken turns the breach of a uniqueness constraint into ErrTaken.
func taken(err error) error {
	var e *sqlite3.Error
	if errors.As(err, &e) && (e.Code() == sqlite3lib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3lib.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return scimserver.ErrTaken
	}
	return err
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (t *tx) Insert(r scimserver.Resource) error {
	_, err := t.c.exec(`INSERT INTO resources (kind, id, name, external_id, display, version, created, modified, doc)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Kind, r.ID, r.Name, orNull(r.ExternalID), orNull(r.Display), r.Version, r.Created.UnixMilli(), r.Modified.UnixMilli(), string(r.Doc))
	return taken(err)
}

func (t *tx) Replace(r scimserver.Resource) error {
	n, err := t.c.exec(`UPDATE resources SET name = ?, external_id = ?, display = ?, version = ?, modified = ?, doc = ? WHERE id = ? AND kind = ?`,
		r.Name, orNull(r.ExternalID), orNull(r.Display), r.Version, r.Modified.UnixMilli(), string(r.Doc), r.ID, r.Kind)
	return oneRow(n, taken(err))
}

func (t *tx) Delete(kind scimserver.Kind, id string) error {
	n, err := t.c.exec(`DELETE FROM resources WHERE id = ? AND kind = ?`, id, kind)
	return oneRow(n, err)
}

// oneRow says ErrNotFound for a statement that met no row.
func oneRow(n int64, err error) error {
	if err == nil && n == 0 {
		return scimserver.ErrNotFound
	}
	return err
}

func (t *tx) AddMember(groupID, userID string) (bool, error) {
	var group, user int64
	if err := t.c.row(`SELECT num FROM resources WHERE id = ? AND kind = 2`, []any{groupID}, &group); err != nil {
		return false, notFound(err)
	}
	if err := t.c.row(`SELECT num FROM resources WHERE id = ? AND kind = 1`, []any{userID}, &user); err != nil {
		return false, notFound(err)
	}
	n, err := t.c.exec(`INSERT INTO members (grp, usr) VALUES (?, ?) ON CONFLICT DO NOTHING`, group, user)
	return n > 0, err
}

func (t *tx) RemoveMember(groupID, userID string) (bool, error) {
	n, err := t.c.exec(`DELETE FROM members
		WHERE grp = (SELECT num FROM resources WHERE id = ? AND kind = 2)
		AND usr = (SELECT num FROM resources WHERE id = ? AND kind = 1)`, groupID, userID)
	return n > 0, err
}

func (t *tx) Cursor() uint32        { return t.meta.cursor }
func (t *tx) SetCursor(next uint32) { t.meta.cursor = next }

func (t *tx) GiveUID(number uint32, e scimserver.Entry) error { return t.giveID("uid", number, e) }
func (t *tx) GiveGID(number uint32, e scimserver.Entry) error { return t.giveID("gid", number, e) }

// giveID inserts the row unless another subject has the number as uid or gid.
// Most numbers are new, so that this is one statement.
func (t *tx) giveID(kind string, number uint32, e scimserver.Entry) error {
	n, err := t.c.exec(`INSERT INTO ledger_ids (number, kind, subject, name, given)
		SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM ledger_ids WHERE number = ?1 AND subject <> ?3)
		ON CONFLICT DO NOTHING`, number, kind, e.Subject, e.Name, e.Given.UnixMilli())
	if err != nil || n > 0 {
		return err
	}
	owner, err := t.IDOwner(number)
	return given(owner, err, e, fmt.Sprintf("%s %d", kind, number))
}

func (t *tx) GiveName(name string, e scimserver.Entry) error {
	n, err := t.c.exec(`INSERT INTO ledger_names (name, subject, given) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, name, e.Subject, e.Given.UnixMilli())
	if err != nil || n > 0 {
		return err
	}
	owner, err := t.NameOwner(name)
	return given(owner, err, e, "name "+name)
}

// given says whether what could not be given anew is e's already.
func given(owner scimserver.Entry, err error, e scimserver.Entry, what string) error {
	if err == nil && owner.Subject != e.Subject {
		return fmt.Errorf("%s: %w", what, scimserver.ErrTaken)
	}
	return err
}

func (t *tx) PutToken(k scimserver.Token) error {
	var expires any
	if !k.Expires.IsZero() {
		expires = k.Expires.UnixMilli()
	}
	_, err := t.c.exec(`INSERT INTO tokens (id, name, scope, hash, created, expires) VALUES (?, ?, ?, ?, ?, ?)`,
		k.ID, k.Name, string(k.Scope), k.Hash[:], k.Created.UnixMilli(), expires)
	return taken(err)
}

func (t *tx) DeleteToken(name string) error {
	n, err := t.c.exec(`DELETE FROM tokens WHERE name = ?`, name)
	return oneRow(n, err)
}
