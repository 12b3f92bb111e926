package roster

import "fmt"

// Effect is what rendering a roster would do to a node's files.
//
// An account's aliases are no accounts: they count in none of these numbers, and
// one that comes or goes changes its account. Two entries are of one account when
// they have the same uid; the first of them is its own.
type Effect struct {
	// Before and After count the accounts in the files now and afterwards.
	Before, After int
	// Added and Removed count accounts by name: one that is renamed is removed
	// and added, unless it keeps its uid and one of its names, if only as an
	// alias. Locked are those that can log in now and could not afterwards;
	// Renumbered those that keep their name with another uid; Changed those with
	// any other difference.
	Added, Removed, Locked, Renumbered, Changed int
	// GroupsAdded, GroupsRemoved and GroupsChanged count groups by name, but for
	// private ones and their aliases.
	GroupsAdded, GroupsRemoved, GroupsChanged int
	// LeftOut counts the accounts that the node's policy leaves out by choice.
	LeftOut int
	// Quarantined are the rows that this node refuses, in the roster's order.
	Quarantined []Quarantine
	// Leavers are the accounts locked or removed that could log in, or could until
	// they expired: in no order. Who only gets another name or number is none.
	Leavers []Leaver
}

// Leaver is an account that may not log in any more.
type Leaver struct {
	// Name is the account's own, the last if it is gone; UID the number that it had
	// when it could, and that its processes have.
	Name string `json:"name"`
	UID  uint32 `json:"uid"`
}

// Harm counts the accounts that lose something: what a mass-change fuse weighs.
func (e Effect) Harm() int { return e.Removed + e.Locked + e.Renumbered }

// Empties reports whether every account that the files hold would go.
func (e Effect) Empties() bool { return e.Before > 0 && e.Removed == e.Before && e.After == 0 }

// String is the effect in one line.
func (e Effect) String() string {
	return fmt.Sprintf("accounts %d -> %d: %d added, %d removed, %d locked, %d renumbered, %d changed; groups: %d added, %d removed, %d changed; %d quarantined",
		e.Before, e.After, e.Added, e.Removed, e.Locked, e.Renumbered, e.Changed,
		e.GroupsAdded, e.GroupsRemoved, e.GroupsChanged, len(e.Quarantined))
}

// PartKey is the part of an account that an SSH key is.
const PartKey = "SSH key"

// Quarantine is a row that a node refuses to render, or an alias or a key of one
// that it does render, and why.
type Quarantine struct {
	// Key is the row's key, Name the account's, group's or alias's name as it came;
	// it may hold anything, so it is quoted wherever it is shown.
	Key  string `json:"key"`
	Name string `json:"name"`
	// Part is PartKey where a key alone is refused, else empty.
	Part string `json:"part,omitempty"`
	// Reason says what is wrong and what would mend it. It holds no secret.
	Reason string `json:"reason"`
}
