// Package altfiles renders a roster as the passwd(5), group(5) and shadow(5)
// files that nss_altfiles or libnss-extrausers read, and writes them whole or
// not at all.
//
// A Renderer belongs to one directory. Plan makes the three files in memory
// from one pass over the rows, leaves out what the node's Policy refuses (see
// roster.Quarantine), checks its own output by parsing it again, and compares
// it with the disk. The Plan then tells what would change (Effect, WriteDiff)
// and does it (Commit).
//
// Beside its manifest it keeps lookup indexes of the same lines, see OpenIndex.
//
// Plan reads files, Commit writes them; nothing here logs, keeps a goroutine or
// holds a descriptor between calls. Neither type may be used by two goroutines
// at once. Two processes that commit to the same directory are kept apart by a
// lock in the state directory.
package altfiles

import "errors"

// What Plan and Commit fail with, besides a *ForeignError and faults of the
// file system. In every case the files are whole, and they are the old ones
// unless the error says which were replaced.
var (
	// ErrBusy: another process is committing with the same state directory.
	ErrBusy = errors.New("another process is writing the files")
	// ErrStale: the files are no longer those that the plan was made against.
	ErrStale = errors.New("the files changed after they were planned")
)

// ForeignError is a file or directory that is in the way and that this package
// did not make, or cannot trust: it is neither read further nor replaced.
type ForeignError struct {
	// Path is what is refused, Why says what is wrong with it and Mend what to
	// do about it.
	Path, Why, Mend string
}

// Error implements error.
func (e *ForeignError) Error() string {
	return e.Path + " " + e.Why + ", so it is left alone: " + e.Mend
}
