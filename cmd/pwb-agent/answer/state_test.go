package answer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pwb/altfiles"
)

// stateNow reads the state file.
func (p *place) stateNow() (b []byte, flags uint32, beat, answered time.Duration, gen uint64) {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "run", StateName))
	if err != nil {
		p.t.Fatal(err)
	}
	le := binary.LittleEndian
	if len(b) != 64 || string(b[:8]) != "PWBSTATE" || le.Uint32(b[8:]) != 1 || le.Uint64(b[16:]) != altfiles.IndexSum(b[24:]) || le.Uint64(b[48:]) != uint64(os.Getpid()) || le.Uint64(b[56:]) != 0 {
		p.t.Fatalf("the state file holds %x", b)
	}
	return b, le.Uint32(b[12:]), time.Duration(le.Uint64(b[24:])), time.Duration(le.Uint64(b[32:])), le.Uint64(b[40:])
}

func TestTheStateFileSaysHowTheAgentStands(t *testing.T) {
	p := newPlace(t).open()
	path := filepath.Join(p.dir, "run", StateName)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there before anybody knows: %v", err)
	}
	p.Waits(true)
	p.state.write(bootTime())
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a heartbeat made it before anybody knew: %v", err)
	}
	p.Waits(false)
	var last time.Duration
	for _, c := range []struct {
		reached, current bool
		flags            uint32
	}{{false, false, 0}, {true, false, 1}, {true, true, 3}, {false, false, 0}, {true, true, 3}} {
		p.Heard(c.reached, c.current)
		_, flags, beat, answered, _ := p.stateNow()
		if flags != c.flags || beat <= last || c.reached != (answered == beat) {
			t.Errorf("%+v: flags %d, heartbeat %v after %v, answered %v", c, flags, beat, last, answered)
		}
		last = beat
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}

	// What is heard again is no news; a heartbeat is, and a request that the server
	// holds is a sign of it, as long as it may.
	before, _, _, was, _ := p.stateNow()
	p.Heard(true, true)
	if after, _, _, _, _ := p.stateNow(); !bytes.Equal(before, after) {
		t.Error("it was written though nothing changed")
	}
	s := &p.state
	beat := func(now time.Duration) (answered time.Duration) {
		s.mu.Lock()
		s.write(now)
		s.mu.Unlock()
		_, _, _, answered, _ = p.stateNow()
		return answered
	}
	if answered := beat(bootTime() + time.Second); answered < was || answered >= bootTime() {
		t.Errorf("answered at %v without an answer", answered)
	}
	p.Waits(true)
	for _, d := range []time.Duration{time.Second, 30 * time.Second} {
		if now := s.waiting + d; beat(now) != now {
			t.Errorf("a request that the server holds for %v is no sign of it", d)
		}
	}
	if now := s.waiting + 36*time.Second; beat(now) == now {
		t.Error("a request that is overdue is a sign of the server")
	}
	p.Waits(false)
	p.Heard(false, false)
	p.Waits(true) // of a server that did not answer
	if now := s.waiting + time.Second; beat(now) == now {
		t.Error("a request to a server that did not answer is a sign of it")
	}

	// The index is the one that is there.
	header := make([]byte, 160)
	copy(header, "PWBINDEX")
	binary.LittleEndian.PutUint64(header[32:], 4711)
	p.put("roster.idx", string(header))
	p.Heard(false, false)
	if _, _, _, _, gen := p.stateNow(); gen != 4711 {
		t.Errorf("generation %d", gen)
	}
	p.put("roster.idx", "short")
	p.Heard(false, false)
	if _, _, _, _, gen := p.stateNow(); gen != 0 {
		t.Errorf("generation %d of what is no index", gen)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 2 {
		t.Errorf("in the run directory: %v, %v", left, err)
	}
}

func TestAStateThatCannotBeWrittenIsToldOnce(t *testing.T) {
	p := newPlace(t).open()
	p.Heard(true, true)
	if err := os.Mkdir(filepath.Join(p.dir, "run", ".state.new"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "run", ".state.new", "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		p.Heard(i%2 == 0, false)
	}
	if n := strings.Count(p.log.String(), "cannot be told"); n != 1 {
		t.Errorf("told %d times: %s", n, &p.log)
	}
	if err := os.RemoveAll(filepath.Join(p.dir, "run", ".state.new")); err != nil {
		t.Fatal(err)
	}
	p.Heard(true, true)
	if _, flags, _, _, _ := p.stateNow(); flags != 3 {
		t.Errorf("flags %d", flags)
	}
}
