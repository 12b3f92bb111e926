package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pwb/roster"
)

const (
	pinFile = "pin.json"
	maxPin  = 64 << 10
)

// ErrPinned says that the files show a generation that they are pinned to, and
// that the roster is another. The error is a *PinnedError.
var ErrPinned = errors.New("pinned")

// Pin ties a node's files to a generation of its Sink: the file pin.json. While
// it is there, passes follow the server and see to it that the files are those of
// the generation, and render nothing else.
type Pin struct {
	Generation int64 `json:"generation"`
	// Position is that of the roster of which the generation was rendered; the
	// zero Position when that is unknown.
	Position roster.Position `json:"position,omitzero"`
	// Since is when the node was pinned, UTC in whole seconds.
	Since time.Time `json:"since"`
}

// ReadPin reads the pin in a state directory; nil when there is none.
func ReadPin(stateDir string) (*Pin, error) {
	var p Pin
	path := filepath.Join(stateDir, pinFile)
	err := readJSON(path, maxPin, &p)
	if err == nil && p.Generation == 0 {
		if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err == nil {
			err = fmt.Errorf("%s names no generation", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read what the files are pinned to: %w; pin them anew with pwb-agent rollback GEN, or let them go with pwb-agent rollback --release", err)
	}
	return &p, nil
}

func writePin(stateDir string, p Pin) error {
	if err := writeJSON(stateDir, pinFile, p); err != nil {
		return fmt.Errorf("pin the files: %w", err)
	}
	return nil
}

// removePin removes the pin durably, whatever is in it.
func removePin(stateDir string) error {
	err := os.Remove(filepath.Join(stateDir, pinFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the files are not pinned")
	}
	if err == nil {
		err = syncDir(stateDir)
	}
	if err != nil {
		return fmt.Errorf("let the files go: %w", err)
	}
	return nil
}

// pinMark tells this pin from others. It is empty without one.
func pinMark(stateDir string) (mark string, changed time.Time) {
	fi, err := os.Lstat(filepath.Join(stateDir, pinFile))
	if err != nil {
		return "", time.Time{}
	}
	return "pinned " + fileMark(fi), ctime(fi)
}

// Held is what a pin holds back.
type Held struct {
	Generation int64 `json:"generation"`
	// Shown is the position of the generation, zero when unknown, and Position
	// that of the roster that would be rendered without the pin.
	Shown    roster.Position `json:"shown,omitzero"`
	Position roster.Position `json:"position"`
	// What rendering would do to the accounts in the files. Those in Locked can
	// still log in, and so can those in Removed, but for whom the files lock.
	Added      int `json:"added"`
	Removed    int `json:"removed"`
	Locked     int `json:"locked"`
	Renumbered int `json:"renumbered"`
	Changed    int `json:"changed"`
}

// Behind is by how many changes the files are behind the roster, -1 when that
// cannot be said: another store, or a generation without a position.
func (h Held) Behind() int64 {
	if h.Shown.Epoch != h.Position.Epoch || h.Position.Seq < h.Shown.Seq {
		return -1
	}
	return h.Position.Seq - h.Shown.Seq
}

// PinnedError tells what a pin holds back. It is ErrPinned.
type PinnedError struct{ Held Held }

// Is makes the error ErrPinned.
func (e *PinnedError) Is(target error) bool { return target == ErrPinned }

// Error says how far the files are behind, whom they still let in, and how to
// let them go.
func (e *PinnedError) Error() string {
	h := e.Held
	s := fmt.Sprintf("%v: the files show generation %d", ErrPinned, h.Generation)
	if n := h.Behind(); n >= 0 {
		s += fmt.Sprintf(", %d changes behind", n)
	} else {
		s += ", of another roster"
	}
	s += h.letsIn()
	return s + "; let them go with pwb-agent rollback --release"
}

// letsIn tells of those whom the files keep although they left.
func (h Held) letsIn() string {
	if h.Locked+h.Removed == 0 {
		return ""
	}
	return fmt.Sprintf("; THEY STILL LET IN %d accounts that the roster locks, and keep %d that it no longer has", h.Locked, h.Removed)
}

// keeper is the Sink as a Keeper.
func (s *Syncer) keeper() (Keeper, error) {
	k, ok := s.sink.(Keeper)
	if !ok {
		return nil, errors.New("nothing rendered is kept here, so that no generation can be put back")
	}
	return k, nil
}

// Rollback puts a generation of the Sink back and pins the files to it. It asks
// no server. Consent sees what would be done before anything is, while no other
// pass runs; its error ends it. May be nil.
//
// The pin is durable before the first file is written: who is killed on the way
// leaves a pinned node, whose next pass does the rest. It fails with what the
// Keeper fails with; if that is after the pin, the node is pinned all the same,
// and the error says so.
func (s *Syncer) Rollback(ctx context.Context, pin Pin, consent func(Plan) error) (Result, error) {
	k, err := s.keeper()
	if err != nil {
		return Result{}, err
	}
	pin.Since = utcNow()
	defer s.after(ctx, s.afterLimit)
	return s.locked(ctx, func() (Result, error) {
		plan, err := k.PlanGeneration(pin.Generation)
		if err != nil {
			return Result{}, err
		}
		if consent != nil {
			if err := consent(plan); err != nil {
				return Result{}, err
			}
		}
		if err := k.Hold(pin.Generation); err != nil {
			return Result{}, err
		}
		if err := ctx.Err(); err != nil {
			return Result{}, fmt.Errorf("before the files were pinned: %w", context.Cause(ctx))
		}
		if err := writePin(s.cfg.StateDir, pin); err != nil {
			return Result{}, err
		}
		return s.recorded(ctx, func(st *State, res *Result) error {
			st.Complete, st.Held = nil, nil
			err := s.putBack(ctx, plan, pin, st, res)
			if err != nil {
				err = fmt.Errorf("%w; the files are pinned to generation %d, and the next pass tries again", err, pin.Generation)
			}
			return err
		})
	})
}

// Release removes the pin and makes a pass, and when the server cannot be
// reached renders what the mirror holds. It fails as Once does, the files being
// let go all the same, and without a pin.
func (s *Syncer) Release(ctx context.Context) (Result, error) {
	defer s.after(ctx, s.afterLimit)
	return s.observed(s.locked(ctx, func() (Result, error) {
		if err := removePin(s.cfg.StateDir); err != nil {
			return Result{}, err
		}
		res, err := s.passOrQuiet(ctx, s.askNow(ctx))
		if err == nil || res.Reached || ctx.Err() != nil {
			return res, err
		}
		s.log.WarnContext(ctx, "the files are rendered from what was last pulled", "error", err)
		if _, ok := mirrorPosition(s.cfg.StateDir); !ok {
			return res, err
		}
		return s.renderMirror(ctx)
	}))
}

// putBack makes the files those of the pinned generation.
func (s *Syncer) putBack(ctx context.Context, plan Plan, pin Pin, st *State, res *Result) error {
	if plan.Changed() {
		mend, err := findAltered(plan)
		if err != nil {
			return fmt.Errorf("look at what generation %d would replace: %w", pin.Generation, err)
		}
		committed := s.intend(ctx, entry{pin.Position, plan.Effect().Leavers})
		err = plan.Commit(pin.Position)
		committed()
		if err != nil {
			return fmt.Errorf("put generation %d back: %w", pin.Generation, err)
		}
		s.reportAltered(ctx, st, mend)
		res.Wrote, res.Effect = true, plan.Effect()
		s.log.WarnContext(ctx, "put back the generation that the files are pinned to", "generation", pin.Generation, "effect", plan.Effect().String())
	}
	st.Rendered, st.LastRender = nil, utcNow()
	if pin.Position != (roster.Position{}) {
		st.Rendered = &pin.Position
	}
	s.tellRendered(st.Rendered)
	return nil
}

// pinned is pass for a node whose files are pinned: they are mended first, for
// which no server is needed. Then the mirror follows, unless ask is nil, and what
// rendering it would do is told. It fails with ErrPinned when that is anything.
func (s *Syncer) pinned(ctx context.Context, pin Pin, ask ask, st *State, res *Result) error {
	k, err := s.keeper()
	if err != nil {
		return err
	}
	m, why, err := openIfAny(s.cfg.StateDir)
	if err != nil {
		return err
	}
	var b basis
	if m != nil {
		defer m.Close()
		res.Position = m.pos
		b = s.basisOf(m)
	}
	was := st.Complete
	st.Complete = nil
	res.mark = s.mark()
	mend, err := k.PlanGeneration(pin.Generation)
	if err != nil {
		return fmt.Errorf("the files are pinned to a generation that cannot be put back, and are as they were: %w; let them go with pwb-agent rollback --release", err)
	}
	if err := s.putBack(ctx, mend, pin, st, res); err != nil {
		return err
	}
	if res.Wrote {
		res.mark = s.mark()
	}
	var p *planning
	if ask != nil {
		if p, err = s.follow(ctx, m, why, ask, st, res); err != nil {
			return err
		}
	}
	current := p == nil
	if current {
		if p, err = s.planMirror(ctx); errors.Is(err, fs.ErrNotExist) {
			return nil // new, and never reached the server
		} else if err != nil {
			return err
		}
	}
	plan, effect, err := p.wait()
	if errors.Is(err, ErrMirror) && current && ask != nil {
		if p, err = s.follow(ctx, nil, err, nil, st, res); err != nil {
			return err
		}
		current = false
		plan, effect, err = p.wait()
	}
	if err != nil {
		return fmt.Errorf("plan what the pin holds back at change %d: %w", p.pos.Seq, err)
	}
	res.Position = p.pos
	s.reportQuarantine(ctx, st, effect)
	st.Held = nil
	if plan.Changed() {
		st.Held = &Held{
			Generation: pin.Generation, Shown: pin.Position, Position: p.pos,
			Added: effect.Added, Removed: effect.Removed, Locked: effect.Locked, Renumbered: effect.Renumbered, Changed: effect.Changed,
		}
	}
	if current && !res.Wrote {
		st.setComplete(b, p.pos, was)
	}
	return st.heldBack()
}

// heldBack is a *PinnedError when a pin holds something back.
func (st *State) heldBack() error {
	if st.Held == nil {
		return nil
	}
	return &PinnedError{*st.Held}
}

// stands reports whether a pass ended as it should, by what the node was told to
// hold back: trying again at once would change nothing.
func stands(err error) bool { return errors.Is(err, ErrFuse) || errors.Is(err, ErrPinned) }
