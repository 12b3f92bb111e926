package sqlite

import (
	"database/sql"
	"fmt"
	"time"

	"pwb/scimserver"
)

const tokenColumns = `id, name, scope, hash, created, expires, used, uses`

func scanToken(scan func(...any) error) (t scimserver.Token, err error) {
	var created int64
	var expires, used sql.NullInt64
	var hash []byte
	if err := scan(&t.ID, &t.Name, &t.Scope, &hash, &created, &expires, &used, &t.Uses); err != nil {
		return t, err
	}
	if copy(t.Hash[:], hash) != len(t.Hash) {
		return t, fmt.Errorf("token %s: its hash has %d bytes", t.ID, len(hash))
	}
	t.Created, t.Expires, t.Used = fromMilli(created), fromMilliOrNull(expires), fromMilliOrNull(used)
	return t, nil
}

func (v *view) Token(id string) (scimserver.Token, error) {
	t, err := scanToken(func(into ...any) error {
		return v.c.row(`SELECT `+tokenColumns+` FROM tokens WHERE id = ?`, []any{id}, into...)
	})
	return t, notFound(err)
}

func (v *view) TokenNamed(name string) (scimserver.Token, error) {
	t, err := scanToken(func(into ...any) error {
		return v.c.row(`SELECT `+tokenColumns+` FROM tokens WHERE name = ?`, []any{name}, into...)
	})
	return t, notFound(err)
}

func (v *view) Tokens() (all []scimserver.Token, err error) {
	err = v.c.each(`SELECT `+tokenColumns+` FROM tokens ORDER BY created, id`, nil, func(rows *sql.Rows) error {
		t, err := scanToken(rows.Scan)
		all = append(all, t)
		return err
	})
	return all, err
}

func (t *tx) PutToken(k scimserver.Token) error {
	_, err := t.c.exec(`INSERT INTO tokens (`+tokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		k.ID, k.Name, string(k.Scope), k.Hash[:], k.Created.UnixMilli(), milliOrNull(k.Expires), milliOrNull(k.Used), k.Uses)
	return taken(err)
}

func (t *tx) DeleteToken(name string) error {
	n, err := t.c.exec(`DELETE FROM tokens WHERE name = ?`, name)
	return oneRow(n, err)
}

func (t *tx) UseTokens(used map[string]time.Time) error {
	for id, at := range used {
		if at.IsZero() {
			continue // never is later than nothing
		}
		if _, err := t.c.exec(`UPDATE tokens SET used = ?1 WHERE id = ?2 AND (used IS NULL OR used < ?1)`, at.UnixMilli(), id); err != nil {
			return err
		}
	}
	return nil
}
