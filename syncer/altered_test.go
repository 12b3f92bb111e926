package syncer

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunMendsAnEditedFileAtOnceAndSaysWhatWasDone(t *testing.T) {
	n, o := newNode(t), town()
	run(t, n, remade(o), func(r *running) {
		pass(time.Minute)
		_, right := r.bytes()
		asked := len(o.asks())
		for range 3 { // of files that are as they were
			r.wake <- struct{}{}
			synctest.Wait()
		}
		if got := len(o.asks()); got > asked+1 {
			t.Errorf("asked %d times although no file had changed", got-asked)
		}
		must(os.WriteFile(n.sink.path, []byte("eve:0:false\n"), 0o600))
		r.wake <- struct{}{}
		synctest.Wait()
		if _, now := r.bytes(); now != right {
			t.Errorf("not mended: %q", now)
		}
		if log := r.log.String(); strings.Count(log, "somebody else changed") != 1 || !strings.Contains(log, "-eve:0:false") || !strings.Contains(log, n.sink.path) {
			t.Errorf("log: %s", log)
		}
		if st := r.state(); st.Mends != 1 || st.LastMend.IsZero() {
			t.Errorf("state %+v", st)
		}
		// And it is quiet again.
		pass(time.Second)
		asked = len(o.asks())
		r.wake <- struct{}{}
		synctest.Wait()
		if got := len(o.asks()); got != asked {
			t.Errorf("asked %d times more", got-asked)
		}
	})
}

func TestAWarOverAFileIsFoughtSlowly(t *testing.T) {
	n, o := newNode(t), town()
	run(t, n, remade(o), func(r *running) {
		for range 600 {
			must(os.WriteFile(n.sink.path, []byte("eve:0:false\n"), 0o600))
			select {
			case r.wake <- struct{}{}:
			default:
			}
			pass(100 * time.Millisecond)
		}
		if st := r.state(); st.Mends == 0 || st.Mends > 600 {
			t.Errorf("state %+v", st)
		}
		if count := len(o.asks()); count > 300 {
			t.Errorf("asked %d times in a minute", count)
		}
	})
}

func TestAWarningShowsTheBeginningOfALongDifference(t *testing.T) {
	var text limited
	for range 1000 {
		if _, err := text.Write([]byte("-a line of a file\n")); err != nil {
			break
		}
	}
	got := text.String()
	if len(got) > maxDifference+10 || !strings.HasSuffix(got, "file\n…\n") {
		t.Errorf("%d bytes: %q", len(got), got[len(got)-30:])
	}
}

func TestRunTellsThatItIsAlive(t *testing.T) {
	n, o := newNode(t), town()
	var deadline atomic.Pointer[time.Time]
	n.cfg.Alive = func(within time.Duration) {
		d := time.Now().Add(within)
		deadline.Store(&d)
	}
	run(t, n, remade(o), func(*running) {
		for range 600 {
			pass(time.Second)
			if now, promised := time.Now(), deadline.Load(); now.After(*promised) {
				t.Fatalf("not a word until %v, though it was promised for %v", now, promised)
			}
		}
	})
}
