package syncer

import (
	"errors"
	"fmt"

	"pwb/roster"
)

// Fuse says how many accounts of a node one pass may harm: remove, lock or
// renumber. Harm of up to the greater of both limits passes.
//
// Whatever the limits, a pass that would leave a node without any of its
// accounts stops.
type Fuse struct {
	// Count is a number of accounts; Percent a share, 0 to 100, of the accounts
	// that the node has now.
	Count   int
	Percent int
}

func (f Fuse) check() error {
	if f.Count < 0 || f.Percent < 0 || f.Percent > 100 {
		return fmt.Errorf("fuse of %d accounts or %d %%: the count is 0 or more, the percentage 0 to 100", f.Count, f.Percent)
	}
	return nil
}

// blows reports whether a pass with this effect has to stop.
func (f Fuse) blows(e roster.Effect) bool {
	harm := int64(e.Harm())
	return e.Empties() || harm > int64(f.Count) && harm*100 > int64(f.Percent)*int64(e.Before)
}

var (
	// ErrFuse says that a pass was stopped before it wrote because it would
	// have harmed too many accounts. The error is a *FuseError.
	ErrFuse = errors.New("stopped by the mass-change fuse")
	// ErrPending says that a dry run found changes to make.
	ErrPending = errors.New("changes are pending")
)

// FuseError tells what was stopped. It is ErrFuse.
type FuseError struct {
	// Effect is what the pass would have done, Position that of the roster it
	// would have rendered.
	Effect   roster.Effect
	Position roster.Position
	// Fuse is the limit that was passed.
	Fuse Fuse
	// Accepted is the change that was let through by name, 0 for none. It was
	// not this one.
	Accepted int64
}

// Is makes the error ErrFuse.
func (e *FuseError) Is(target error) bool { return target == ErrFuse }

// Error says what was stopped and how to let it through.
func (e *FuseError) Error() string {
	s := fmt.Sprintf("%v: change %d would remove %d, lock %d and renumber %d of this node's %d accounts",
		ErrFuse, e.Position.Seq, e.Effect.Removed, e.Effect.Locked, e.Effect.Renumbered, e.Effect.Before)
	if e.Effect.Empties() {
		s += " and leave none"
	} else {
		s += fmt.Sprintf(" (the greater of %d and %d %% may pass)", e.Fuse.Count, e.Fuse.Percent)
	}
	s += "; all files are as they were. "
	switch {
	case e.Position.Seq <= 0:
		return s + "The server's roster has never held anything, which cannot be accepted: check that it is the right server and that its data is in place"
	case e.Accepted > 0:
		s += fmt.Sprintf("Change %d was accepted, but the roster is at %d now. ", e.Accepted, e.Position.Seq)
	}
	return s + fmt.Sprintf("If this is meant, look at the plan and let it through with --accept-change %d; if not, undo it at the identity provider", e.Position.Seq)
}
