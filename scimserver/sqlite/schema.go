package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// Schema returns the version of the schema that the store in dir has and the one
// that this program brings it to, and fails when it is a newer one. It changes
// nothing and makes no file, also while others have the store open.
func Schema(ctx context.Context, dir string) (version, known int, err error) {
	path := filepath.Join(dir, FileName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("look at the store %s: %w", path, err)
		}
	}()
	if err := checkStore(path); err != nil {
		return 0, 0, err
	}
	name := fileURI(path, url.Values{"mode": {"ro"}}, "query_only(1)")
	switch info, err := os.Stat(path + "-wal"); {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0:
		name = untouched(path) // nobody writes: nothing is made beside the file
	case err != nil:
		return 0, 0, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	version, err = schemaVersion(ctx, db)
	return version, len(migrationNames()), err
}
