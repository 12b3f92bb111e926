package answer

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pwb/altfiles"
)

func TestAStateFileIsBelievedOrNot(t *testing.T) {
	p := newPlace(t).open()
	path := filepath.Join(p.dir, "run", StateName)
	if _, err := ReadState(path); !errors.Is(err, ErrNoState) {
		t.Errorf("before there is one: %v", err)
	}
	p.Heard(true, true)
	before := bootTime()
	st, err := ReadState(path)
	if err != nil || !st.Reached || !st.Current || st.Age < 0 || st.Age > bootTime()-before+time.Minute {
		t.Errorf("%+v, %v", st, err)
	}
	p.Heard(false, false)
	if st, err = ReadState(path); err != nil || st.Reached || st.Current {
		t.Errorf("%+v, %v", st, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(p.dir, "state")
	for name, spoil := range map[string]func(b []byte) ([]byte, os.FileMode){
		"damaged":          func(b []byte) ([]byte, os.FileMode) { b[30]++; return b, 0o644 },
		"short":            func(b []byte) ([]byte, os.FileMode) { return b[:60], 0o644 },
		"empty":            func([]byte) ([]byte, os.FileMode) { return nil, 0o644 },
		"others' to write": func(b []byte) ([]byte, os.FileMode) { return b, 0o666 },
		"old": func(b []byte) ([]byte, os.FileMode) {
			binary.LittleEndian.PutUint64(b[24:], uint64(bootTime()-believed-time.Second))
			binary.LittleEndian.PutUint64(b[16:], altfiles.IndexSum(b[24:]))
			return b, 0o644
		},
		"from the future": func(b []byte) ([]byte, os.FileMode) {
			binary.LittleEndian.PutUint64(b[24:], uint64(bootTime()+time.Hour))
			binary.LittleEndian.PutUint64(b[16:], altfiles.IndexSum(b[24:]))
			return b, 0o644
		},
	} {
		b, mode := spoil(append([]byte(nil), good...))
		if err := errors.Join(os.WriteFile(own, b, 0o600), os.Chmod(own, mode)); err != nil {
			t.Fatal(err)
		}
		if st, err := ReadState(own); !errors.Is(err, ErrNoState) {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
	}
	if err := errors.Join(os.Remove(own), os.Symlink(path, own)); err != nil {
		t.Fatal(err)
	}
	if st, err := ReadState(own); !errors.Is(err, ErrNoState) {
		t.Errorf("a link: %+v, %v", st, err)
	}
}
