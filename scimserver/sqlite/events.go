package sqlite

import (
	"database/sql"
	"time"

	"pwb/scimserver"
)

const eventColumns = `seq, at, actor, action, subject, name, uid, gid, changes, epoch, position, loss`

func (t *tx) Record(e scimserver.Event) error {
	var loss any
	if e.Loss != scimserver.LossNone {
		loss = e.Loss
	}
	_, err := t.c.exec(`INSERT INTO events (at, actor, action, subject, name, uid, gid, changes, epoch, position, loss) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.At.UnixMilli(), e.Actor, e.Action, orNull(e.Subject), e.Name, e.UID, e.GID, orNull(string(e.Changes)), t.meta.epoch, t.meta.seq, loss)
	return err
}

// Events makes its statement of a few fixed parts: the number of texts is bounded.
func (v *view) Events(q scimserver.EventQuery, yield func(scimserver.Event) error) error {
	query, args := eventQuery(q)
	return v.c.each(query, args, func(rows *sql.Rows) error {
		var e scimserver.Event
		var at int64
		var subject, epoch sql.NullString
		var position, loss sql.NullInt64
		if err := rows.Scan(&e.Seq, &at, &e.Actor, &e.Action, &subject, &e.Name, &e.UID, &e.GID, &e.Changes, &epoch, &position, &loss); err != nil {
			return err
		}
		e.At, e.Subject = fromMilli(at), subject.String
		e.Epoch, e.Position, e.Loss = epoch.String, position.Int64, scimserver.Loss(loss.Int64)
		return yield(e)
	})
}

func eventQuery(q scimserver.EventQuery) (query string, args []any) {
	query = `SELECT ` + eventColumns + ` FROM events WHERE true`
	if q.Subject != "" {
		query += ` AND subject = ?`
		args = append(args, q.Subject)
	}
	if !q.Since.IsZero() {
		query += ` AND at >= ?`
		args = append(args, ceilMilli(q.Since))
	}
	if !q.Until.IsZero() {
		query += ` AND at < ?`
		args = append(args, ceilMilli(q.Until))
	}
	if q.Last > 0 { // the newest, put in order again
		query = `SELECT * FROM (` + query + ` ORDER BY seq DESC LIMIT ?)`
		args = append(args, q.Last)
	}
	return query + ` ORDER BY seq`, args
}

// ceilMilli rounds a bound up: events have whole milliseconds, bounds need not.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// lossesBetween has the partial index's condition in its text, so that it is used.
const lossesBetween = `SELECT count(DISTINCT subject), count(DISTINCT CASE WHEN loss = 2 THEN subject END) FROM events WHERE loss IS NOT NULL AND at >= ? AND at < ?`

func (v *view) Losses(since, until time.Time) (all, deleted int, err error) {
	err = v.c.row(lossesBetween, []any{ceilMilli(since), ceilMilli(until)}, &all, &deleted)
	return all, deleted, err
}

func (v *view) FuseReleased() (time.Time, error) {
	var until sql.NullInt64
	err := v.c.row(`SELECT fuse_released FROM meta`, nil, &until)
	return fromMilliOrNull(until), err
}

func (t *tx) ReleaseFuse(until time.Time) error {
	_, err := t.c.exec(`UPDATE meta SET fuse_released = ?`, milliOrNull(until))
	return err
}
