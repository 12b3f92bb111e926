package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pwb/roster"
)

// After hears of changes that the files show. Its calls come in rounds: first
// Refresh, then Evict for everybody who left, then TellChange, then TellLock for
// everybody who left. A round stands for one change or for several, of which it
// tells the last position.
//
// One call is made at a time on a node, whatever processes there are, beside
// further passes. Each is made at least once for each change: a round that was
// killed or cut off begins anew, but for those who had their TellLock. Each ends
// soon after ctx, and in bounded time at any rate. An error is logged and kept in
// State.LastHookError; it ends no round and fails no pass.
//
// Nobody is named who may be in again: before each call with a name the files are
// asked, see Sink.Out.
type After interface {
	// Refresh does away with what remembers the files as they were.
	Refresh(ctx context.Context) error
	// Evict ends what an account has running that may not log in any more.
	Evict(ctx context.Context, who roster.Leaver) error
	// TellChange tells that the files changed, and show pos or a later position.
	TellChange(ctx context.Context, pos roster.Position) error
	// TellLock tells that an account may not log in any more. It is locked, or gone.
	TellLock(ctx context.Context, pos roster.Position, who roster.Leaver) error
}

// afterLimit is how long Once goes on with what follows from changes. What it has
// begun then it ends, and the rest is for the next pass.
const afterLimit = 5 * time.Minute

const afterFailed = "what follows from a change did not go well; the files are not concerned"

// after makes rounds for all that is pending, until ctx ends or limit is over; 0 is
// no limit. If another process is at it, that one takes what is pending here.
func (s *Syncer) after(ctx context.Context, limit time.Duration) {
	if s.cfg.After == nil || ctx.Err() != nil || !s.anyPending() {
		return
	}
	dir := s.pendingPath("")
	usable := MakeStateDir(dir) == nil // or intend has said so
	if usable {
		unlock, err := lock(ctx, dir, s.cfg.LockWait)
		switch {
		case errors.Is(err, errHeld), err != nil && ctx.Err() != nil:
			s.log.DebugContext(ctx, "what follows from a change is left to another process", "error", err)
			return
		case err != nil:
			s.log.WarnContext(ctx, afterFailed, "error", err)
			s.noteAfter(ctx, err)
			return
		}
		defer unlock()
		s.sweepPending()
	}
	r := &round{Syncer: s, ends: time.Now().Add(limit), endless: limit == 0}
	for first := true; first || r.goesOn(ctx); first = false {
		b, any := s.takePending(ctx, usable)
		if !any {
			break
		}
		rest, told := r.make(ctx, b.entry)
		err := s.settlePending(b, rest, told)
		r.note(ctx, err)
		if err != nil || !told || len(rest) > 0 { // or the same would come again at once
			break
		}
	}
	s.noteAfter(ctx, r.failure())
}

// round is what one call of after remembers of its rounds.
type round struct {
	*Syncer
	ends    time.Time
	endless bool
	// out are those of the leavers who are out by the files that mark is of.
	out  map[roster.Leaver]bool
	mark string
	// failed is the first failure, failures counts all.
	failed   error
	failures int
}

func (r *round) goesOn(ctx context.Context) bool {
	return ctx.Err() == nil && (r.endless || time.Now().Before(r.ends))
}

// make makes a round. It reports whether the change was told, and returns those for
// whom a round has to be made again.
func (r *round) make(ctx context.Context, e entry) (rest []roster.Leaver, told bool) {
	r.out = nil
	r.note(ctx, r.cfg.After.Refresh(ctx))
	seen, unclear := 0, false
	for i, who := range e.Leavers {
		if i > 0 && !r.goesOn(ctx) { // one at least, or a later pass would come no further
			break
		}
		out, err := r.isOut(e.Leavers, who)
		if err != nil {
			r.note(ctx, err)
			unclear = true
			break
		}
		if out {
			r.note(ctx, r.cfg.After.Evict(ctx, who))
		}
		seen++
	}
	if ctx.Err() == nil {
		r.note(ctx, r.cfg.After.TellChange(ctx, e.Position))
	}
	if ctx.Err() != nil {
		return e.Leavers, false
	}
	for i, who := range e.Leavers {
		if unclear || i == seen || i > 0 && !r.goesOn(ctx) {
			return e.Leavers[i:], true
		}
		out, err := r.isOut(e.Leavers, who)
		r.note(ctx, err)
		if err == nil && out {
			r.note(ctx, r.cfg.After.TellLock(ctx, e.Position, who))
		}
		if err != nil || ctx.Err() != nil {
			return e.Leavers[i:], true
		}
		if !out {
			r.log.InfoContext(ctx, "nobody is told that an account may not log in any more, since it may again", "name", who.Name, "uid", who.UID)
		}
	}
	return nil, true
}

// isOut reports whether one of all leavers is out by the files as they are now,
// which are read again only when they changed.
func (r *round) isOut(all []roster.Leaver, who roster.Leaver) (bool, error) {
	mark, _, err := r.sink.Mark()
	if r.out == nil || err != nil || mark != r.mark {
		out, err := r.sink.Out(all)
		if err != nil {
			return false, fmt.Errorf("see who may log in now: %w", err)
		}
		r.mark, r.out = mark, make(map[roster.Leaver]bool, len(out))
		for _, l := range out {
			r.out[l] = true
		}
	}
	return r.out[who], nil
}

// note logs a failure and keeps the first. One that the end of ctx brought is none.
func (r *round) note(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	r.log.WarnContext(ctx, afterFailed, "error", err)
	if r.failures++; r.failed == nil {
		r.failed = err
	}
}

// failure is the first of all failures, and how many more there were.
func (r *round) failure() error {
	if r.failures > 1 {
		return fmt.Errorf("%w (and %d more, which the log has)", r.failed, r.failures-1)
	}
	return r.failed
}

// noteAfter keeps the failure of the last rounds in the state, or that there was
// none.
func (s *Syncer) noteAfter(ctx context.Context, failure error) {
	if ctx.Err() != nil {
		return
	}
	st, err := ReadState(s.cfg.StateDir)
	if err == nil && st.LastHookError == "" && failure == nil {
		return
	}
	_, err = s.locked(ctx, func() (Result, error) {
		before, err := ReadState(s.cfg.StateDir)
		if err != nil {
			return Result{}, err
		}
		st := before
		st.setHookError(failure)
		if st.same(before) {
			return Result{}, nil
		}
		return Result{}, writeState(s.cfg.StateDir, st)
	})
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "how what follows from a change went cannot be recorded", "error", err)
	}
}

// keepAfter calls after whenever something comes in, until ctx ends. It runs beside
// Run's steps, for a render must not wait for a hook.
func (s *Syncer) keepAfter(ctx context.Context, steps <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-steps:
			s.after(ctx, 0)
		}
	}
}

// nudge has keepAfter look for what is pending, after what it may be at.
func (r *runner) nudge() {
	select {
	case r.stepped <- struct{}{}:
	default:
	}
}
