package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"pwb/roster"
)

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
	if err := MakeStateDir(s.cfg.StateDir); err != nil {
		return err
	}
	r := &runner{Syncer: s, due: true, wake: s.cfg.Wake, tidings: make(chan string, 1), stepped: make(chan struct{}, 1)}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { s.keepReporting(ctx, r.tidings) })
	beside.Go(func() { s.keepAfter(ctx, r.stepped) })
	defer func() { s.takeLap().end(errors.New("the agent ends")) }()
	_, err := s.observed(s.locked(ctx, func() (Result, error) { return s.renderMirror(ctx) }))
	r.tell(ctx, err)
	r.nudge()
	for ctx.Err() == nil {
		began := time.Now()
		res, err := r.step(ctx)
		r.nudge()
		if ctx.Err() != nil {
			break
		}
		if res.Reached {
			r.remind(res.Position.Epoch)
		}
		r.rest(ctx, res, err, time.Since(began))
	}
	return nil
}

// runner is what Run remembers between its steps.
type runner struct {
	*Syncer
	wake <-chan struct{}
	// due asks for a full pass instead of a poll; audited is when the last one
	// was, and mark what the Sink's was then.
	due     bool
	audited time.Time
	mark    string
	// failures and snapshots count those in a row. told is the failure that was
	// logged last.
	failures  int
	snapshots int
	told      string
	// refreshed is when the last pass began that somebody waited for.
	refreshed time.Time
	// standing is what the last full pass was stopped by, see stands.
	standing error
	// took is how long the last full pass was, without the wait before it.
	took time.Duration
	// tidings takes the server's epoch after each step that reached it.
	tidings chan string
	// stepped takes a sign after each step.
	stepped chan struct{}
}

// step makes a full pass, or a poll and what follows from it.
func (r *runner) step(ctx context.Context) (Result, error) {
	pos, ok := mirrorPosition(r.cfg.StateDir)
	if r.due || !ok || time.Since(r.audited) >= r.cfg.Audit || r.wanted() {
		return r.now(ctx)
	}
	st, err := ReadState(r.cfg.StateDir)
	if err != nil || st.LastError != "" {
		// Another pass failed; so that its error is not left standing:
		return r.now(ctx)
	}
	r.tellRendered(st.Rendered)

	// What ends the poll also ends its answer, which the pass reads.
	polling, end := context.WithCancel(ctx)
	defer end()
	body, err := r.poll(polling, end, pos)
	switch {
	case errors.Is(err, errDisturbed):
		return r.now(ctx)
	case errors.Is(err, ErrNoChange) && st.Resyncs == 0: // else a pass counts anew
		res := Result{Reached: true, Position: pos}
		if alone, ok := errors.AsType[*NoChangeError](err); ok {
			res.alone = min(alone.RetryAfter, maxRetryAfter)
		}
		return r.observed(res, r.stillHeldBack(st))
	case err != nil && !errors.Is(err, ErrResync) && !errors.Is(err, ErrNoChange):
		if ctx.Err() != nil {
			return Result{}, err
		}
		return r.pollFailed(ctx, pos, fmt.Errorf("wait for changes after %d: %w", pos.Seq, err))
	}
	if err == nil {
		defer body.Close()
	}
	used := false
	return r.full(ctx, func(at roster.Position) (io.ReadCloser, error) {
		if used || at != pos { // another pass moved the mirror meanwhile
			return r.src.Changes(ctx, at, 0)
		}
		used = true
		return body, err
	})
}

// stillHeldBack is what stopped the last full pass, for a poll that found no change
// since; nil once another pass has let it through.
func (r *runner) stillHeldBack(st State) error {
	if st.Stopped == nil && st.Held == nil {
		return nil
	}
	return r.standing
}

// errDisturbed says that a poll was given up for a pass.
var errDisturbed = errors.New("files changed, or somebody waits for a pass")

// poll waits at the server for changes, or until files change or a pass is wanted:
// it then calls end, which ends ctx, and fails with errDisturbed.
func (r *runner) poll(ctx context.Context, end func(), pos roster.Position) (io.ReadCloser, error) {
	r.alive(r.cfg.Wait + pollLimit)
	type answer struct {
		body io.ReadCloser
		err  error
	}
	answers := make(chan answer, 1)
	r.waits(true)
	defer r.waits(false)
	go func() {
		body, err := r.src.Changes(ctx, pos, r.cfg.Wait)
		answers <- answer{body, err}
	}()
	soon := time.NewTimer(r.untilWanted())
	defer soon.Stop()
	for {
		select {
		case a := <-answers:
			return a.body, a.err
		case <-r.asked:
			soon.Reset(r.untilWanted())
			continue
		case <-soon.C:
		case _, ok := <-r.wake:
			if !ok { // which would wake for ever
				r.wake = nil
			}
			if !ok || !r.disturbed() {
				continue
			}
		}
		end()
		if a := <-answers; a.body != nil {
			a.body.Close()
		}
		return nil, errDisturbed
	}
}

// disturbed reports whether files are other than after the last full pass.
func (r *runner) disturbed() bool {
	mark, _, err := r.sink.Mark()
	return err != nil || mark != r.mark
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
	r.alive(passLimit)
	began := time.Now()
	res, err := r.locked(ctx, func() (Result, error) { return r.passOrQuiet(ctx, ask) })
	r.due, r.standing = err != nil && !stands(err), nil
	if stands(err) {
		r.standing = err
	}
	if !r.due {
		r.audited = time.Now()
		r.mark = res.mark
	}
	r.took = time.Since(began)
	r.tell(ctx, err)
	return r.observed(res, err)
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
