package scimserver

import (
	"context"
	"errors"
	"time"

	"pwb/roster"
)

// What a Store fails with; everything else is a fault of the store itself.
var (
	// ErrNotFound: nothing has that id, name or key.
	ErrNotFound = errors.New("not found")
	// ErrTaken: another resource or subject has that name or number.
	ErrTaken = errors.New("taken")
	// ErrUnknownPosition: the feed cannot be continued from that position:
	// another epoch, a sum this store never had there, a position still to
	// come, or one so old that it is forgotten.
	ErrUnknownPosition = errors.New("unknown position")
	// ErrClosed: the store is closed, or about to be.
	ErrClosed = errors.New("store is closed")
)

// Kind is the type of a resource.
type Kind uint8

// The kinds of resources. Their values are stored: they never change.
const (
	KindUser  Kind = 1
	KindGroup Kind = 2
)

// Resource is a SCIM resource as it is stored.
type Resource struct {
	Kind Kind
	// ID is the SCIM id: a UUID, version 7, so that ids ascend with time.
	ID string
	// Name is the folded userName or displayName, unique within a kind.
	Name string
	// ExternalID is as the provider gave it, or empty.
	ExternalID string
	// Display is the folded displayName, or empty.
	Display string
	// Version counts the writes of the resource, from 1.
	Version int64
	// Created and Modified have a precision of milliseconds.
	Created, Modified time.Time
	// Doc is the JSON object of the attributes that the provider set: without
	// id, meta, schemas, password, a user's groups and a group's members.
	Doc []byte
}

// Query selects resources of a kind: those for which everything holds that is
// set. The zero Query selects all.
type Query struct {
	ID, Name, ExternalID, Display string
	// Partner is the id of a user that a group holds, or of a group that holds
	// a user.
	Partner string

	Order      Order
	Descending bool
	// Offset resources are skipped; Limit is the most that are wanted, below 0
	// all of them.
	Offset, Limit int
}

// Order is what resources are sorted by. Every order is total, so that pages
// neither overlap nor leave gaps.
type Order uint8

// The orders that a store has an index for.
const (
	ByAge Order = iota // oldest first
	ByName
	ByID
)

// Ref names a resource that another one points to.
type Ref struct {
	// Display is a user's userName or a group's displayName as given.
	ID, Display string
}

// Entry is a row of the ledger: a number or name and the subject that owns it.
type Entry struct {
	Subject string
	// Name is the POSIX name the subject had when the entry was made.
	Name  string
	Given time.Time
}

// View reads the store as it was at one moment. Its methods fail with
// ErrNotFound where they look for one thing that is not there.
type View interface {
	// Resource returns the resource with that id.
	Resource(kind Kind, id string) (Resource, error)
	// Find calls yield for the resources that match, in the query's order, and
	// returns how many there are in all, whatever Offset and Limit say. It
	// holds one resource at a time; yield may use the view.
	Find(kind Kind, q Query, yield func(Resource) error) (total int, err error)
	// Members calls yield for the users in a group, in a stable order.
	Members(groupID string, yield func(Ref) error) error
	// Memberships calls yield for the groups that hold a user.
	Memberships(userID string, yield func(Ref) error) error

	// Position is where the feed stands.
	Position() (roster.Position, error)
	// Row returns the present value of a row of the roster.
	Row(key string) (roster.Row, error)
	// Changes calls yield for the rows that were changed between after and
	// the view's position, each once as it now is, ascending by key; one that
	// was changed and changed back may be among them. It fails with
	// ErrUnknownPosition before the first call when they cannot be told.
	Changes(after roster.Position, yield func(roster.Change) error) error
	// Snapshot calls yield for all rows, ascending by key.
	Snapshot(yield func(roster.Change) error) error

	// IDOwner returns who owns the number, as uid or as gid.
	IDOwner(number uint32) (Entry, error)
	// NameOwner returns who owns the POSIX name, as user or as group.
	NameOwner(name string) (Entry, error)

	// Token returns the token with that id.
	Token(id string) (Token, error)
	// Tokens returns all tokens, oldest first.
	Tokens() ([]Token, error)
}

// Tx changes the store. What one Tx does happens as a whole or not at all.
type Tx interface {
	View

	// Insert adds a resource. ErrTaken: its Name is another's of its kind.
	Insert(Resource) error
	// Replace stores a resource over the one with its id. ErrTaken as Insert.
	Replace(Resource) error
	// Delete removes a resource and every membership it has or holds.
	Delete(kind Kind, id string) error
	// AddMember and RemoveMember report whether they changed anything.
	// AddMember fails with ErrNotFound when there is no such user or group.
	AddMember(groupID, userID string) (bool, error)
	RemoveMember(groupID, userID string) (bool, error)

	// PutRow makes the row part of the roster, in place of the one with its
	// key; a row equal to the present one is no change.
	PutRow(roster.Row) error
	// DropRow takes the row with that key out of the roster, if it is there.
	DropRow(key string) error

	// Cursor is where the search for the next free number begins.
	Cursor() uint32
	SetCursor(next uint32)
	// GiveUID, GiveGID and GiveName record for ever that the subject e owns the
	// number or name. ErrTaken: it is, or ever was, another subject's. To
	// give a subject what it has is no change.
	GiveUID(number uint32, e Entry) error
	GiveGID(number uint32, e Entry) error
	GiveName(name string, e Entry) error

	// PutToken stores a token. ErrTaken: one with that name is there.
	PutToken(Token) error
	// DeleteToken removes a token by its name.
	DeleteToken(name string) error
}

// Store keeps resources, ledger, roster and tokens.
//
// Implementations serialise writers and let readers see only committed states.
// The storetest package holds the suite that each of them passes.
type Store interface {
	// Update runs fn and makes what it did durable: once Update has returned
	// nil the change survives a crash or power cut. When fn fails, Update
	// changes nothing and returns fn's error as it is. Concurrent calls may
	// share a commit, but never each other's fate. fn must not block on
	// anything but tx.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// View runs fn on one consistent state that includes every Update that has
	// returned.
	View(ctx context.Context, fn func(v View) error) error
	// Moved returns a channel that is closed after the next commit that moves
	// the position, also by another process. Take the channel before reading.
	Moved() <-chan struct{}
	// Close ends the store after the updates that have begun.
	Close() error
}
