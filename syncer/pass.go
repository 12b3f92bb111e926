package syncer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pwb/roster"
)

// pass pulls, renders and notes what it did; the caller holds the lock.
func (s *Syncer) pass(ctx context.Context, ask ask, st *State, res *Result) error {
	if pin, err := ReadPin(s.cfg.StateDir); err != nil {
		return err
	} else if pin != nil {
		return s.pinned(ctx, *pin, ask, st, res)
	}
	m, why, err := openIfAny(s.cfg.StateDir)
	if err != nil {
		return err
	}
	if m != nil {
		defer m.Close()
		res.Position = m.pos
	}
	p, err := s.follow(ctx, m, why, ask, st, res)
	if err != nil {
		return err
	}
	if p != nil {
		return s.commit(ctx, p, st, res)
	}
	err = s.render(ctx, st, res)
	if !errors.Is(err, ErrMirror) {
		return err
	}
	// The pull had no reason to look at what is damaged.
	if p, err = s.follow(ctx, nil, err, nil, st, res); err != nil {
		return err
	}
	return s.commit(ctx, p, st, res)
}

// renderMirror renders what the mirror holds, without asking the server; the
// caller holds the lock. Without a mirror there is nothing to do.
func (s *Syncer) renderMirror(ctx context.Context) (Result, error) {
	return s.recorded(ctx, func(st *State, res *Result) error {
		if pin, err := ReadPin(s.cfg.StateDir); err != nil {
			return err
		} else if pin != nil {
			return s.pinned(ctx, *pin, nil, st, res)
		}
		if _, ok := mirrorPosition(s.cfg.StateDir); !ok {
			return nil
		}
		return s.render(ctx, st, res)
	})
}

// follow brings the mirror to where the server is. If that changed the mirror, a
// plan with it is in the making, which the caller has to wait for.
func (s *Syncer) follow(ctx context.Context, m *Mirror, why error, ask ask, st *State, res *Result) (*planning, error) {
	var p *planning
	// An error of the disk may be over by the next pass, while what a mirror alone
	// knows is gone with it; one that stays must not keep the node from its server.
	patient := !strings.Contains(st.LastError, ErrMirror.Error())
	got, err := s.pull(ctx, m, why, patient, ask, func(to roster.Position, rows changes) error {
		p = s.startPlanning(ctx, to)
		err := s.replaceMirror(ctx, m, patient, to, p.tee(rows))
		p.end(err)
		return err
	})
	if err != nil {
		return nil, err
	}
	res.Reached, res.Resync = true, got.resync
	st.setResync(got.resync)
	if !got.changed {
		return nil, nil
	}
	if m != nil && got.to.Epoch == m.pos.Epoch && got.to.Seq < m.pos.Seq {
		s.log.WarnContext(ctx, "the server went back: it holds fewer changes than this node saw", "was", m.pos.Seq, "is", got.to.Seq)
	}
	res.Position, res.Pulled, res.Snapshot = got.to, true, got.snapshot
	if got.snapshot == "" {
		st.Deltas++
		return p, nil
	}
	st.Snapshots++
	if got.heal {
		st.Heals++
	}
	s.log.InfoContext(ctx, "took a snapshot of the roster", "position", got.to.String(), "reason", got.snapshot)
	return p, nil
}

// render plans with the mirror's rows and commits unless the fuse stops it.
func (s *Syncer) render(ctx context.Context, st *State, res *Result) error {
	m, err := OpenMirror(s.cfg.StateDir)
	if err != nil {
		return err
	}
	defer m.Close()
	was, b := st.Complete, s.basisOf(m)
	if err := s.commit(ctx, s.planOf(ctx, m), st, res); err != nil {
		return err
	}
	if !res.Wrote {
		st.setComplete(b, m.pos, was)
	}
	return nil
}

// planOf plans with a mirror's rows.
func (s *Syncer) planOf(ctx context.Context, m *Mirror) *planning {
	p := &planning{pos: m.pos, mark: s.mark(), done: make(chan struct{})}
	close(p.done)
	p.plan, p.effect, p.err = s.plan(ctx, ahead(m.changes()))
	return p
}

// planMirror plans with the rows of the mirror there is.
func (s *Syncer) planMirror(ctx context.Context) (*planning, error) {
	m, err := OpenMirror(s.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return s.planOf(ctx, m), nil
}

// commit commits a plan unless the fuse stops it.
func (s *Syncer) commit(ctx context.Context, p *planning, st *State, res *Result) error {
	res.Position = p.pos
	st.Complete, st.Held = nil, nil
	plan, effect, err := p.wait()
	if err != nil {
		return fmt.Errorf("plan the files at change %d: %w", p.pos.Seq, err)
	}
	res.Effect = effect
	res.mark = p.mark
	s.reportQuarantine(ctx, st, effect)
	if plan.Changed() {
		untouched := s.mark() == p.mark
		if err := s.checkFuse(effect, p.pos); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("before the files were written: %w", context.Cause(ctx))
		}
		mend, err := findAltered(plan)
		if err != nil {
			return fmt.Errorf("look at what is to be written at change %d: %w", p.pos.Seq, err)
		}
		committed := s.intend(ctx, entry{p.pos, effect.Leavers})
		err = plan.Commit(p.pos)
		committed() // as far as it came
		if err != nil {
			return fmt.Errorf("write the files at change %d: %w", p.pos.Seq, err)
		}
		res.Wrote = true
		if untouched { // else the next step looks again
			res.mark = s.mark() // who edits a file in between is found at the next audit
		}
		s.reportAltered(ctx, st, mend)
		s.log.InfoContext(ctx, "wrote the files", "position", p.pos.String(), "effect", effect.String())
	}
	pos := p.pos
	st.Rendered, st.LastRender = &pos, utcNow()
	s.tellRendered(st.Rendered)
	return nil
}

