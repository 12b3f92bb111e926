package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"pwb/roster"
)

// untouched names a file that nobody writes to: it is only read, without locks
// and without files beside it.
func untouched(path string) string {
	return fileURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}}, "query_only(1)")
}

// verify reads all of a file that nobody writes to and fails unless it is a
// whole store of a version that this program knows, in which the roster is what
// its digest says. It returns the version.
func verify(ctx context.Context, path string) (version int, err error) {
	db, err := sql.Open("sqlite", untouched(path))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	version, err = schemaVersion(ctx, db)
	if err != nil {
		return 0, err
	}
	if version == 0 {
		return 0, errors.New("the file holds no store")
	}
	if err := checkIntegrity(ctx, db, "integrity_check"); err != nil {
		return 0, err
	}
	return version, checkDigest(ctx, db)
}

// checkIntegrity has SQLite look at every page and constraint, and with
// integrity_check, which is slow, at every index.
func checkIntegrity(ctx context.Context, db *sql.DB, how string) error {
	rows, err := db.QueryContext(ctx, "PRAGMA "+how+"(5)")
	if err != nil {
		return fmt.Errorf("check the file's integrity: %w", err)
	}
	defer rows.Close()
	var faults []string
	for rows.Next() {
		var fault string
		if err := rows.Scan(&fault); err != nil {
			return fmt.Errorf("check the file's integrity: %w", err)
		}
		faults = append(faults, fault)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check the file's integrity: %w", err)
	}
	if text := strings.Join(faults, "; "); text != "ok" {
		return fmt.Errorf("the file is damaged: %.500s", text)
	}
	return nil
}

// checkDigest holds the rows of the roster against the sum in meta.
func checkDigest(ctx context.Context, db *sql.DB) error {
	var stored []byte
	if err := db.QueryRowContext(ctx, "SELECT sum FROM meta").Scan(&stored); err != nil {
		return fmt.Errorf("read the digest: %w", err)
	}
	rows, err := db.QueryContext(ctx, "SELECT key, line FROM roster WHERE line IS NOT NULL")
	if err != nil {
		return fmt.Errorf("read the roster: %w", err)
	}
	defer rows.Close()
	var sum roster.Sum
	for rows.Next() {
		var key string
		var line []byte
		if err := rows.Scan(&key, &line); err != nil {
			return fmt.Errorf("read the roster: %w", err)
		}
		if c, err := roster.ParseChange(line); err != nil || c.Key != key {
			return fmt.Errorf("the file is damaged: the roster's row %.150q holds something else", key)
		}
		sum.Add(line)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the roster: %w", err)
	}
	if string(stored) != string(sum[:]) {
		return errors.New("the file is damaged: the digest of its roster is not that of the rows")
	}
	return nil
}
