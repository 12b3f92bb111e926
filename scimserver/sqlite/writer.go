package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

// job is an update that waits for the writer.
type job struct {
	ctx  context.Context
	fn   func(scimserver.Tx) error
	done chan error // has room for the one answer
}

// meta is the store's one row of state, which a batch keeps in memory.
type meta struct {
	epoch   string
	seq     int64
	sum     roster.Sum
	horizon int64
	cursors [2]cursor // by ledger.Slot; an array, so that a copy is one
	margin  uint32    // how far behind its start a search begins
}

// cursor is where the search that starts at start goes on.
type cursor struct{ start, next uint32 }

// Update implements scimserver.Store.
func (s *Store) Update(ctx context.Context, fn func(scimserver.Tx) error) error {
	j := &job{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case s.jobs <- j:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.quit:
		return scimserver.ErrClosed
	}
	select {
	case err := <-j.done:
		return err
	case <-s.quit:
		// The writer answers what it had begun before it ends.
		s.done.Wait()
		select {
		case err := <-j.done:
			return err
		default:
			return scimserver.ErrClosed
		}
	}
}

// writer commits the updates that wait, together. It alone uses c.
func (s *Store) writer(c *conn) {
	defer c.close()
	batch := make([]*job, 0, maxBatch)
	for {
		select {
		case <-s.quit:
			return
		case j := <-s.jobs:
			batch = append(batch[:0], j)
		}
	fill:
		for len(batch) < maxBatch {
			select {
			case j := <-s.jobs:
				batch = append(batch, j)
			default:
				break fill
			}
		}
		s.commit(c, batch)
	}
}

// commit runs the batch in one transaction and answers each of its jobs.
func (s *Store) commit(c *conn, batch []*job) {
	answers := make([]error, len(batch))
	began := time.Now()
	seq, err := s.transact(c, batch, answers)
	if err != nil {
		// Nobody's change is there, so nobody is told that it is.
		if _, undo := c.exec("ROLLBACK"); undo != nil {
			err = errors.Join(err, undo)
		}
		// Also what failed is told so: it may have met a row that is gone again.
		for i := range answers {
			answers[i] = fmt.Errorf("commit to the store: %w", err)
		}
	} else {
		s.announce(seq)
	}
	if s.committed != nil {
		s.committed(Commit{Updates: len(batch), Took: time.Since(began), Err: err})
	}
	for i, j := range batch {
		j.done <- answers[i]
	}
}

func (s *Store) transact(c *conn, batch []*job, answers []error) (int64, error) {
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	t := &tx{view: view{c}}
	if err := t.loadMeta(); err != nil {
		return 0, err
	}
	before := t.meta
	for i, j := range batch {
		if j.ctx.Err() != nil {
			answers[i] = context.Cause(j.ctx)
			continue
		}
		saved := t.meta
		if _, err := c.exec("SAVEPOINT job"); err != nil {
			return 0, err
		}
		if answers[i] = run(j.fn, t); answers[i] != nil {
			t.meta = saved
			if _, err := c.exec("ROLLBACK TO job"); err != nil {
				return 0, err
			}
		}
		if _, err := c.exec("RELEASE job"); err != nil {
			return 0, err
		}
	}
	if t.meta != before {
		if err := t.storeMeta(before.seq); err != nil {
			return 0, err
		}
	}
	_, err := c.exec("COMMIT")
	return t.meta.seq, err
}

// run calls fn; a panic in it is its failure, not the end of the writer.
func run(fn func(scimserver.Tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("update panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(t)
}