// plan lets the sink plan with rows, and proves rows on the way: a plan is only
// returned when they came to their end without an error. Rows that this version
// cannot decode are quarantined.
func (s *Syncer) plan(ctx context.Context, rows changes) (Plan, roster.Effect, error) {
	var broken error
	var unknown []roster.Quarantine
	ended := false
	var decoder roster.Decoder
	plan, err := s.sink.Plan(func(yield func(roster.Row, error) bool) {
		n := 0
		broken, unknown, ended = nil, nil, false
		for c, err := range rows {
			if n++; err == nil && n%1024 == 0 {
				s.alive(passLimit)
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
			}
			if err != nil {
				broken = err
				yield(roster.Row{}, err)
				return
			}
			row, err := decoder.Row(c)
			if err != nil {
				unknown = append(unknown, roster.Quarantine{
					Key:    strings.Clone(c.Key),
					Reason: fmt.Sprintf("this version cannot read it (%v); update pwb-agent", hideContent(err)),
				})
				continue
			}
			if !yield(row, nil) {
				return
			}
		}
		ended = true
	})
	switch {
	case broken != nil:
		return nil, roster.Effect{}, broken
	case err != nil:
		return nil, roster.Effect{}, err
	case !ended:
		return nil, roster.Effect{}, errors.New("the sink did not read the roster to its end, so that nothing proves it; this is a mistake in the program")
	}
	effect := plan.Effect()
	if len(unknown) > 0 {
		effect.Quarantined = slices.Concat(effect.Quarantined, unknown)
		slices.SortStableFunc(effect.Quarantined, func(a, b roster.Quarantine) int { return cmp.Compare(a.Key, b.Key) })
	}
	return plan, effect, nil
}

func (s *Syncer) checkFuse(effect roster.Effect, pos roster.Position) error {
	accepted := s.cfg.AcceptChange != 0 && s.cfg.AcceptChange == pos.Seq
	if accepted || !s.cfg.Fuse.blows(effect) {
		return nil
	}
	return &FuseError{Effect: effect, Position: pos, Fuse: s.cfg.Fuse, Accepted: s.cfg.AcceptChange}
}

// recorded runs f between reading and writing the state.
func (s *Syncer) recorded(ctx context.Context, f func(*State, *Result) error) (Result, error) {
	before, err := ReadState(s.cfg.StateDir)
	if err != nil {
		s.log.WarnContext(ctx, "the state file cannot be used and is begun anew", "error", err)
	}
	s.tellRendered(before.Rendered)
	st := before
	var res Result
	began := time.Now()
	err = f(&st, &res)
	res.Took = time.Since(began)
	fuse, _ := errors.AsType[*FuseError](err)
	switch {
	case err == nil || stands(err):
		if res.Reached { // else the server is no better known than before
			st.setError(nil)
		}
		st.setStopped(fuse)
	case ctx.Err() == nil:
		st.setError(err)
	}
	if res.Reached {
		st.LastPull = utcNow()
	}
	if res.Wrote || !st.same(before) {
		err = joined(err, writeState(s.cfg.StateDir, st))
	}
	return res, err
}

// joined is errors.Join in one line of text.
func joined(err, also error) error {
	if err == nil || also == nil {
		return cmp.Or(err, also)
	}
	return fmt.Errorf("%w; also: %w", err, also)
}

// maxReported is the most quarantined rows that one pass logs by name.
const maxReported = 20

// reportQuarantine logs what is refused now and was not before, and the other
// way round.
func (s *Syncer) reportQuarantine(ctx context.Context, st *State, effect roster.Effect) {
	old := *st
	st.setQuarantined(effect.Quarantined)
	st.LeftOut = effect.LeftOut
	fresh := without(st.Quarantined, old.Quarantined)
	for _, q := range fresh[:min(len(fresh), maxReported)] {
		s.log.WarnContext(ctx, "this node refuses a row", "row", q.Key, "name", strconv.QuoteToASCII(q.Name), "reason", q.Reason)
	}
	gone := without(old.Quarantined, st.Quarantined)
	for _, q := range gone[:min(len(gone), maxReported)] {
		s.log.InfoContext(ctx, "a row is no longer refused as it was", "row", q.Key, "name", strconv.QuoteToASCII(q.Name))
	}
	if old.QuarantinedCount != st.QuarantinedCount || len(fresh) > maxReported {
		s.log.WarnContext(ctx, "the number of rows that this node refuses changed", "was", old.QuarantinedCount, "is", st.QuarantinedCount)
	}
}

// without is the part of list that is not in other.
func without(list, other []roster.Quarantine) (rest []roster.Quarantine) {
	known := make(map[roster.Quarantine]bool, len(other))
	for _, q := range other {
		known[q] = true
	}
	for _, q := range list {
		if !known[q] {
			rest = append(rest, q)
		}
	}
	return rest
}
