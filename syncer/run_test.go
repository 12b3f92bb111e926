package syncer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pwb/roster"
)

// running is Run in a bubble of synctest, where time passes only while all wait.
type running struct {
	*node
	t      *testing.T
	s      *Syncer
	log    *bytes.Buffer
	events []Event
	wake   chan struct{} // made in the bubble
}

// run calls test while Run runs on n and o, and ends it afterwards.
func run(t *testing.T, n *node, o Source, test func(*running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &running{node: n, t: t, log: &bytes.Buffer{}}
		n.cfg.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		r.wake = make(chan struct{}, 1)
		n.cfg.Wake = r.wake
		n.cfg.Observe = func(e Event) { r.events = append(r.events, e) }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		s := n.syncer(o)
		r.s = s
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		test(r)
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Run took %v to end", took)
		}
	})
}

// pass lets time pass, and then waits until nothing moves any more.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRunRendersAChangeAtOnce(t *testing.T) {
	n, o := newNode(t), town()
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Second)
		o := o
		r.checkInStep(o)
		began := time.Now()
		for i := range 3 {
			o.set(account(10 + i))
			synctest.Wait()
			r.checkInStep(o)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		if count := len(o.asks()); count > 6 {
			t.Errorf("the server was asked %d times: %v", count, o.asks())
		}
	})
}

// remade gives o a channel of this bubble: synctest wants each to stay in one.
func remade(o *origin) Source { return lateOrigin{o} }

// lateOrigin makes the channel when it is first used, in the bubble.
type lateOrigin struct{ *origin }

func (l lateOrigin) Changes(ctx context.Context, pos roster.Position, wait time.Duration) (io.ReadCloser, error) {
	l.mu.Lock()
	if !l.inBubble {
		l.inBubble, l.changed = true, make(chan struct{})
	}
	l.mu.Unlock()
	return l.origin.Changes(ctx, pos, wait)
}

func TestRunRendersTheMirrorBeforeItAsksTheServer(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	must(os.Remove(n.sink.path))
	down := errors.New("no network yet")
	run(t, n, away{down}, func(r *running) {
		if _, rendered := r.bytes(); rendered == "absent" {
			t.Error("the last good files are not there")
		}
		if len(r.events) != 2 || !r.events[0].Result.Wrote || !errors.Is(r.events[1].Err, down) {
			t.Errorf("events %+v", r.events)
		}
		if st := r.state(); !strings.Contains(st.LastError, "no network yet") {
			t.Errorf("state %+v", st)
		}
	})
}

func TestRunBacksOffWhileTheServerFailsAndRecovers(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	o.setFault(func(string) (io.ReadCloser, error, bool) { return nil, errors.New("server on fire"), true })
	o.asked = nil
	run(t, n, remade(o), func(r *running) {
		pass(time.Hour)
		// Random below 60 s: 120 waits in an hour, give or take. Fewer than 60
		// would need an average of a minute, more than 240 one of 15 s.
		if count := len(o.asks()); count < 60 || count > 240 {
			t.Errorf("asked %d times in an hour", count)
		}
		if got := strings.Count(r.log.String(), "server on fire"); got != 1 {
			t.Errorf("the same failure was logged %d times", got)
		}
		o.setFault(nil)
		o.set(account(6))
		pass(time.Minute)
		r.checkInStep(o)
		if st := r.state(); st.LastError != "" || !strings.Contains(r.log.String(), "all is well again") {
			t.Errorf("state %+v, log %s", st, r.log)
		}
	})
}

func TestRunLeavesAServerAloneForAsLongAsItAsks(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	for _, test := range []struct{ ask, atLeast, atMost time.Duration }{
		{40 * time.Second, 40 * time.Second, 41 * time.Second},
		{365 * 24 * time.Hour, maxRetryAfter, maxRetryAfter + time.Second},
	} {
		var at []time.Time
		o.setFault(func(string) (io.ReadCloser, error, bool) {
			at = append(at, time.Now())
			return nil, &StatusError{Code: 503, RetryAfter: test.ask}, true
		})
		run(t, n, remade(o), func(*running) {
			pass(test.atMost)
			if len(at) != 2 {
				t.Fatalf("asked at %v", at)
			}
			if gap := at[1].Sub(at[0]); gap < test.atLeast {
				t.Errorf("asked again after %v", gap)
			}
		})
		o.inBubble = false
	}
}

func TestRunLeavesAServerAloneThatEndsAWait(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	var at []time.Time
	run(t, n, o, func(r *running) {
		o.setFault(func(string) (io.ReadCloser, error, bool) {
			at = append(at, time.Now())
			return nil, &NoChangeError{40 * time.Second}, true
		})
		pass(2 * time.Minute)
		if len(at) < 3 || at[2].Sub(at[1]) < 40*time.Second || at[2].Sub(at[1]) > 41*time.Second {
			t.Errorf("asked at %v", at)
		}
		if st := r.state(); st.LastError != "" || strings.Contains(r.log.String(), "failed") {
			t.Errorf("that passes for a failure: %+v, log %s", st, r.log)
		}
	})
}

