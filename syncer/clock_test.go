package syncer

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// aYear in either direction is how far clocks are off here.
var aYear = map[string]time.Duration{"a year ago": -365 * 24 * time.Hour, "in a year": 365 * 24 * time.Hour}

// What the node wrote before its clock was set back is from the future, and the
// other way round.
func TestFilesOfAnotherTimeChangeNothingAndDelayNothing(t *testing.T) {
	for name, off := range aYear {
		t.Run(name, func(t *testing.T) {
			h, o := newHouse(t.TempDir()), town()
			h.settle(t, o)
			then := time.Now().Add(off)
			shift := func() {
				h.editState(func(st *State) {
					st.LastPull, st.LastRender, st.LastErrorSince = then, then, then
					if st.Complete != nil {
						st.Complete.Proven = then
					}
				})
				for _, path := range []string{"state/mirror", "state/state.json", "state/manifest.json", "state/lock", "state", "files/passwd", "files/group", "files/shadow", "files", "etc/passwd", "etc/group"} {
					must(os.Chtimes(filepath.Join(h.root, path), then, then))
				}
			}
			shift()
			planned, res, err := h.once(t, o)
			if err != nil || !planned || res.Wrote {
				t.Errorf("planned %v, %+v, %v", planned, res, err)
			}
			h.check(t, o)
			shift()
			o.set(account(6))
			if _, res, err := h.once(t, o); err != nil || !res.Wrote || res.Snapshot != "" {
				t.Errorf("%+v, %v", res, err)
			}
			h.check(t, o)
			h.editState(func(st *State) { st.LastError, st.LastErrorSince = "the clock", then })
			if _, _, err := h.once(t, o); err != nil {
				t.Error(err)
			}
			h.check(t, o)
			if st, err := ReadState(h.cfg.StateDir); err != nil || st.LastError != "" {
				t.Errorf("state %+v, %v", st, err)
			}
			h.settle(t, o) // and passes become quiet again
		})
	}
}

// In a bubble it is the year 2000, so every file is from decades ahead.
func TestRunFollowsAtOnceThoughItsClockWasSetBack(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	o.set(account(6))
	n.mustOnce(o)
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Second)
		began := time.Now()
		o.set(account(7))
		synctest.Wait()
		r.checkInStep(o)
		r.checkWell()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		must(os.Remove(r.sink.path))
		pass(11 * time.Minute)
		r.checkInStep(o)
	})
}

// A server whose clock is another one's asks, by date, for a wait without an end.
func TestADateInRetryAfterKeepsRunAwayForMinutesAtMost(t *testing.T) {
	for name, off := range aYear {
		t.Run(name, func(t *testing.T) {
			n, o := newNode(t), town()
			n.mustOnce(o)
			o.set(account(6))
			var at []time.Time
			o.setFault(func(string) (io.ReadCloser, error, bool) {
				at = append(at, time.Now())
				date := http.Header{"Retry-After": {time.Now().Add(off).UTC().Format(http.TimeFormat)}}
				return nil, &StatusError{Code: 503, RetryAfter: retryAfter(date, time.Now())}, len(at) < 4
			})
			run(t, n, remade(o), func(r *running) {
				pass(3*maxRetryAfter + 3*time.Minute)
				r.checkInStep(o)
				r.checkWell()
			})
			var gaps []time.Duration
			for i := 1; i < min(len(at), 4); i++ {
				gaps = append(gaps, at[i].Sub(at[i-1]))
			}
			if len(gaps) != 3 || slices.Max(gaps) > maxRetryAfter+time.Minute || off < 0 && slices.Max(gaps) > time.Minute {
				t.Errorf("waited %v", gaps)
			}
		})
	}
}
