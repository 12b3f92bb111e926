package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// conn is one connection to the file with the statements it has prepared. It
// belongs to one goroutine at a time.
//
// Statements run without the caller's context: a driver that watches it would
// start a goroutine for each of them, and an interrupted statement would break
// the transaction that other callers share.
type conn struct {
	c     *sql.Conn
	stmts map[string]*sql.Stmt
}

func newConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]*sql.Stmt{}}, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.Close()
	}
	return c.c.Close()
}

// stmt prepares text once. All texts are constants of this package, so that
// their number is bounded.
func (c *conn) stmt(text string) (*sql.Stmt, error) {
	if s, ok := c.stmts[text]; ok {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, err)
	}
	c.stmts[text] = s
	return s, nil
}

func (c *conn) exec(text string, args ...any) (changed int64, err error) {
	s, err := c.stmt(text)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row scans the one row that the query yields; sql.ErrNoRows when none does.
func (c *conn) row(text string, args []any, into ...any) error {
	s, err := c.stmt(text)
	if err != nil {
		return err
	}
	return s.QueryRowContext(context.Background(), args...).Scan(into...)
}

// each calls fn for every row that the query yields.
func (c *conn) each(text string, args []any, fn func(*sql.Rows) error) error {
	s, err := c.stmt(text)
	if err != nil {
		return err
	}
	// While its rows are read the statement is busy: fn may need the same text
	// and then prepares another.
	delete(c.stmts, text)
	defer func() {
		if _, another := c.stmts[text]; another {
			s.Close()
		} else {
			c.stmts[text] = s
		}
	}()
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
