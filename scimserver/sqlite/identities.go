package sqlite

import (
	"crypto/sha256"
	"database/sql"
	"time"

	"pwb/scimserver"
)

const identityColumns = `issuer, sub, subject, made, bound`

func scanIdentity(scan func(...any) error) (i scimserver.Identity, err error) {
	var bound int64
	err = scan(&i.Issuer, &i.Sub, &i.Subject, &i.Made, &bound)
	i.Bound = fromMilli(bound)
	return i, err
}

func (v *view) Identity(issuer, sub string) (scimserver.Identity, error) {
	i, err := scanIdentity(func(into ...any) error {
		return v.c.row(`SELECT `+identityColumns+` FROM identities WHERE issuer = ? AND sub = ?`, []any{issuer, sub}, into...)
	})
	return i, notFound(err)
}

func (v *view) Identities(subject string) (all []scimserver.Identity, err error) {
	err = v.c.each(`SELECT `+identityColumns+` FROM identities WHERE subject = ? ORDER BY issuer`, []any{subject}, func(rows *sql.Rows) error {
		i, err := scanIdentity(rows.Scan)
		all = append(all, i)
		return err
	})
	return all, err
}

func (t *tx) Bind(i scimserver.Identity) error {
	_, err := t.c.exec(`INSERT INTO identities (`+identityColumns+`) VALUES (?, ?, ?, ?, ?)`, i.Issuer, i.Sub, i.Subject, i.Made, i.Bound.UnixMilli())
	return taken(err)
}

func (t *tx) Unbind(subject string) (int, error) {
	n, err := t.c.exec(`DELETE FROM identities WHERE subject = ?`, subject)
	return int(n), err
}

// maxForgotten bounds what one UseOnce tidies up.
const maxForgotten = 100

func (t *tx) UseOnce(digest [sha256.Size]byte, now, until time.Time) error {
	if _, err := t.c.exec(`DELETE FROM used_once WHERE digest IN (SELECT digest FROM used_once WHERE expires <= ? LIMIT ?)`, now.UnixMilli(), maxForgotten); err != nil {
		return err
	}
	n, err := t.c.exec(`INSERT INTO used_once (digest, expires) VALUES (?1, ?2)
		ON CONFLICT (digest) DO UPDATE SET expires = ?2 WHERE expires <= ?3`, digest[:], until.UnixMilli(), now.UnixMilli())
	if err == nil && n == 0 {
		err = scimserver.ErrTaken
	}
	return err
}
