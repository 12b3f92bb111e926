package syncer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// maxRetryAfter is the longest that a server may ask Run to stay away. Somebody
	// who leaves is to be locked out today, whatever a proxy thinks of its load.
	maxRetryAfter = 5 * time.Minute
	// maxRest is the longest rest after a pass for no other reason than its length.
	maxRest = 5 * time.Second

	// passLimit is how long a pass may take that comes to no thousand rows more,
	// pollLimit how much longer a poll than the server was asked to wait, and
	// restLimit how much longer a rest than it was to be, before Run is stuck.
	passLimit = 5 * time.Minute
	pollLimit = 2 * time.Minute
	restLimit = time.Minute
)

// alive tells of a sign of life.
func (s *Syncer) alive(within time.Duration) {
	if s.cfg.Alive != nil {
		s.cfg.Alive(within)
	}
}

// rest lets some time pass after a step, which began that long ago. What wakes
// Run ends the part that comes on top of the least.
func (r *runner) rest(ctx context.Context, res Result, err error, took time.Duration) {
	least, more := r.pause(res, err, took)
	if r.failures > 0 {
		r.setFailing(err)
		defer r.setFailing(nil)
	}
	if least > 0 {
		r.alive(least + restLimit)
		never := (<-chan struct{})(nil)
		sleep(ctx, least, &never)
	}
	if more > 0 {
		r.alive(more + restLimit)
		sleep(ctx, more, &r.wake)
	}
}

// pause is how long to wait before the next step, after one that took some time,
// and how much longer unless something happens.
func (r *runner) pause(res Result, err error, took time.Duration) (least, more time.Duration) {
	if err != nil && !stands(err) {
		r.failures++
		more = r.backoff(r.failures)
		if status, ok := errors.AsType[*StatusError](err); ok {
			more += min(status.RetryAfter, maxRetryAfter)
		}
		if r.failures > 1 { // files that change all the time are no reason to hurry
			least = min(more, max(0, r.cfg.MinBackoff-took))
		}
		return least, more - least
	}
	r.failures = 0
	if res.Snapshot != "" || res.Resync {
		// One snapshot is how a node begins. One after the other, taken or not, is
		// a server that does not know its own positions: no reason to load it more.
		r.snapshots++
		if r.snapshots > 1 {
			return r.backoff(r.snapshots), 0
		}
	} else {
		r.snapshots = 0
	}
	if res.Wrote || res.Pulled {
		least = max(r.cfg.Settle, min(r.took/2, maxRest))
	}
	if !res.Pulled { // a poll, or files that somebody else writes to
		least = max(least, r.cfg.MinBackoff-took)
	}
	return max(0, least), res.alone
}

// backoff is random below a bound that doubles with n, which begins at 1.
func (r *runner) backoff(n int) time.Duration {
	bound := r.cfg.MinBackoff
	for ; n > 1 && bound < r.cfg.MaxBackoff; n-- {
		bound *= 2
	}
	return rand.N(min(bound, r.cfg.MaxBackoff)) + 1
}

// sleep waits for d and reports true, or less when *wake has a value, or until
// ctx ends: false. A closed channel wakes nobody and becomes nil.
func sleep(ctx context.Context, d time.Duration, wake *<-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case _, ok := <-*wake:
			if ok {
				return true
			}
			*wake = nil
		}
	}
}
