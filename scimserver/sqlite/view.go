package sqlite

import (
	"database/sql"
	"errors"
	"time"

	"pwb/scimserver"
)

// view reads through a connection on which a transaction is open.
type view struct{ c *conn }

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return scimserver.ErrNotFound
	}
	return err
}

const resourceColumns = `kind, id, name, coalesce(external_id, ''), coalesce(display, ''), version, created, modified, doc`

func scanResource(scan func(...any) error) (r scimserver.Resource, err error) {
	var created, modified int64
	err = scan(&r.Kind, &r.ID, &r.Name, &r.ExternalID, &r.Display, &r.Version, &created, &modified, &r.Doc)
	r.Created, r.Modified = fromMilli(created), fromMilli(modified)
	return r, err
}

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// fromMilliOrNull is the zero time for NULL.
func fromMilliOrNull(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMilli(ms.Int64)
}

// milliOrNull is NULL for the zero time.
func milliOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func (v *view) Resource(kind scimserver.Kind, id string) (scimserver.Resource, error) {
	r, err := scanResource(func(into ...any) error {
		return v.c.row(`SELECT `+resourceColumns+` FROM resources WHERE id = ? AND kind = ?`, []any{id, kind}, into...)
	})
	return r, notFound(err)
}

// conditions are those of a query, each with the index that it uses.
func conditions(kind scimserver.Kind, q scimserver.Query) (where string, args []any) {
	partner := ` AND num IN (SELECT grp FROM members WHERE usr = (SELECT num FROM resources WHERE id = ? AND kind = 1))`
	if kind == scimserver.KindUser {
		partner = ` AND num IN (SELECT usr FROM members WHERE grp = (SELECT num FROM resources WHERE id = ? AND kind = 2))`
	}
	if q.ID != "" { // one resource, whose memberships need not be gathered
		partner = ` AND EXISTS (SELECT 1 FROM members WHERE grp = resources.num AND usr = (SELECT num FROM resources WHERE id = ? AND kind = 1))`
		if kind == scimserver.KindUser {
			partner = ` AND EXISTS (SELECT 1 FROM members WHERE usr = resources.num AND grp = (SELECT num FROM resources WHERE id = ? AND kind = 2))`
		}
	}
	where, args = ` FROM resources WHERE kind = ?`, []any{kind}
	for _, c := range []struct{ text, value string }{
		{` AND id = ?`, q.ID},
		{` AND name = ?`, q.Name},
		{` AND external_id = ?`, q.ExternalID},
		{` AND display = ?`, q.Display},
		{partner, q.Partner},
	} {
		if c.value != "" {
			where += c.text
			args = append(args, c.value)
		}
	}
	return where, args
}

// orders holds the columns of each order; all are indexed and unique in a kind.
var orders = map[scimserver.Order]string{
	scimserver.ByAge:  "num",
	scimserver.ByName: "name",
	scimserver.ByID:   "id",
}

// Find makes its statement of a few fixed parts: the number of texts is bounded.
func (v *view) Find(kind scimserver.Kind, q scimserver.Query, yield func(scimserver.Resource) error) (total int, err error) {
	where, args := conditions(kind, q)
	one := (q.ID != "" || q.Name != "") && q.Offset == 0 && q.Limit != 0 // at most: it need not be counted first
	if !one {
		if err := v.c.row(`SELECT count(*)`+where, args, &total); err != nil || total == 0 || q.Limit == 0 {
			return total, err
		}
	}
	order := ` ORDER BY ` + orders[q.Order]
	if q.Descending {
		order += ` DESC`
	}
	err = v.c.each(`SELECT `+resourceColumns+where+order+` LIMIT ? OFFSET ?`, append(args, q.Limit, q.Offset), func(rows *sql.Rows) error {
		r, err := scanResource(rows.Scan)
		if err != nil {
			return err
		}
		if one {
			total = 1
		}
		return yield(r)
	})
	return total, err
}

func (v *view) Members(groupID string, yield func(scimserver.Ref) error) error {
	return v.refs(`SELECT u.id, u.doc ->> '$.userName' FROM resources g
		JOIN members m ON m.grp = g.num JOIN resources u ON u.num = m.usr
		WHERE g.id = ? AND g.kind = 2 ORDER BY m.usr`, groupID, yield)
}

func (v *view) Memberships(userID string, yield func(scimserver.Ref) error) error {
	return v.refs(`SELECT g.id, g.doc ->> '$.displayName' FROM resources u
		JOIN members m ON m.usr = u.num JOIN resources g ON g.num = m.grp
		WHERE u.id = ? AND u.kind = 1 ORDER BY m.grp`, userID, yield)
}

func (v *view) refs(query, id string, yield func(scimserver.Ref) error) error {
	return v.c.each(query, []any{id}, func(rows *sql.Rows) error {
		var ref scimserver.Ref
		if err := rows.Scan(&ref.ID, &ref.Display); err != nil {
			return err
		}
		return yield(ref)
	})
}
