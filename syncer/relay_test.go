package syncer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pwb/roster"
)

// several are n rows whose lines lie in one buffer, as those of a Reader do, and
// then an error unless that is nil.
func several(n int, err error) changes {
	return func(yield func(roster.Change, error) bool) {
		var line []byte
		for i := range n {
			row := account(i)
			line = append(line[:0], row.Line()...)
			if !yield(roster.Change{Key: row.Key(), Line: line}, nil) {
				return
			}
		}
		if err != nil {
			yield(roster.Change{}, err)
		}
	}
}

func TestWhatIsReadAheadIsWhatIsRead(t *testing.T) {
	boom := errors.New("boom")
	for _, n := range []int{0, 1, 400, 5000} {
		for _, want := range []error{nil, boom} {
			i := 0
			var got error
			for c, err := range ahead(several(n, want)) {
				if err != nil {
					got = err
					continue
				}
				row, err := c.Row()
				if err != nil || row.Account.Name != fmt.Sprintf("user%d", i) || c.Key != row.Key() {
					t.Fatalf("row %d of %d is %q, %v", i, n, c.Line, err)
				}
				i++
			}
			if i != n || got != want {
				t.Errorf("%d rows of %d, then %v, want %v", i, n, got, want)
			}
		}
	}
}

// That no goroutine stays is seen at the end of all tests.
func TestReadingAheadEndsWithItsReader(t *testing.T) {
	for _, stop := range []int{1, 500, 4999} {
		i := 0
		for range ahead(several(5000, nil)) {
			if i++; i == stop {
				break
			}
		}
	}
}

func TestASinkThatFailsEarlyDoesNotHoldUpTheMirror(t *testing.T) {
	n, o := newNode(t), newOrigin("e")
	var rows []roster.Row
	for i := range 5000 {
		rows = append(rows, account(i))
	}
	o.set(rows...)
	n.sink.fail(errors.New("no"), nil)
	if _, err := n.once(o); err == nil || !strings.Contains(err.Error(), "plan the files at change 1: no") {
		t.Errorf("error %v", err)
	}
	if pos, ok := mirrorPosition(n.cfg.StateDir); !ok || pos != o.position() {
		t.Errorf("the mirror is at %v", pos)
	}
}

func TestADeltaOverADamagedMirrorLeadsToASnapshotBeforeAnythingIsWritten(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	garble(n, 300)
	o.set(account(9))
	res := n.mustOnce(o)
	n.checkInStep(o)
	if st := n.state(); res.Snapshot == "" || st.Heals != 1 || st.Deltas != 0 {
		t.Errorf("%+v, %+v", res, st)
	}
}
