package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"pwb/roster"
)

// dryRun is a pass that writes nothing, not even a temporary file: the roster
// that the mirror would become is merged on its way into the plan.
//
// It takes no lock, which would be a write: it holds the mirror open, and other
// passes replace that file instead of changing it.
func (s *Syncer) dryRun(ctx context.Context) (res Result, err error) {
	if err := checkStateDir(s.cfg.StateDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return res, err
	}
	m, why, err := openIfAny(s.cfg.StateDir)
	if err != nil {
		return res, err
	}
	if m != nil {
		defer m.Close()
	}
	if st, err := ReadState(s.cfg.StateDir); err == nil {
		s.tellRendered(st.Rendered)
	}
	var plan Plan
	keep := func(to roster.Position, rows changes) (err error) {
		plan, res.Effect, err = s.plan(ctx, rows)
		res.Position = to
		return err
	}
	got, err := s.pull(ctx, m, why, false, s.askNow(ctx), keep)
	if err == nil && !got.changed {
		err = keep(m.pos, m.changes())
		if errors.Is(err, ErrMirror) {
			got, err = s.pull(ctx, nil, err, false, nil, keep)
		}
	}
	res.Reached, res.Pulled, res.Snapshot, res.Resync = got.reached, got.changed, got.snapshot, got.resync
	if err != nil {
		return res, err
	}
	if !plan.Changed() {
		return res, nil
	}
	if s.cfg.Diff != nil {
		if err := plan.WriteDiff(s.cfg.Diff); err != nil {
			return res, fmt.Errorf("show the differences: %w", err)
		}
	}
	note := ""
	if pin, err := ReadPin(s.cfg.StateDir); err != nil {
		return res, err
	} else if pin != nil {
		note = fmt.Sprintf("; the files are pinned to generation %d, so that only pwb-agent rollback --release writes this", pin.Generation)
	}
	if err := s.checkFuse(res.Effect, res.Position); err != nil {
		return res, fmt.Errorf("%w, and a real run would be %w%s", ErrPending, err, note)
	}
	return res, fmt.Errorf("%w: %v%s", ErrPending, res.Effect, note)
}
