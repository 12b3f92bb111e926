package sqlite

import (
	"database/sql"

	"pwb/roster"
)

func (v *view) RowsUnder(prefix string, yield func(roster.Change) error) error {
	// Keys are ASCII: no key lies between prefix+0x7f and what has the prefix.
	return v.c.each(`SELECT key, line FROM roster WHERE key >= ?1 AND key < ?1 || char(127) AND line IS NOT NULL ORDER BY key`, []any{prefix}, func(rows *sql.Rows) error {
		var c roster.Change
		if err := rows.Scan(&c.Key, &c.Line); err != nil {
			return err
		}
		return yield(c)
	})
}
