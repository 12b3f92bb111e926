package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pwb/roster"
)

// Config says how a Syncer works. Only StateDir is required; a zero duration
// takes the default.
type Config struct {
	// StateDir holds the mirror, the state and the lock. It is created with
	// mode 0700 when it is absent, and refused when anybody but its owner may
	// write to it, or when that owner is neither root nor this user.
	StateDir string
	// Fuse stops mass changes. The zero Fuse stops at the first account that
	// would lose anything.
	Fuse Fuse
	// AcceptChange is the sequence number of the one roster that the fuse lets
	// through; 0 is none.
	AcceptChange int64
	// Check makes every pass read the mirror, prove it and plan with it, though
	// there be no sign that anything changed.
	Check bool
	// DryRun makes Once write nothing at all, neither files nor mirror nor
	// state, and report what it would do.
	DryRun bool
	// Diff takes what a dry run would change, for a human; nil drops it.
	Diff io.Writer

	// Wait is how long Run lets the server hold a request until there is a
	// change. Default 30 s.
	Wait time.Duration
	// Audit is how often Run makes a pass that looks at the files although the
	// server has no change, which mends those that someone altered. Default 10 min.
	Audit time.Duration
	// Settle is the least time between two passes of Run that write, so that a
	// burst of changes makes few of them. The first change is rendered at once. In
	// any case Run rests after such a pass for half as long as it took, 5 s at most.
	// Default none.
	Settle time.Duration
	// MinBackoff and MaxBackoff bound the waits after failures: uniformly
	// random below a bound that doubles from one to the other. Polls without
	// result also begin at least MinBackoff apart, however quickly the server
	// answers. Default 500 ms and 60 s.
	MinBackoff, MaxBackoff time.Duration
	// LockWait is how long a pass waits for another one to finish. Default 10 s.
	LockWait time.Duration
	// Wake tells Run that a file has changed that may matter, see Watch: the token,
	// say, or a rendered file. It ends a wait after a failure, and the wait for the
	// server if the Sink's Mark is another than after the last pass. May be nil.
	Wake <-chan struct{}
	// Alive, when set, hears from Run, from any goroutine and often, that it is
	// alive and will say so again within a time; if it does not, it is stuck.
	Alive func(within time.Duration)

	// Local reads which ids, and whose names, the node's own passwd and group
	// files hold from roster.MinID on, so that the server gives them to nobody.
	// It is called after every pass and poll that reached the server, and should
	// cost little while nothing changed. When it is nil, or the Source is no
	// Informer, the server is told nothing of this node.
	Local func() (ids []uint32, names []string, err error)
	// Version is what the server is told that the agent's is.
	Version string

	// After hears of changes once the files show them; nil for nobody.
	After After

	// Observe, when set, hears of every attempt to reach the server and of
	// every pass, from the goroutine that made it and before the next begins.
	Observe func(Event)
	// Waits, when set, hears when Run begins to wait at the server for changes, with
	// all rendered that it knows of, and when that is over.
	Waits func(bool)
	// Log takes what Run does and what a pass finds remarkable; nil drops it.
	Log *slog.Logger
}

// Event is what Observe hears.
type Event struct {
	// Time is when it was over.
	Time time.Time
	// Result and Err are those of a pass, or of a poll that found no change: Result
	// then says no more than Reached and Position, and Err what is still held back,
	// ErrFuse or ErrPinned.
	Result Result
	Err    error
}

// Result is what a pass did. It is filled as far as the pass came, also when
// it failed.
type Result struct {
	// Position is that of the mirror after the pass; the zero Position when
	// there is none. In a dry run it is that of the roster that was looked at.
	Position roster.Position
	// Effect is what rendering did or, when it was stopped or dry, would do. It
	// is zero when there was no need to plan.
	Effect roster.Effect
	// Reached reports whether the server answered with something usable.
	Reached bool
	// Pulled reports whether the mirror changed (or, dry, would have).
	Pulled bool
	// Snapshot says why a whole roster was taken; empty when none was.
	Snapshot string
	// Resync reports whether a snapshot was asked for because the server had no
	// changes that lead on from this node's position. It is taken, and Snapshot
	// set, only if it is of another position.
	Resync bool
	// Wrote reports whether rendered files changed.
	Wrote bool
	// Took is how long the pass was, without the wait for the server or for another
	// pass before it; 0 for a poll.
	Took time.Duration

	alone time.Duration // for which the server asks to be left alone
	mark  string        // the Sink's, when it was through with the files
}

