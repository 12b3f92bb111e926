package syncer

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// refresh asks for a pass n times at once, and returns what each was told and when.
func (r *running) refresh(n int, patience time.Duration) (errs []error, took time.Duration) {
	began := time.Now()
	told := make(chan error, n)
	for range n {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			told <- r.s.Refresh(ctx)
		}()
	}
	for range n {
		errs = append(errs, <-told)
	}
	return errs, time.Since(began)
}

func (r *running) wantRefreshed(n int, patience time.Duration) (took time.Duration) {
	r.t.Helper()
	errs, took := r.refresh(n, patience)
	for _, err := range errs {
		if err != nil {
			r.t.Fatalf("Refresh: %v", err)
		}
	}
	return took
}

func TestAllWhoWantAPassShareOne(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	var waits []bool
	n.cfg.Waits = func(does bool) { waits = append(waits, does) }
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Second)
		before := len(o.asks())
		if len(waits) == 0 || !waits[len(waits)-1] {
			t.Errorf("Run does not say that it waits: %v", waits)
		}
		if took := r.wantRefreshed(1000, time.Second); took != 0 {
			t.Errorf("the pass took %v", took)
		}
		synctest.Wait()
		if asked := len(o.asks()) - before; asked != 2 { // the pass, and the next poll
			t.Errorf("the server was asked %d times, want 2", asked)
		}
		before = len(o.asks())
		// From then on there is one a second.
		for range 10 {
			if took := r.wantRefreshed(100, 2*time.Second); took > refreshEvery {
				t.Errorf("a pass took %v", took)
			}
			synctest.Wait()
		}
		if asked := len(o.asks()) - before; asked > 30 {
			t.Errorf("the server was asked %d times", asked)
		}
		r.checkInStep(o)
	})
	if len(waits)%2 != 0 || waits[len(waits)-1] {
		t.Errorf("Run said that it waits, and not that it ends: %v", waits)
	}
}

func TestWhoWantsAPassDuringAnotherGetsOneThatBeganAfterwards(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Second)
		inPass, goOn := make(chan struct{}, 1), make(chan struct{})
		o.setFault(func(string) (io.ReadCloser, error, bool) {
			o.mu.Unlock() // which the caller holds
			defer o.mu.Lock()
			select {
			case inPass <- struct{}{}:
				<-goOn
			default:
			}
			return nil, nil, false
		})
		first := make(chan error, 1)
		go func() { first <- r.s.Refresh(context.Background()) }()
		<-inPass // the first pass is at the server
		second := make(chan error, 1)
		go func() { second <- r.s.Refresh(context.Background()) }()
		synctest.Wait()
		close(goOn)
		if err := <-first; err != nil {
			t.Error(err)
		}
		select {
		case err := <-second:
			t.Errorf("the pass under way was taken for one that began later: %v", err)
		default:
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		o.setFault(nil)
	})
}

func TestAServerInTroubleIsNotAskedMoreSinceSomebodyWantsAPass(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	down := errors.New("server on fire")
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Second)
		o.setFault(func(string) (io.ReadCloser, error, bool) { return nil, down, true })
		errs, took := r.refresh(1, time.Second)
		if !errors.Is(errs[0], down) || took != 0 {
			t.Errorf("%v after %v", errs[0], took)
		}
		synctest.Wait()
		before := len(o.asks())
		errs, took = r.refresh(1000, time.Second)
		for _, err := range errs {
			if !errors.Is(err, down) || took != 0 {
				t.Fatalf("%v after %v", err, took)
			}
		}
		if asked := len(o.asks()) - before; asked != 0 {
			t.Errorf("the server was asked %d times", asked)
		}
		o.setFault(nil)
		pass(2 * time.Minute)
		r.wantRefreshed(10, 2*time.Second)
	})
}

func TestAPassThatTheFuseStopsIsToldToWhoWaits(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	n.cfg.Fuse = Fuse{}
	run(t, n, remade(o), func(r *running) {
		pass(10 * time.Second)
		o.set(locked(1))
		synctest.Wait()
		if errs, _ := r.refresh(3, 2*time.Second); !errors.Is(errs[2], ErrFuse) {
			t.Errorf("%v", errs)
		}
	})
}

func TestNobodyWaitsForAPassLongerThanHeLikes(t *testing.T) {
	n, o := newNode(t), town()
	synctest.Test(t, func(t *testing.T) {
		s := n.syncer(remade(o)) // which does not run
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errLate)
		defer cancel()
		if err := s.Refresh(ctx); !errors.Is(err, errLate) {
			t.Error(err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- s.Refresh(context.Background()) }()
		synctest.Wait()
		over, end := context.WithCancel(t.Context())
		end()
		must(s.Run(over))
		if err := <-waiting; err == nil {
			t.Error("the pass of an agent that ended")
		}
	})
}
