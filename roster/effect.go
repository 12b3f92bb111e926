package roster

import "fmt"

// Effect is what rendering a roster would do to a node's files.
type Effect struct {
	// Before and After count the accounts in the files now and afterwards.
	Before, After int
	// Added and Removed count accounts by name; Locked those that can log in
	// now and could not afterwards; Renumbered those that keep their name with
	// another uid; Changed those with any other difference.
	Added, Removed, Locked, Renumbered, Changed int
	// GroupsAdded, GroupsRemoved and GroupsChanged count groups by name.
	GroupsAdded, GroupsRemoved, GroupsChanged int
	// Quarantined are the rows that this node refuses, in the roster's order.
	Quarantined []Quarantine
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

// Quarantine is a row that a node refuses to render, and why.
type Quarantine struct {
	// Key is the row's key, Name the account's or group's name as it came; it
	// may hold anything, so it is quoted wherever it is shown.
	Key  string `json:"key"`
	Name string `json:"name"`
	// Reason says what is wrong and what would mend it. It holds no secret.
	Reason string `json:"reason"`
}