// Syncer keeps one node in step. Its methods may be called concurrently, also
// from several processes: the lock in the state directory orders them.
type Syncer struct {
	cfg  Config
	src  Source
	sink Sink
	log  *slog.Logger
	// racy is the constant, but in tests.
	racy time.Duration
	// declined is the digest of the report that the server did not know how to
	// take; nil when it took the last one.
	declined atomic.Pointer[string]
	// unkept is what follows from changes and could not be written down.
	unkept struct {
		sync.Mutex
		entries []entry
	}
	// afterLimit is the constant, but in tests.
	afterLimit time.Duration
	// Who waits for a pass, and the sign for Run that somebody does.
	laps  laps
	asked chan struct{}
}

// New checks cfg and fills in its defaults. It touches no file.
func New(cfg Config, src Source, sink Sink) (*Syncer, error) {
	switch {
	case cfg.StateDir == "":
		return nil, errors.New("syncer: no state directory is set; give one, such as /var/lib/pwb")
	case src == nil || sink == nil:
		return nil, errors.New("syncer: a source and a sink are needed")
	case cfg.AcceptChange < 0:
		return nil, fmt.Errorf("syncer: change %d cannot be accepted: give the sequence number that the fuse named", cfg.AcceptChange)
	}
	if err := cfg.Fuse.check(); err != nil {
		return nil, fmt.Errorf("syncer: %w", err)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		unset time.Duration
	}{
		{"wait", &cfg.Wait, 30 * time.Second},
		{"audit interval", &cfg.Audit, 10 * time.Minute},
		{"least time between writes", &cfg.Settle, 0},
		{"shortest backoff", &cfg.MinBackoff, 500 * time.Millisecond},
		{"longest backoff", &cfg.MaxBackoff, time.Minute},
		{"wait for the lock", &cfg.LockWait, 10 * time.Second},
	} {
		if *d.value < 0 {
			return nil, fmt.Errorf("syncer: %s of %v is negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	if cfg.MaxBackoff < cfg.MinBackoff {
		return nil, fmt.Errorf("syncer: the longest backoff, %v, is shorter than the shortest, %v", cfg.MaxBackoff, cfg.MinBackoff)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Syncer{cfg: cfg, src: src, sink: sink, log: cfg.Log, racy: racy, afterLimit: afterLimit, asked: make(chan struct{}, 1)}, nil
}

// Once makes one pass: it pulls without waiting at the server, updates the
// mirror, and renders. It fails
//
//   - with what the Source failed with, or why its answer was refused; mirror
//     and files are then as they were, and nothing is rendered, not even what
//     the mirror holds;
//   - with ErrFuse when rendering would harm too many accounts: the mirror has
//     followed the server, the files are as they were;
//   - with ErrPending when a dry run found something to do, together with
//     ErrFuse if a real run would have been stopped;
//   - with the Sink's error when that could not plan or write.
//
// A pass that finds nothing to do writes nothing, but for a note of that in the
// state, once: with it, the next pass need not look at more than the times of
// files. Once the files are right, Config.After is told of what changed, and the
// server of this node unless it knows, see Config.Local; a failure of
// either is logged and changes neither the result nor the error.
func (s *Syncer) Once(ctx context.Context) (Result, error) {
	if s.cfg.DryRun {
		return s.dryRun(ctx)
	}
	res, err := s.observed(s.locked(ctx, func() (Result, error) { return s.passOrQuiet(ctx, s.askNow(ctx)) }))
	s.after(ctx, s.afterLimit)
	if res.Reached && ctx.Err() == nil {
		if err := s.report(ctx, res.Position.Epoch); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, notReported, "error", err)
		}
	}
	return res, err
}

// askNow asks for changes without waiting for any.
func (s *Syncer) askNow(ctx context.Context) ask {
	return func(pos roster.Position) (io.ReadCloser, error) { return s.src.Changes(ctx, pos, 0) }
}

func (s *Syncer) observed(res Result, err error) (Result, error) {
	if s.cfg.Observe != nil {
		s.cfg.Observe(Event{Time: time.Now(), Result: res, Err: err})
	}
	return res, err
}

func (s *Syncer) tellRendered(pos *roster.Position) {
	if r, ok := s.src.(Reporter); ok {
		if pos == nil {
			pos = &roster.Position{}
		}
		r.Rendered(*pos)
	}
}
