package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"pwb/roster"
)

// maxRetryAfter is the longest that a server may ask Run to stay away. Somebody
// who leaves is to be locked out today, whatever a proxy thinks of its load.
const maxRetryAfter = 5 * time.Minute

// Run keeps the node in step until ctx ends, and then returns nil. It fails at
// once when the state directory cannot be used, and for a dry run; every later
// failure is logged, recorded in the state, and tried again.
//
// Before it first asks the server it renders what the mirror holds, so that the
// last good files are there at boot.
func (s *Syncer) Run(ctx context.Context) error {
	if s.cfg.DryRun {
		return errors.New("a dry run is a single pass: use Once")
	}
	if err := makeStateDir(s.cfg.StateDir); err != nil {
		return err
	}
	r := &runner{Syncer: s, due: true, wake: s.cfg.Wake, tidings: make(chan string, 1)}
	var reports sync.WaitGroup
	defer reports.Wait()
	reports.Go(func() { s.keepReporting(ctx, r.tidings) })
	_, err := s.observed(s.locked(ctx, func() (Result, error) { return s.renderMirror(ctx) }))
	r.tell(ctx, err)
	for ctx.Err() == nil {
		began := time.Now()
		res, err := r.step(ctx)
		if ctx.Err() != nil {
			break
		}
		if res.Reached {
			r.remind(res.Position.Epoch)
		}
		r.wait(ctx, r.pause(res, err, time.Since(began)))
	}
	return nil
}

// runner is what Run remembers between its steps.
type runner struct {
	*Syncer
	wake <-chan struct{}
	// due asks for a full pass instead of a poll; audited is when the last one
	// was.
	due     bool
	audited time.Time
	// failures and snapshots count those in a row. told is the failure that was
	// logged last.
	failures  int
	snapshots int
	told      string
	// tidings takes the server's epoch after each step that reached it.
	tidings chan string
}

// step makes a full pass, or a poll and what follows from it.
func (r *runner) step(ctx context.Context) (Result, error) {
	pos, ok := mirrorPosition(r.cfg.StateDir)
	if r.due || !ok || time.Since(r.audited) >= r.cfg.Audit {
		return r.full(ctx, r.askNow(ctx))
	}
	st, err := ReadState(r.cfg.StateDir)
	if err != nil || st.LastError != "" {
		// Another pass failed; so that its error is not left standing:
		return r.full(ctx, r.askNow(ctx))
	}
	r.tellRendered(st.Rendered)

	body, err := r.src.Changes(ctx, pos, r.cfg.Wait)
	switch {
	case errors.Is(err, ErrNoChange):
		return r.observed(Result{Reached: true, Position: pos}, nil)
	case err != nil && !errors.Is(err, ErrResync):
		if ctx.Err() != nil {
			return Result{}, err
		}
		return r.pollFailed(ctx, pos, fmt.Errorf("wait for changes after %d: %w", pos.Seq, err))
	}
	now := r.askNow(ctx)
	if err == nil && r.cfg.Settle > 0 {
		body.Close()
		if !sleep(ctx, r.cfg.Settle, new(<-chan struct{})) {
			return Result{}, context.Cause(ctx)
		}
		return r.full(ctx, now)
	}
	if err == nil {
		defer body.Close()
	}
	used := false
	return r.full(ctx, func(at roster.Position) (io.ReadCloser, error) {
		if used || at != pos { // another pass moved the mirror meanwhile
			return now(at)
		}
		used = true
		return body, err
	})
}

// pollFailed records the failure of a poll. What follows is a full pass, which
// asks without waiting, so that an end of the failure is seen at once.
func (r *runner) pollFailed(ctx context.Context, pos roster.Position, failure error) (Result, error) {
	r.due = true
	res, err := r.locked(ctx, func() (Result, error) {
		return r.recorded(ctx, func(_ *State, res *Result) error { res.Position = pos; return failure })
	})
	if !errors.Is(err, failure) { // the lock was not to be had
		err = joined(failure, err)
	}
	r.tell(ctx, err)
	return r.observed(res, err)
}

func (r *runner) full(ctx context.Context, ask ask) (Result, error) {
	res, err := r.observed(r.locked(ctx, func() (Result, error) { return r.passOrQuiet(ctx, ask) }))
	r.tell(ctx, err)
	r.due = err != nil && !stands(err)
	if !r.due {
		r.audited = time.Now()
	}
	return res, err
}

// pause is how long to wait before the next step, after one that took some time.
func (r *runner) pause(res Result, err error, took time.Duration) time.Duration {
	if err != nil && !stands(err) {
		r.failures++
		d := r.backoff(r.failures)
		if status, ok := errors.AsType[*StatusError](err); ok {
			d += min(status.RetryAfter, maxRetryAfter)
		}
		return d
	}
	r.failures = 0
	if res.Snapshot != "" {
		// One snapshot is how a node begins. One after the other is a server
		// that does not know its own positions: no reason to load it more.
		r.snapshots++
		if r.snapshots > 1 {
			return r.backoff(r.snapshots)
		}
		return 0
	}
	r.snapshots = 0
	if !res.Pulled {
		return max(0, r.cfg.MinBackoff-took)
	}
	return 0
}

// backoff is random below a bound that doubles with n, which begins at 1.
func (r *runner) backoff(n int) time.Duration {
	bound := r.cfg.MinBackoff
	for ; n > 1 && bound < r.cfg.MaxBackoff; n-- {
		bound *= 2
	}
	return rand.N(min(bound, r.cfg.MaxBackoff)) + 1
}

// wait lets d pass, or less when somebody wakes Run or ctx ends.
func (r *runner) wait(ctx context.Context, d time.Duration) {
	if d > 0 {
		sleep(ctx, d, &r.wake)
	}
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

// tell logs a failure when it differs from the one before, and its end. Polls
// that find nothing are no end: what the fuse stopped is still stopped.
func (r *runner) tell(ctx context.Context, err error) {
	switch {
	case err == nil:
		if r.told != "" {
			r.log.InfoContext(ctx, "all is well again")
		}
		r.told = ""
	case ctx.Err() != nil:
	case err.Error() == r.told:
		r.log.DebugContext(ctx, "the same failure again", "error", err)
	default:
		r.told = err.Error()
		if stands(err) {
			r.log.ErrorContext(ctx, "the files were not updated", "error", err)
			return
		}
		r.log.WarnContext(ctx, "a pass failed and is tried again", "error", err)
	}
}
