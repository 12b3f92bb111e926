package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"pwb/roster"
)

// Source is where rosters come from. Its errors need not be stable between
// calls; all but ErrNoChange and ErrResync mean that nothing was learnt.
type Source interface {
	// Changes returns the stream of a delta that begins at pos, waiting up to
	// wait for one to exist. It fails with ErrNoChange when there is nothing
	// after pos and with ErrResync when pos is unknown to the source. It
	// returns soon after ctx ends, and reading the body fails then too.
	//
	// The caller closes the body.
	Changes(ctx context.Context, pos roster.Position, wait time.Duration) (io.ReadCloser, error)

	// Snapshot returns the stream of the whole roster. The caller closes the body.
	Snapshot(ctx context.Context) (io.ReadCloser, error)
}

// Reporter is a Source that passes on how far this node has come.
type Reporter interface {
	// Rendered is told the position that the node's files show, before each
	// request and whenever it changes; the zero Position when that is unknown.
	Rendered(pos roster.Position)
}

// Informer is a Source that takes what a node says of itself.
type Informer interface {
	// Inform passes facts on. It fails with ErrNotTaken when the source knows no
	// such thing. It returns soon after ctx ends, and in bounded time at any rate.
	Inform(ctx context.Context, facts Facts) error
}

var (
	// ErrNoChange says that the source has nothing after the position asked for.
	// It may be a *NoChangeError.
	ErrNoChange = errors.New("no change at the server")
	// ErrResync says that the source does not know the position asked for, and
	// that a snapshot is needed.
	ErrResync = errors.New("the server does not know this node's position")
	// ErrNotTaken says that the source is older than reports of nodes.
	ErrNotTaken = errors.New("the server takes no reports of nodes")
)

// Sink renders a roster on this node.
type Sink interface {
	// Plan works out what rendering rows would do, and writes nothing. It reads
	// rows to their end and once only; when they yield an error it fails. A row
	// holds until the next; its texts may be kept, but keep thousands of others
	// with them, so what is kept of a few is cloned. The rows are not proven before their end: nothing may follow from a part.
	Plan(rows iter.Seq2[roster.Row, error]) (Plan, error)

	// Mark tells the state of all that Plan looks at besides the rows, from its
	// settings to the rendered files, without reading any. If a plan changed
	// nothing and was made after a mark was taken, then a plan of the same rows
	// changes nothing as long as Mark returns the same, provided that newest was
	// seconds ago when the first was taken: it is when the youngest of these files
	// last changed. It fails when it cannot tell.
	Mark() (mark string, newest time.Time, err error)

	// Out returns those of leavers whom the files as they are now let in neither by
	// name nor by number; what it says holds while Mark stays the same. It fails
	// when it cannot tell.
	Out(leavers []roster.Leaver) ([]roster.Leaver, error)
}

// Plan is what a Sink would do. It holds nothing that needs to be closed.
type Plan interface {
	// Effect counts what Commit would do to the files as they were when the
	// plan was made.
	Effect() roster.Effect
	// Changed reports whether Commit would write anything.
	Changed() bool
	// WriteDiff shows the difference to a human. It holds no secret.
	WriteDiff(w io.Writer) error
	// Altered says of each file that Commit would put right how somebody else
	// changed it since a Commit wrote it, if somebody did.
	Altered() ([]string, error)
	// Commit makes the files so, durably. When it fails, every file is either
	// the old one or the new one. The rows were those of the roster at a position,
	// which a Keeper remembers.
	Commit(at roster.Position) error
}

// Keeper is a Sink that keeps what it rendered before.
type Keeper interface {
	// PlanGeneration works out what putting back a rendering that was committed
	// before would do, and writes nothing. The plan's Commit puts it back byte for
	// byte. It fails when that one is not kept or damaged. Mark covers what it
	// looks at, as far as it is in place.
	PlanGeneration(generation int64) (Plan, error)
	// Hold makes sure, durably, that the generation can be put back whatever
	// becomes of the files, for as long as no other is committed.
	Hold(generation int64) error
}

// NoChangeError is ErrNoChange of a source that asks to be left alone for a while,
// since it is about to be followed by another.
type NoChangeError struct{ RetryAfter time.Duration }

func (e *NoChangeError) Error() string {
	return fmt.Sprintf("%v; it asks to be left alone for %v", ErrNoChange, e.RetryAfter)
}

// Is reports whether target is ErrNoChange.
func (e *NoChangeError) Is(target error) bool { return target == ErrNoChange }
