package answer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pwb/altfiles"
)

// The state file, 64 bytes, little-endian:
//
//	 0  PWBSTATE
//	 8  u32 version 1
//	12  u32 flags: 1 the server answered at the last attempt, 2 the files then
//	    showed what it has
//	16  u64 sum of the bytes from 24 on
//	24  u64 when it was written, in nanoseconds of CLOCK_BOOTTIME
//	32  u64 when the server answered last, likewise
//	40  u64 generation of the lookup index, 0 if there is none
//	48  u64 pid
//	56  u64 0
const (
	stateSize    = 64
	stateMagic   = "PWBSTATE"
	stateVersion = 1

	flagReached = 1
	flagCurrent = 2

	// heartbeat is how often it is written: the module believes one that is younger
	// than three times that.
	heartbeat = 5 * time.Second
	// overdue is how much longer than asked for the server may hold a request that
	// still counts as a sign of it.
	overdue = 5 * time.Second
)

// state keeps the state file. Nothing is written before the first attempt to reach
// the server: nobody knows then how it is.
type state struct {
	path, index string
	wait        time.Duration
	log         *slog.Logger

	mu       sync.Mutex // over the rest
	heardAny bool
	removed  bool
	flags    uint32
	answered time.Duration // when the server answered last, of CLOCK_BOOTTIME
	waiting  time.Duration // since when it holds a request; 0 when it does not
	shown    shown
	failed   bool
}

// shown is what the file says besides the time.
type shown struct {
	flags      uint32
	generation uint64
}

// keep writes the file again and again until ctx ends.
func (s *state) keep(ctx context.Context) {
	timer := time.NewTicker(heartbeat)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			s.mu.Lock()
			s.write(bootTime())
			s.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

func (s *state) heard(reached, current bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := bootTime()
	first := !s.heardAny
	s.heardAny, s.flags = true, 0
	if reached {
		s.flags |= flagReached
		s.answered = now
	}
	if current {
		s.flags |= flagCurrent
	}
	if first || s.shown != (shown{s.flags, generation(s.index)}) {
		s.write(now)
	}
}

func (s *state) waits(does bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = 0
	if does {
		s.waiting = bootTime()
	}
}

// write puts the file in place; the caller holds mu. Its first failure is logged.
func (s *state) write(now time.Duration) {
	if !s.heardAny || s.removed {
		return
	}
	// While the server holds a request it would tell of any change.
	if s.waiting != 0 && now-s.waiting < s.wait+overdue && s.flags&flagReached != 0 {
		s.answered = now
	}
	s.shown = shown{s.flags, generation(s.index)}
	b := make([]byte, stateSize)
	le := binary.LittleEndian
	copy(b, stateMagic)
	le.PutUint32(b[8:], stateVersion)
	le.PutUint32(b[12:], s.shown.flags)
	le.PutUint64(b[24:], uint64(now))
	le.PutUint64(b[32:], uint64(s.answered))
	le.PutUint64(b[40:], s.shown.generation)
	le.PutUint64(b[48:], uint64(os.Getpid()))
	le.PutUint64(b[16:], altfiles.IndexSum(b[24:]))
	err := replace(s.path, b)
	if err != nil && !s.failed {
		s.log.Warn("the NSS module cannot be told how the agent stands, and asks it each time", "error", err)
	}
	s.failed = err != nil
}

// remove takes the file away for good.
func (s *state) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the state file stays; it is not believed for longer than some seconds", "error", err)
	}
}

// State is what the state file says of an agent that stays.
type State struct {
	// Reached: the server answered at the last attempt. Current: the files then
	// showed what it has.
	Reached, Current bool
	// Age is how long ago the server answered last.
	Age time.Duration
}

// believed is how long a state file is, as by the NSS module.
const believed = 3 * heartbeat

// ErrNoState: no agent says how it stands.
var ErrNoState = errors.New("the agent's state file is not one to believe")

// ReadState reads a state file, as strictly as the NSS module does. It fails with
// ErrNoState for one that is absent, old, damaged, or not of root's alone.
func ReadState(path string) (State, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	defer f.Close()
	var st unix.Stat_t
	b := make([]byte, stateSize)
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != stateSize || st.Mode&0o022 != 0 || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return State{}, fmt.Errorf("%w: %s is of uid %d, mode %o and %d bytes", ErrNoState, path, st.Uid, st.Mode, st.Size)
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	le := binary.LittleEndian
	if string(b[:8]) != stateMagic || le.Uint32(b[8:]) != stateVersion || le.Uint64(b[16:]) != altfiles.IndexSum(b[24:]) {
		return State{}, fmt.Errorf("%w: %s is damaged", ErrNoState, path)
	}
	now := bootTime()
	written, answered := time.Duration(le.Uint64(b[24:])), time.Duration(le.Uint64(b[32:]))
	if written > now || now-written > believed || answered > now {
		return State{}, fmt.Errorf("%w: %s was written at %v of %v since boot", ErrNoState, path, written, now)
	}
	flags := le.Uint32(b[12:])
	return State{Reached: flags&flagReached != 0, Current: flags&flagCurrent != 0, Age: now - answered}, nil
}

// replace renames a file into place that all can read. It need not outlive a crash
// of the system.
func replace(path string, data []byte) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // the error is told
	}
	return err
}

// generation reads that of a lookup index; 0 where there is none.
func generation(index string) uint64 {
	f, err := os.OpenFile(index, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	var b [40]byte
	if n, err := f.ReadAt(b[:], 0); n != len(b) || err != nil || string(b[:8]) != "PWBINDEX" {
		return 0
	}
	return binary.LittleEndian.Uint64(b[32:])
}

// bootTime is CLOCK_BOOTTIME, which goes on while the machine sleeps and is set by
// nobody.
func bootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // which nobody believes
	}
	return time.Duration(t.Nano())
}
