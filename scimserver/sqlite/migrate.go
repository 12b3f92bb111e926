package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"pwb/roster"
)

// migrations holds numbered files, NNNN_what.sql from 0001 on without a gap.
// PRAGMA user_version counts those that were applied. A file that was released
// is never edited.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrationNames are the files, in order.
func migrationNames() []string {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is a valid one
	}
	return names
}

// schemaVersion reads the file's version, which must not be newer than the
// program; 0 is a file that holds no store yet.
func schemaVersion(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (version int, err error) {
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if known := len(migrationNames()); version > known {
		return 0, fmt.Errorf("the store has schema version %d and this program knows %d: run the newer program that wrote it", version, known)
	}
	return version, nil
}

// migrate brings the file to the newest version, as one transaction.
func migrate(ctx context.Context, db *sql.DB) error {
	names := migrationNames()
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	if version == len(names) {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil) // immediate, by the DSN
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// Another process may have been first.
	if version, err = schemaVersion(ctx, tx); err != nil {
		return err
	}
	for i := version; i < len(names); i++ {
		text, err := migrations.ReadFile(names[i])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", names[i], err)
		}
	}
	if version == 0 {
		none := roster.Sum{}
		if _, err := tx.ExecContext(ctx, "INSERT INTO meta (one, epoch, seq, sum) VALUES (1, ?, 0, ?)", uuid.NewString(), none[:]); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO positions (seq, sum) VALUES (0, ?)", none[:]); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(names))); err != nil {
		return err
	}
	return tx.Commit()
}
