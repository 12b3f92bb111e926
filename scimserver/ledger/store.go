package ledger

import (
	"errors"
	"time"

	"pwb/roster"
)

// What a Tx fails with; everything else is a fault of the store.
var (
	// ErrNotFound: nothing has that key.
	ErrNotFound = errors.New("not found")
	// ErrTaken: another subject has that name or number.
	ErrTaken = errors.New("taken")
)

// Entry says who owns a number or name. The zero Entry is nobody's.
type Entry struct {
	Subject string
	// Name is the POSIX name the subject had when the entry was made.
	Name  string
	Given time.Time
}

// Possession is an entry with what it is about: a uid or a gid, which is not 0
// then, or a name.
type Possession struct {
	UID, GID uint32
	Name     string
	Entry    Entry
}

// State is where a subject stands between coming and going.
type State uint8

// The states. Their values are stored: they never change.
const (
	// Present subjects have a resource at the provider.
	Present State = 0
	// Imported subjects were brought in by an administrator. They have an account
	// or a group; the first SCIM user or group of their name takes it over.
	Imported State = 1
	// Departed subjects were deleted: their account is locked, and its name and
	// numbers stay resolvable.
	Departed State = 2
	// Buried subjects have no row any more: only the ledger remembers them.
	Buried State = 3
)

// Earlier is the earlier of two moments, of which the zero one is never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Ends is when the account locks by itself; zero is never.
func (s Subject) Ends() time.Time { return Earlier(s.End, s.Limit) }

// Alias is a former name that still works, until a moment.
type Alias struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// Subject is what is remarkable about a subject. One that never was remarkable
// is zero but for its ID.
type Subject struct {
	ID    string
	State State
	// Since is when the subject was imported or departed; zero for Present.
	Since time.Time
	// UserName (folded) and ExternalID are those of the SCIM user that departed.
	UserName, ExternalID string
	// JoinedImported says that the account was made a member of an imported
	// group, which no provider knows of.
	JoinedImported bool
	// Primary says that the group is, or was, the primary one of an account
	// whose own it is not.
	Primary bool
	// Claimed says that registration at a login made the user or group, and that no
	// provider changed it since: it follows what is claimed at logins.
	Claimed bool
	// Held says that an administrator keeps the account locked, whatever the
	// provider says.
	Held bool
	// Readmit says that the next user with UserName, or where that is not known
	// with the account's name, is the same person.
	Readmit bool
	// End is when the account locks by itself, as the provider says; Limit when
	// it does whatever the provider says. Zero is never.
	End, Limit time.Time
	// WasImported says that an administrator brought the account in.
	WasImported bool
	// Aliases are the former names that still work, oldest first.
	Aliases []Alias
	// Account is the account as it was when it was buried, without its hash.
	Account *roster.Account
	// Group is a group as it was when a restore forgot it.
	Group *roster.Group
	// Due is when something is to be done about the subject; zero is never.
	Due time.Time
}

// View is what the ledger reads of a store at one moment.
type View interface {
	// Row returns the present value of a row of the roster, or ErrNotFound.
	Row(key string) (roster.Row, error)
	// Snapshot calls yield for all rows, ascending by key.
	Snapshot(yield func(roster.Change) error) error
	// RowsUnder calls yield for the rows whose keys begin with prefix, ascending.
	RowsUnder(prefix string, yield func(roster.Change) error) error

	// IDOwners returns who owns the number as a uid and who as a gid: the zero
	// Entry where nobody does.
	IDOwners(number uint32) (uid, gid Entry, err error)
	// NameOwner returns who owns the POSIX name, as user or as group: the zero
	// Entry when nobody does.
	NameOwner(name string) (Entry, error)
	// Possessions calls yield for all that a subject owns, or, with "", for all
	// that anybody owns: uids and gids ascending, then names ascending.
	Possessions(subject string, yield func(Possession) error) error

	// Subject returns what is known of a subject: one that is zero but for its
	// ID when nothing is.
	Subject(id string) (Subject, error)
	// Subjects calls yield for all that PutSubject stored, ascending by ID.
	Subjects(yield func(Subject) error) error
	// Departed calls yield for the subjects in state Departed or Buried that
	// have the (folded) userName, which is not empty; the latest Since first.
	Departed(userName string, yield func(Subject) error) error
	// Due returns up to limit subjects whose Due is set and not after now, the
	// earliest first.
	Due(now time.Time, limit int) ([]Subject, error)

	// NodeWithID and NodeWithName return a node that has the number (as uid or
	// gid) or name among its own, not ours; "" when none has.
	NodeWithID(number uint32) (node string, err error)
	NodeWithName(name string) (node string, err error)
}

// Has reports whether the roster has a row with that key.
func Has(v View, key string) (bool, error) {
	_, err := v.Row(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Tx changes what a View reads, as a whole or not at all.
type Tx interface {
	View

	// PutRow makes the row part of the roster, in place of the one with its
	// key; a row equal to the present one is no change.
	PutRow(roster.Row) error
	// DropRow takes the row with that key out of the roster, if it is there.
	DropRow(key string) error

	// Cursor is where the search for the next free number begins that belongs
	// to the slot and starts at start. When that was not stored last it is 0 or,
	// since a restore into an empty store, the restore's margin behind start.
	Cursor(slot Slot, start uint32) uint32
	SetCursor(slot Slot, start, next uint32)
	// GiveUID, GiveGID and GiveName record for ever that the subject e owns the
	// number or name. ErrTaken: it is, or ever was, another subject's; uids and
	// gids are apart in this. To give a subject what it has is no change.
	GiveUID(number uint32, e Entry) error
	GiveGID(number uint32, e Entry) error
	GiveName(name string, e Entry) error

	// PutSubject stores s in place of what is known of the subject.
	PutSubject(s Subject) error
}

// Slot is one of the two cursors.
type Slot uint8

// The slots: users and groups may have ranges of their own.
const (
	UserSlot  Slot = 0
	GroupSlot Slot = 1
)
