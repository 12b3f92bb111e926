package ledger

import (
	"pwb/roster"
)

// Renumber gives an account another uid, and a gid that follows as with a new
// account: uid 0 is the next free one. With a gid only that changes when uid is
// the present one. What the account had stays its own for ever, so that files
// with the old number never come to belong to somebody else.
func (l *Ledger) Renumber(tx Tx, id string, uid, gid uint32) (Change, error) {
	a, s, err := l.account(tx, id)
	if err != nil {
		return Change{}, err
	}
	before := a
	e := Entry{Subject: id, Name: a.Name, Given: l.moment()}
	switch {
	case uid == 0:
		if a.UID, err = l.giveNextUID(tx, e); err != nil {
			return Change{}, err
		}
	case uid != a.UID:
		if err := l.claimUID(tx, uid, e); err != nil {
			return Change{}, err
		}
		a.UID = uid
	}
	if gid == 0 && !before.PrivateGroup() {
		gid = a.GID // it stays
	}
	if err := tx.DropRow(roster.GroupKey(id)); err != nil { // its own group's, if it has one
		return Change{}, err
	}
	if err := l.primaryGroup(tx, &a, gid, "", e); err != nil {
		return Change{}, err
	}
	return Change{before, a}, l.put(tx, before, &a, s, s)
}