func TestAWakeEndsAWaitEarly(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		n.cfg.Wake = wake
		asked := 0
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o.setFault(func(string) (io.ReadCloser, error, bool) {
			asked++
			return nil, &StatusError{Code: 401, RetryAfter: time.Hour}, true
		})
		ended := make(chan error, 1)
		s := n.syncer(o)
		go func() { ended <- s.Run(ctx) }()
		for i := 1; i < 4; i++ {
			synctest.Wait()
			if asked != i {
				t.Errorf("asked %d times, want %d", asked, i)
			}
			wake <- struct{}{}
			pass(s.cfg.MinBackoff) // wakes do not make it hammer
		}
		synctest.Wait()
		close(wake) // which wakes nobody, and above all not for ever
		synctest.Wait()
		before := asked
		pass(time.Minute)
		if asked != before {
			t.Errorf("asked %d times after the channel was closed", asked-before)
		}
		cancel()
		must(<-ended)
	})
}

func TestRunDoesNotHammerAServerThatAnswersWithoutWaiting(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(o *origin, kind string) (io.ReadCloser, error, bool)
		most  int
	}{
		{"that nothing changed", func(_ *origin, kind string) (io.ReadCloser, error, bool) {
			return nil, ErrNoChange, kind == "changes"
		}, 130},
		{"with a delta that leads nowhere", func(o *origin, kind string) (io.ReadCloser, error, bool) {
			return io.NopCloser(bytes.NewReader(o.delta(o.pos))), nil, kind == "changes"
		}, 130},
		{"that it knows no position", func(_ *origin, kind string) (io.ReadCloser, error, bool) {
			return nil, ErrResync, kind == "changes"
		}, 60},
		{"with another epoch each time", func(o *origin, kind string) (io.ReadCloser, error, bool) {
			if kind == "changes" {
				return nil, ErrResync, true
			}
			o.pos.Epoch += "x"
			if len(o.pos.Epoch) > 60 {
				o.pos.Epoch = "again"
			}
			return nil, nil, false
		}, 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			o.setFault(func(kind string) (io.ReadCloser, error, bool) { return test.fault(o, kind) })
			run(t, n, remade(o), func(r *running) {
				pass(time.Minute)
				if count := len(o.asks()); count > test.most {
					t.Errorf("asked %d times in a minute", count)
				}
				for _, e := range r.events {
					if e.Err != nil {
						t.Errorf("error %v", e.Err)
					}
				}
			})
		})
	}
}

func TestAStoppedRunKeepsPollingAndFollowsWhenAnotherPassAccepts(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	n.cfg.Fuse = Fuse{Count: 1}
	_, rendered := n.bytes()
	run(t, n, remade(o), func(r *running) {
		o.drop(account(1).Key(), account(2).Key())
		synctest.Wait()
		pass(time.Hour)
		if _, now := r.bytes(); now != rendered {
			t.Error("the rendered file changed")
		}
		if got := strings.Count(r.log.String(), "level=ERROR"); got != 1 {
			t.Errorf("the stop was logged %d times:\n%s", got, r.log)
		}
		if e := r.events[len(r.events)-1]; !errors.Is(e.Err, ErrFuse) || !e.Result.Reached {
			t.Errorf("a poll that finds nothing passes for success: %+v", e)
		}
		accept := &node{t: t, cfg: n.cfg, sink: n.sink}
		accept.cfg.AcceptChange, accept.cfg.Observe = o.position().Seq, nil
		accept.mustOnce(o)
		pass(time.Minute)
		if e := r.events[len(r.events)-1]; e.Err != nil {
			t.Errorf("after the acceptance: %v", e.Err)
		}
		o.set(account(9))
		synctest.Wait()
		r.checkInStep(o)
		if st := r.state(); st.Stopped != nil {
			t.Errorf("state %+v", st)
		}
	})
}

func TestRunMendsFilesAtItsAudits(t *testing.T) {
	n, o := newNode(t), town()
	run(t, n, remade(o), func(r *running) {
		must(os.Remove(n.sink.path))
		pass(9 * time.Minute)
		if _, rendered := r.bytes(); rendered != "absent" {
			t.Error("mended early")
		}
		pass(2 * time.Minute)
		r.checkInStep(o)
	})
}

func TestRunTriesAgainWhatASinkCouldNotWrite(t *testing.T) {
	n, o := newNode(t), town()
	n.sink.fail(nil, errors.New("disk full"))
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Minute)
		if st := r.state(); !strings.Contains(st.LastError, "disk full") || st.Snapshots != 1 {
			t.Errorf("state %+v", st)
		}
		r.sink.fail(nil, nil)
		pass(time.Minute)
		r.checkInStep(o)
	})
}

