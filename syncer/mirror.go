package syncer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"pwb/roster"
)

const mirrorFile = "mirror"

// ErrMirror says that the mirror is damaged: cut, garbled, or not adding up. A
// pass that reaches the server replaces it by a snapshot.
var ErrMirror = errors.New("the mirror is damaged")

// Mirror is a node's copy of the roster, open for reading. It stays what it was
// when it was opened: a pass replaces the file and never writes to it.
type Mirror struct {
	f   *os.File
	pos roster.Position
}

// OpenMirror opens the mirror in a state directory. It fails with
// fs.ErrNotExist when there is none yet, and with ErrMirror when it does not
// begin like one; what follows is checked as it is read.
func OpenMirror(stateDir string) (*Mirror, error) {
	path := filepath.Join(stateDir, mirrorFile)
	// O_NONBLOCK: should it be a FIFO, opening it must not hang.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrMirror, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the mirror: %w", err)
	}
	m := &Mirror{f: f}
	if err := m.open(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return m, nil
}

func (m *Mirror) open() error {
	fi, err := m.f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrMirror)
	}
	r, err := m.reader()
	if err != nil {
		return err
	}
	m.pos = r.Header().To
	return nil
}

// Close releases the file.
func (m *Mirror) Close() error { return m.f.Close() }

// Position is that of the roster in the mirror, as the mirror says.
func (m *Mirror) Position() roster.Position { return m.pos }

// Rows reads the roster from its beginning, in ascending order of keys. Each
// range over it is a reading of its own. Rows that this version cannot decode
// are left out. An error, always ErrMirror, is the last thing it yields; only
// without one were the rows that came before the roster of Position. A row holds
// until the next.
func (m *Mirror) Rows() iter.Seq2[roster.Row, error] {
	return func(yield func(roster.Row, error) bool) {
		var decoder roster.Decoder
		for c, err := range m.changes() {
			if err != nil {
				yield(roster.Row{}, err)
				return
			}
			row, err := decoder.Row(c)
			if err != nil {
				continue
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Verify reads the whole mirror and fails with ErrMirror unless it adds up to
// its position.
func (m *Mirror) Verify() error {
	for _, err := range m.changes() {
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) reader() (*roster.Reader, error) {
	r, err := roster.NewReader(io.NewSectionReader(m.f, 0, math.MaxInt64))
	if err != nil {
		return nil, damaged(err)
	}
	if r.Header().From != nil {
		return nil, fmt.Errorf("%w: it is a delta, not a snapshot", ErrMirror)
	}
	return r, nil
}

func (m *Mirror) changes() changes {
	return func(yield func(roster.Change, error) bool) {
		r, err := m.reader()
		if err != nil {
			yield(roster.Change{}, err)
			return
		}
		for c, err := range whole(r) {
			if err != nil {
				yield(roster.Change{}, damaged(err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// writeMirror replaces the mirror by rows, which are the roster at to. When rows
// or writing fail, the old mirror is untouched. It needs memory for a line, not
// for the roster.
func writeMirror(stateDir string, to roster.Position, rows changes) error {
	path := filepath.Join(stateDir, mirrorFile)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(stateDir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return fmt.Errorf("write a new mirror: %w", err)
	}
	defer f.Cleanup() // does nothing once the file is in place
	buf := bufio.NewWriterSize(f, 256<<10)
	w, err := roster.NewWriter(buf, nil, to)
	if err != nil {
		return fmt.Errorf("write a new mirror: %w", err)
	}
	for c, err := range rows {
		if err != nil {
			return err
		}
		if err := w.Write(c); err != nil {
			return fmt.Errorf("write a new mirror: %w", err)
		}
	}
	if err := errors.Join(w.Close(), buf.Flush()); err != nil {
		return fmt.Errorf("write a new mirror: %w", err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("put the new mirror in place: %w", err)
	}
	return syncDir(stateDir)
}

// syncDir makes renames in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make %s durable: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("make %s durable: %w", dir, err)
	}
	return nil
}

// mirrorPosition is the position of the mirror, false when there is none that
// can be read.
func mirrorPosition(stateDir string) (roster.Position, bool) {
	m, err := OpenMirror(stateDir)
	if err != nil {
		return roster.Position{}, false
	}
	defer m.Close()
	return m.pos, true
}

// openIfAny opens the mirror; without one it returns nil, and the reason why
// the one there is cannot be used.
func openIfAny(stateDir string) (m *Mirror, why error, err error) {
	m, err = OpenMirror(stateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, ErrMirror):
		return nil, err, nil
	}
	return m, nil, err
}
