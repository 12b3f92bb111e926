package syncer

import (
	"context"
	"sync"
	"time"
)

// refreshEvery is the least time between two passes that Refresh asks for.
const refreshEvery = time.Second

// never is longer than any wait.
const never = 1 << 62

// lap is a pass to come, or under way, and those who wait for it.
type lap struct {
	done chan struct{} // closed when it is over
	err  error
}

// end tells all who wait how it went; a lap that is nil has nobody.
func (r *lap) end(err error) {
	if r != nil {
		r.err = err
		close(r.done)
	}
}

// laps are where Refresh and Run meet.
type laps struct {
	mu sync.Mutex
	// next is the lap that begins with the next pass, nil while nobody wants one.
	next *lap
	// failing is why the last attempt failed, while Run waits for the next one.
	failing error
}

// Refresh has Run make a pass now that asks the server without waiting, and returns
// how one that began after the call went; see Once for the errors. All who wait
// share a pass, and there is at most one a second. While Run waits after a failure it
// returns that one at once, for a server in trouble is not to be asked more because
// of it. It fails with what ended ctx, as soon as that happens.
func (s *Syncer) Refresh(ctx context.Context) error {
	s.laps.mu.Lock()
	if err := s.laps.failing; err != nil {
		s.laps.mu.Unlock()
		return err
	}
	if s.laps.next == nil {
		s.laps.next = &lap{done: make(chan struct{})}
	}
	mine := s.laps.next
	s.laps.mu.Unlock()
	select {
	case s.asked <- struct{}{}:
	default: // it is told already
	}
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeLap is the lap that a pass now ends; nil if nobody waits.
func (s *Syncer) takeLap() *lap {
	s.laps.mu.Lock()
	defer s.laps.mu.Unlock()
	next := s.laps.next
	s.laps.next = nil
	return next
}

// setFailing says that Run waits since an attempt failed, or with nil that it does
// not. Who waits for a pass is told.
func (s *Syncer) setFailing(err error) {
	s.laps.mu.Lock()
	s.laps.failing = err
	s.laps.mu.Unlock()
	if err != nil {
		s.takeLap().end(err)
	}
}

// untilWanted is how long it is until a pass that is wanted may begin: very long
// when none is.
func (r *runner) untilWanted() time.Duration {
	r.laps.mu.Lock()
	defer r.laps.mu.Unlock()
	if r.laps.next == nil {
		return never
	}
	return max(0, refreshEvery-time.Since(r.refreshed))
}

func (r *runner) wanted() bool { return r.untilWanted() == 0 }

// now makes a full pass that asks without waiting.
func (r *runner) now(ctx context.Context) (Result, error) {
	lap := r.takeLap()
	if lap != nil {
		r.refreshed = time.Now()
	}
	res, err := r.full(ctx, r.askNow(ctx))
	lap.end(err)
	return res, err
}

// waits tells whether Run waits at the server for changes.
func (s *Syncer) waits(does bool) {
	if s.cfg.Waits != nil {
		s.cfg.Waits(does)
	}
}