func TestRunHealsADamagedMirror(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	garble(n, 400)
	run(t, n, remade(o), func(r *running) {
		pass(time.Second)
		r.checkInStep(o)
		must(os.Remove(r.mirrorPath())) // and one that is gone
		pass(time.Minute)
		r.checkInStep(o)
	})
}

func TestABurstIsRenderedAtOnceAndThenAsOne(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	n.cfg.Settle = time.Second
	run(t, n, remade(o), func(r *running) {
		pass(time.Second)
		o.set(account(9))
		synctest.Wait()
		r.checkInStep(o)
		for i := range 5 {
			o.set(account(10 + i))
			pass(100 * time.Millisecond)
		}
		if st := r.state(); st.Deltas != 1 {
			t.Errorf("%d deltas in half a second", st.Deltas)
		}
		pass(time.Second)
		r.checkInStep(o)
		if st := r.state(); st.Deltas != 2 {
			t.Errorf("%d deltas", st.Deltas)
		}
	})
}

func TestAfterARenderRunRestsForHalfAsLong(t *testing.T) {
	s, err := New(Config{StateDir: "x"}, town(), &files{})
	must(err)
	r := &runner{Syncer: s}
	for _, c := range []struct{ took, settle, want time.Duration }{
		{200 * time.Millisecond, 0, 100 * time.Millisecond},
		{time.Minute, 0, maxRest},
		{time.Second, 3 * time.Second, 3 * time.Second},
		{3 * time.Second, time.Second, 1500 * time.Millisecond},
	} {
		r.took, r.cfg.Settle = c.took, c.settle
		if least, more := r.pause(Result{Pulled: true, Wrote: true}, nil, time.Hour); least != c.want || more != 0 {
			t.Errorf("took %v, settle %v: rests %v and %v", c.took, c.settle, least, more)
		}
	}
}

func TestAPollThatAnotherPassOvertookIsAskedAnew(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	other := &node{t: t, cfg: n.cfg, sink: n.sink}
	src := &overtaken{lateOrigin: lateOrigin{o}}
	run(t, n, src, func(r *running) {
		pass(time.Second)
		src.before = func() { other.mustOnce(o) }
		o.set(account(8))
		synctest.Wait()
		r.checkInStep(o)
		for _, e := range r.events {
			if e.Err != nil || e.Result.Snapshot != "" {
				t.Errorf("event %+v", e)
			}
		}
		if asked := o.asks(); slices.Contains(asked[1:], "snapshot") { // the first was how the node began
			t.Errorf("asked %v", asked)
		}
	})
}

// overtaken lets another pass go first between an answer and its use.
type overtaken struct {
	lateOrigin
	before func()
}

func (o *overtaken) Changes(ctx context.Context, pos roster.Position, wait time.Duration) (io.ReadCloser, error) {
	body, err := o.lateOrigin.Changes(ctx, pos, wait)
	if o.before != nil && wait > 0 {
		f := o.before
		o.before = nil
		f()
	}
	return body, err
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	s, err := New(Config{StateDir: "x"}, town(), &files{})
	must(err)
	r := &runner{Syncer: s}
	for n := 1; n < 100; n++ {
		bound := min(s.cfg.MaxBackoff, s.cfg.MinBackoff<<min(n-1, 20))
		var got []time.Duration
		for range 50 {
			got = append(got, r.backoff(n))
		}
		if slices.Max(got) > bound || slices.Min(got) <= 0 {
			t.Errorf("failure %d: %v to %v, bound %v", n, slices.Min(got), slices.Max(got), bound)
		}
	}
}

// edited is a sink whose files somebody edits while a plan is made.
type edited struct {
	*files
	edit func()
}

func (e edited) Plan(rows iter.Seq2[roster.Row, error]) (Plan, error) {
	p, err := e.files.Plan(rows)
	e.edit()
	return p, err
}

func TestWhatIsEditedWhileAPlanIsMadeIsLookedAtAgain(t *testing.T) {
	for name, change := range map[string]func(*origin){
		"nothing to write": func(*origin) {}, "something to write": func(o *origin) { o.set(account(9)) },
	} {
		t.Run(name, func(t *testing.T) {
			n, o := newNode(t), town()
			n.mustOnce(o)
			n.cfg.Check = true
			s, err := New(n.cfg, o, edited{n.sink, func() { appendTo(n.sink.path, "mallory:0:false\n") }})
			must(err)
			r := &runner{Syncer: s}
			change(o)
			if _, err := r.full(t.Context(), r.askNow(t.Context())); err != nil {
				t.Fatal(err)
			}
			if !r.disturbed() {
				t.Error("the edit passes for what was looked at")
			}
		})
	}
}
