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
	"runtime"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"pwb/scimserver"
)

// FileName is the store's file in the data directory.
const FileName = "pwb.db"

const (
	// busyTimeout bounds the wait for a lock that another process holds.
	busyTimeout = 10 * time.Second
	// maxBatch is the most updates that share a commit.
	maxBatch = 128
	// pollOthers is how often commits of other processes are looked for.
	pollOthers = 250 * time.Millisecond
)

// Store is the embedded store.
type Store struct {
	write, read *sql.DB
	jobs        chan *job
	readers     chan *conn // nil stands for one that is opened when it is needed

	quit chan struct{} // closed by Close
	done sync.WaitGroup

	closeOnce sync.Once
	closeErr  error

	// committed and announced hear of commits.
	committed func(Commit)
	announced func(seq int64)

	mu    sync.Mutex
	moved chan struct{}
	seq   int64 // announced last
}

var _ scimserver.Store = (*Store)(nil)

// Open opens the store in dir, which it makes with mode 0700 when it is not
// there. It refuses a directory that others may read, since the store holds
// password hashes.
func Open(ctx context.Context, dir string, options ...Option) (_ *Store, err error) {
	path := filepath.Join(dir, FileName)
	if err := prepareFile(dir, path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the store %s: %w", path, err)
		}
	}()
	s := &Store{
		jobs:  make(chan *job, maxBatch),
		quit:  make(chan struct{}),
		moved: make(chan struct{}),
	}
	for _, option := range options {
		option(s)
	}
	if s.write, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.read.Close(), s.write.Close())
	}
	return s, nil
}

// connect makes the first connection to a file. Where two processes make it at once,
// the change to a write-ahead log fails in one of them without waiting for the other:
// SQLite asks no busy handler there.
func connect(ctx context.Context, db *sql.DB) error {
	late := time.After(busyTimeout)
	for {
		err := db.PingContext(ctx)
		if !isBusy(err) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-late:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Store) start(ctx context.Context) (err error) {
	if err := connect(ctx, s.write); err != nil {
		return err
	}
	if err := migrate(ctx, s.write); err != nil {
		return err
	}
	var conns []*conn
	defer func() {
		if err != nil { // closing a sql.DB leaves connections in use open
			for _, c := range conns {
				err = errors.Join(err, c.close())
			}
		}
	}()
	open := func(db *sql.DB) (*conn, error) {
		c, err := newConn(ctx, db)
		if err == nil {
			conns = append(conns, c)
		}
		return c, err
	}
	w, err := open(s.write)
	if err != nil {
		return err
	}
	s.readers = make(chan *conn, 8+2*runtime.NumCPU())
	for range cap(s.readers) {
		s.readers <- nil
	}
	watch, err := open(s.read)
	if err != nil {
		return err
	}
	if err := watch.row("SELECT seq FROM meta", nil, &s.seq); err != nil {
		return err
	}
	s.done.Go(func() { s.writer(w) })
	s.done.Go(func() { s.watchOthers(watch) })
	return nil
}

func prepareFile(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	if info.Mode()&0o077 != 0 {
		return fmt.Errorf("data directory %s has mode %#o, so that others can reach password hashes in it: chmod 0700 it", dir, info.Mode().Perm())
	}
	// A file that is there is not opened: to close it again would end the locks
	// that another Store of this process has on it (fcntl(2), F_SETLK).
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the store's file: %w", err)
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		return fmt.Errorf("look at the store's file: %w", err)
	case info.IsDir():
		return fmt.Errorf("the store's file %s is a directory: move it away", path)
	}
	// A copy that was put back may be open to others; -wal and -shm follow it.
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("close the store's file to others: %w", err)
	}
	if err := handOver(path, info); err != nil {
		return fmt.Errorf("give the store's file to the owner of its directory: %w", err)
	}
	return nil
}

// handOver gives a store that root made or put there to the owner of its directory,
// as whom the server runs: an administrator may make the first token before the
// server ever ran. SQLite does the same with the files beside it.
func handOver(path string, dir fs.FileInfo) error {
	owner, ok := dir.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	// A second link would give away a file of root's that lies elsewhere.
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 || st.Nlink != 1 || !info.Mode().IsRegular() {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}

// dsn names the live store to the driver.
func dsn(path string, readOnly bool) string {
	pragmas := []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}
	if readOnly {
		pragmas = append(pragmas, "query_only(1)")
	}
	return fileURI(path, url.Values{"_txlock": {"immediate"}}, pragmas...)
}

// fileURI names a file to the driver, with what holds for every connection.
func fileURI(path string, options url.Values, pragmas ...string) string {
	options["_pragma"] = append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"trusted_schema(0)",
		"temp_store(MEMORY)",
	}, pragmas...)
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options.Encode()}).String()
}

// View implements scimserver.Store.
func (s *Store) View(ctx context.Context, fn func(scimserver.View) error) (err error) {
	var c *conn
	select {
	case c = <-s.readers:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.quit:
		return scimserver.ErrClosed
	}
	defer func() { s.readers <- c }()
	if c == nil {
		// Not ctx: the connection outlives the caller.
		if c, err = newConn(context.WithoutCancel(ctx), s.read); err != nil {
			c = nil
			return fmt.Errorf("open the store for reading: %w", err)
		}
	}
	if _, err := c.exec("BEGIN"); err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { // also when fn panics: the connection is used again
		if _, end := c.exec("ROLLBACK"); end != nil && err == nil {
			err = fmt.Errorf("end reading: %w", end)
		}
	}()
	return fn(&view{c})
}

// Moved implements scimserver.Store.
func (s *Store) Moved() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

func (s *Store) announce(seq int64) {
	s.mu.Lock()
	if seq <= s.seq {
		s.mu.Unlock()
		return
	}
	if s.announced != nil {
		s.announced(seq) // before anybody follows it
	}
	s.seq = seq
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
}

// watchOthers announces what other processes commit.
func (s *Store) watchOthers(c *conn) {
	defer c.close()
	tick := time.NewTicker(pollOthers)
	defer tick.Stop()
	var last int64
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		// A failure here is met again, and told, by whoever reads next.
		var version, seq int64
		if c.row("PRAGMA data_version", nil, &version) != nil || version == last {
			continue
		}
		if c.row("SELECT seq FROM meta", nil, &seq) == nil {
			last = version
			s.announce(seq)
		}
	}
}

// Close implements scimserver.Store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.quit)
		s.done.Wait()
		var errs []error
		for range cap(s.readers) {
			if c := <-s.readers; c != nil {
				errs = append(errs, c.close())
			}
		}
		errs = append(errs, s.read.Close(), s.write.Close())
		if err := errors.Join(errs...); err != nil {
			s.closeErr = fmt.Errorf("close the store: %w", err)
		}
	})
	return s.closeErr
}
