package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pwb/roster"
)

// ask gets the changes after a position: Source.Changes with its wait decided.
type ask func(pos roster.Position) (io.ReadCloser, error)

// keep takes the roster at a position: it writes the mirror or, in a dry run,
// plans with it. Nothing it did may count when rows fail.
type keep func(to roster.Position, rows changes) error

// pulled says what a pull brought.
type pulled struct {
	// reached: the server answered and the answer was good.
	reached bool
	// changed: keep has taken a roster, that at position to.
	changed bool
	to      roster.Position
	// snapshot is why a whole roster was kept, empty after a delta. heal says
	// that this was because something was wrong, not just missing or old.
	snapshot string
	heal     bool
	// resync: the server had no changes that lead on from the mirror.
	resync bool
}

// pull brings what the server has beyond m to keep. Without a mirror, m is nil
// and why says what is wrong with the one there is, if there is one.
//
// When it is to be patient, a mirror that the disk does not give is no reason yet to
// replace it: the pull fails.
//
// A delta that came whole and is wrong, and a mirror that it cannot be merged
// with, lead to a snapshot. A snapshot that is wrong is the end: the error.
func (s *Syncer) pull(ctx context.Context, m *Mirror, why error, patient bool, ask ask, keep keep) (pulled, error) {
	if m == nil && patient && unreadable(why) {
		return pulled{}, why
	}
	if m == nil {
		reason := "this node has no mirror yet"
		if why != nil {
			reason = why.Error()
		}
		return s.pullSnapshot(ctx, roster.Position{}, keep, pulled{snapshot: reason, heal: why != nil})
	}
	got, err := s.pullDelta(m, ask, keep)
	switch {
	case errors.Is(err, ErrNoChange):
		return pulled{reached: true}, nil
	case errors.Is(err, ErrResync):
		return s.pullSnapshot(ctx, m.pos, keep, pulled{snapshot: ErrResync.Error(), resync: true})
	case errors.Is(err, ErrMirror) && patient && unreadable(err):
		return pulled{}, err
	case errors.Is(err, ErrMirror):
		return s.pullSnapshot(ctx, roster.Position{}, keep, pulled{snapshot: err.Error(), heal: true})
	case errors.Is(err, errUnfit):
		return s.pullSnapshot(ctx, m.pos, keep, pulled{snapshot: err.Error(), heal: true, resync: true})
	}
	return got, err
}

func (s *Syncer) pullDelta(m *Mirror, ask ask, keep keep) (pulled, error) {
	body, err := ask(m.pos)
	if err != nil {
		return pulled{}, fmt.Errorf("pull the changes after %d: %w", m.pos.Seq, err)
	}
	defer body.Close()
	delta, err := roster.NewReader(wire{body})
	if err != nil {
		return pulled{}, fmt.Errorf("pull the changes after %d: the answer is no roster stream: %w", m.pos.Seq, hideContent(err))
	}
	switch h := delta.Header(); {
	case h.From == nil:
		return pulled{}, fmt.Errorf("%w: it is a snapshot", errUnfit)
	case *h.From != m.pos:
		return pulled{}, fmt.Errorf("%w: it begins at position %v, the mirror is at %v", errUnfit, *h.From, m.pos)
	case h.To == m.pos:
		return pulled{reached: true}, nil
	}
	old, err := m.reader()
	if err != nil {
		return pulled{}, err
	}
	to := delta.Header().To
	if err := keep(to, merged(old, delta)); err != nil {
		return pulled{}, fmt.Errorf("take the changes from %d to %d: %w", m.pos.Seq, to.Seq, err)
	}
	return pulled{reached: true, changed: true, to: to}, nil
}

// pullSnapshot takes the whole roster, unless it is at position have, of which
// the mirror holds a good one. got says why it is taken.
func (s *Syncer) pullSnapshot(ctx context.Context, have roster.Position, keep keep, got pulled) (pulled, error) {
	fail := func(err error) (pulled, error) {
		return pulled{}, fmt.Errorf("take a snapshot (%s): %w", got.snapshot, err)
	}
	body, err := s.src.Snapshot(ctx)
	if err != nil {
		return fail(err)
	}
	defer body.Close()
	r, err := roster.NewReader(wire{body})
	if err != nil {
		return fail(fmt.Errorf("the answer is no roster stream: %w", hideContent(err)))
	}
	if r.Header().From != nil {
		return fail(errors.New("the answer is a delta"))
	}
	to := r.Header().To
	if to == have && !have.IsZero() {
		return pulled{reached: true, resync: got.resync}, nil
	}
	if err := keep(to, whole(r)); err != nil {
		return fail(err)
	}
	got.reached, got.changed, got.to = true, true, to
	return got, nil
}
