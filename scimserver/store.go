package scimserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
)

// What a Store fails with; everything else is a fault of the store itself.
var (
	// ErrNotFound: nothing has that id, name or key.
	ErrNotFound = ledger.ErrNotFound
	// ErrTaken: another resource or subject has that name or number.
	ErrTaken = ledger.ErrTaken
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

// Event is an entry of the audit log: something that was done to a subject or
// token, by whom, and what it changed. No secret is in it.
type Event struct {
	// Seq numbers the events from 1; the store sets it.
	Seq int64
	// At has a precision of milliseconds.
	At time.Time
	// Actor is who did it: "token NAME", "administrator NAME" or "server".
	Actor string
	// Action is what was done, as in "user.create".
	Action string
	// Subject is the id of the user or group it was done to, or empty.
	Subject string
	// Name, UID and GID are what the subject had afterwards; a name may also be
	// that of a token.
	Name     string
	UID, GID uint32
	// Changes is a JSON object: attribute to [before, after].
	Changes []byte
	// Epoch and Position are where the feed stood with the event, so that who is
	// there has all that it changed; the store sets them. Events of older
	// versions have none.
	Epoch    string
	Position int64
	// Loss is what a provider took from the subject.
	Loss Loss
}

// Loss is what an event took from its subject, for the fuse.
type Loss uint8

// The losses. Their values are stored: they never change.
const (
	LossNone    Loss = 0
	LossLocked  Loss = 1
	LossDeleted Loss = 2
)

// EventQuery selects events: those for which everything holds that is set.
type EventQuery struct {
	Subject string
	// Since and Until bound At: not before Since, before Until.
	Since, Until time.Time
	// Last is how many of the newest are wanted; 0 is all.
	Last int
}

// Node is what a node said about itself last.
type Node struct {
	Name, Version string
	// Seen is when it said so.
	Seen time.Time
	// IDs and Names are the uids, gids and names of its own passwd and group
	// files from the floor on, ascending.
	IDs   []uint32
	Names []string
	// Quarantined counts the rows that it refuses. Result is why its last pass
	// did not end well, empty when it did.
	Quarantined int
	Result      string
}

// Sighting is when and how a node was seen last.
type Sighting struct {
	Name, Version string
	Seen          time.Time
	// Epoch and Position are what the node's files show; empty when unknown.
	Epoch    string
	Position int64
	// Quarantined and Result are those of the node's report.
	Quarantined int
	Result      string
}

// Identity says who a user is at an OpenID provider.
type Identity struct {
	// Issuer and Sub are the claims iss and sub, as they are.
	Issuer, Sub string
	// Subject is the id of the user.
	Subject string
	// Made says that this identity's registration made the user, and not a
	// provider, an administrator or the registration of another identity.
	Made bool
	// Bound is when the two were bound together, in milliseconds.
	Bound time.Time
}

// View reads the store as it was at one moment. Its methods fail with
// ErrNotFound where they look for one thing that is not there, unless they say
// otherwise.
type View interface {
	ledger.View

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

	// AccountsIn calls yield for the accounts of the roster that are members of
	// one of its groups, and GroupsOf for the groups that have an account as a
	// member: their rows, ascending by key. Members that are no account any more
	// are passed over, and so are groups that are none. Each costs no more than
	// what it yields.
	AccountsIn(groupID string, yield func(roster.Change) error) error
	GroupsOf(accountID string, yield func(roster.Change) error) error

	// Accounts counts those of the roster.
	Accounts() (int, error)
	// Position is where the feed stands.
	Position() (roster.Position, error)
	// Changes calls yield for the rows that were changed between after and
	// the view's position, each once as it now is, ascending by key; one that
	// was changed and changed back may be among them. It fails with
	// ErrUnknownPosition before the first call when they cannot be told.
	Changes(after roster.Position, yield func(roster.Change) error) error
	// Restored is when the store was last put back from a backup; zero if never.
	Restored() (time.Time, error)

	// Events calls yield for the events of the audit log that match, oldest
	// first.
	Events(q EventQuery, yield func(Event) error) error
	// Losses counts the subjects that had a loss since one moment and before
	// another, and those of them that had LossDeleted.
	Losses(since, until time.Time) (all, deleted int, err error)
	// FuseReleased is until when the fuse is released; zero if it never was.
	FuseReleased() (time.Time, error)
	// Nodes returns all nodes that reported or were seen, by name.
	Nodes() ([]Node, error)
	// Sightings calls yield for the same nodes, as they were seen last.
	Sightings(yield func(Sighting) error) error

	// Identity returns the identity that has the issuer and sub.
	Identity(issuer, sub string) (Identity, error)
	// Identities returns those of a user, by issuer.
	Identities(subject string) ([]Identity, error)

	// Token returns the token with that id.
	Token(id string) (Token, error)
	// TokenNamed returns the token with that name.
	TokenNamed(name string) (Token, error)
	// Tokens returns all tokens, oldest first.
	Tokens() ([]Token, error)
}

// Tx changes the store. What one Tx does happens as a whole or not at all.
type Tx interface {
	View
	ledger.Tx // with the methods of View

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

	// Record appends to the audit log.
	Record(Event) error
	// ReleaseFuse sets until when the fuse is released.
	ReleaseFuse(until time.Time) error
	// PutNode stores what a node says, in place of what it said before.
	PutNode(Node) error
	// SeeNode stores when a node was seen, its version and its position, unless
	// a later sighting is stored. What it reported stays.
	SeeNode(Sighting) error
	// DeleteNode removes a node and what it said.
	DeleteNode(name string) error

	// Bind stores an identity. ErrTaken: its issuer and sub are bound already, or
	// the user has another one of that issuer.
	Bind(Identity) error
	// Unbind removes the identities of a user and returns how many there were.
	Unbind(subject string) (int, error)
	// UseOnce remembers a digest until a moment. ErrTaken: it is remembered
	// already, and its moment comes after now. A Restore keeps what is remembered.
	UseOnce(digest [sha256.Size]byte, now, until time.Time) error

	// PutToken stores a token. ErrTaken: one with that name is there.
	PutToken(Token) error
	// DeleteToken removes a token by its name.
	DeleteToken(name string) error
	// UseTokens sets when tokens were used last, by their ids, where that is
	// later than what is stored; ids that are no token's are passed over.
	UseTokens(map[string]time.Time) error
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
