package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"pwb/roster"
)

const (
	// racy is the age from which a file's ctime tells it from a later version:
	// below, two writes may have left the same.
	racy = 2 * time.Second
	// provenFor is how long a proof of the mirror's rows is good enough for a
	// pass without a change.
	provenFor = 24 * time.Hour
)

// Complete is a pass that proved the mirror, planned with its rows, and found
// that there was nothing to write. While nothing that it rested on has changed,
// and the server has nothing new, another pass would find the same.
type Complete struct {
	// Position is that of the mirror, Proven when its rows were read and added up.
	Position roster.Position `json:"position"`
	Proven   time.Time       `json:"proven"`
	// Program, Mirror and Sink tell the agent, the mirror file and what the Sink
	// looks at from others. They are compared and nothing else.
	Program string `json:"program"`
	Mirror  string `json:"mirror"`
	Sink    string `json:"sink"`
	// Pin tells the pin that the files were held to, empty without one.
	Pin string `json:"pin,omitempty"`
}

// quiet ends a pass that has nothing to do: it asks the server, and reports true
// when that has no change and st's Complete still holds. It reads no mirror and
// writes nothing. If it reports false the pass goes on with the ask it returns,
// which has the server's answer if there was one; the caller calls done then.
func (s *Syncer) quiet(st *State, res *Result, first ask) (is bool, next ask, done func()) {
	done = func() {}
	c := st.Complete
	if c == nil || s.cfg.Check || st.LastError != "" || st.Stopped != nil || c.Pin == "" && (st.Rendered == nil || *st.Rendered != c.Position) {
		return false, first, done
	}
	if pin, _ := pinMark(s.cfg.StateDir); c.Pin != pin {
		return false, first, done
	}
	if age := time.Since(c.Proven); age < 0 || age >= provenFor || c.Program != s.program() || c.Mirror != mirrorMark(s.cfg.StateDir) {
		return false, first, done
	}
	body, err := first(c.Position)
	// The files are looked at when the answer is there: that may take a while.
	if errors.Is(err, ErrNoChange) && c.Mirror == mirrorMark(s.cfg.StateDir) {
		if mark, _, err := s.sink.Mark(); err == nil && mark == c.Sink {
			res.Position, res.Reached, res.mark = c.Position, true, mark
			st.setResync(false)
			st.LastRender = utcNow()
			return true, nil, done
		}
	}
	used := false
	next = func(pos roster.Position) (io.ReadCloser, error) {
		if used || pos != c.Position {
			return first(pos)
		}
		used = true
		return body, err
	}
	done = func() {
		if !used && body != nil {
			body.Close()
		}
	}
	return false, next, done
}

// basis is what a plan rests on, taken before it looks.
type basis struct {
	sink, program, mirror, pin string
	newest                     time.Time
	ok                         bool
}

// basisOf takes what a plan with m's rows rests on.
func (s *Syncer) basisOf(m *Mirror) basis {
	fi, err := m.f.Stat()
	if err != nil {
		return basis{}
	}
	b := basis{program: s.program(), mirror: fileMark(fi)}
	b.sink, b.newest, err = s.sink.Mark()
	pin, pinned := pinMark(s.cfg.StateDir)
	b.pin = pin
	for _, changed := range []time.Time{ctime(fi), pinned} {
		if changed.After(b.newest) {
			b.newest = changed
		}
	}
	b.ok = err == nil && b.program != "" && b.mirror != "" && b.sink != "" && time.Since(b.newest) >= s.racy
	return b
}

// setComplete records that a plan that rests on b found nothing to write, unless
// was says so already. One that rests on files that are too young to be known
// again says nothing of the next pass.
func (st *State) setComplete(b basis, pos roster.Position, was *Complete) {
	if !b.ok {
		return
	}
	c := Complete{Position: pos, Proven: utcNow(), Program: b.program, Mirror: b.mirror, Sink: b.sink, Pin: b.pin}
	st.Complete = &c
	if was == nil {
		return
	}
	if age := time.Since(was.Proven); age >= 0 && age < provenFor {
		again := c
		again.Proven = was.Proven
		if again == *was {
			st.Complete = was // a proof more is no reason to write the state
		}
	}
}

// mark is the Sink's now, empty if it cannot tell.
func (s *Syncer) mark() string {
	mark, _, err := s.sink.Mark()
	if err != nil {
		return ""
	}
	return mark
}

// program tells this agent from others: by its version, and by its file, as
// builds may have the same. Empty if that cannot be seen.
func (s *Syncer) program() string {
	fi, err := os.Stat("/proc/self/exe")
	if err != nil {
		return ""
	}
	mark := fileMark(fi)
	if mark == "" {
		return ""
	}
	return s.cfg.Version + " " + mark
}

// mirrorMark is the fileMark of the mirror, empty without one.
func mirrorMark(stateDir string) string {
	fi, err := os.Lstat(filepath.Join(stateDir, mirrorFile))
	if err != nil {
		return ""
	}
	return fileMark(fi)
}

// fileMark tells one version of a regular file from every other: writing to it,
// or giving it another time, moves its ctime.
func fileMark(fi os.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.Mode().IsRegular() {
		return ""
	}
	return fmt.Sprintf("%x:%x:%d:%d.%09d:%d.%09d", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec)
}

// ctime is when a file was changed in any way; a century ahead if unknown.
func ctime(fi os.FileInfo) time.Time {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec))
	}
	return time.Now().AddDate(100, 0, 0)
}

// passOrQuiet is pass, but for one that quiet ends.
func (s *Syncer) passOrQuiet(ctx context.Context, first ask) (Result, error) {
	return s.recorded(ctx, func(st *State, res *Result) error {
		is, next, done := s.quiet(st, res, first)
		if is {
			return st.heldBack()
		}
		defer done()
		return s.pass(ctx, next, st, res)
	})
}
