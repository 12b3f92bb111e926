package sqlite

import (
	"errors"

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

// isBusy reports whether somebody else has the file locked.
func isBusy(err error) bool {
	var e *sqlite3.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3lib.SQLITE_BUSY
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
