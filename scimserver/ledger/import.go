package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"time"

	"pwb/roster"
)

// Import is an account that an administrator brings in. Its name and numbers
// have been chosen: a UID of 0 is the next free one, a GID of 0 that of a group
// of its own.
type Import struct {
	Name        string
	UID, GID    uint32
	Group       string // the name of the group that GID is, or empty: its own
	Gecos       string
	Home, Shell string
}

// ImportAccount makes an account for a subject that no provider has yet; the
// first user of that name takes it over. It fails with a Refusal when the name
// or a number is another's.
func (l *Ledger) ImportAccount(tx Tx, id string, im Import) (Change, error) {
	w := Wish{Name: im.Name, UID: im.UID, GID: im.GID, Home: im.Home, Shell: im.Shell, Gecos: im.Gecos, Active: true}
	if err := w.check(); err != nil {
		return Change{}, err
	}
	if im.Name == "" {
		return Change{}, refuse(Invalid, fieldName, "is empty")
	}
	e := Entry{Subject: id, Name: im.Name, Given: l.moment()}
	owner, err := tx.NameOwner(im.Name)
	if err != nil {
		return Change{}, err
	}
	if im.Name == l.cfg.AdminGroup {
		return Change{}, refuse(Taken, fieldName, "%q is the name of the administrators' group: set admin-group", im.Name)
	}
	if owner.Subject != "" && owner.Subject != id {
		return Change{}, refuse(Taken, fieldName, "%q is or was that of subject %s, since %s", im.Name, owner.Subject, day(owner.Given))
	}
	// What the host and the nodes have under this name is what is imported.
	if err := l.giveName(tx, im.Name, e); err != nil {
		return Change{}, err
	}
	a := roster.Account{ID: id, Name: im.Name, UID: im.UID, Home: cmp.Or(im.Home, path.Join(l.cfg.HomeDir, im.Name)), Shell: cmp.Or(im.Shell, l.cfg.Shell)}
	if im.UID == 0 {
		a.UID, err = l.giveNextUID(tx, e)
	} else {
		err = l.claimUID(tx, im.UID, e)
	}
	if err != nil {
		return Change{}, err
	}
	if err := l.primaryGroup(tx, &a, im.GID, im.Group, e); err != nil {
		return Change{}, err
	}
	known, err := tx.Subject(id)
	if err != nil {
		return Change{}, err
	}
	s := Subject{ID: id, State: Imported, Since: l.moment(), WasImported: true, JoinedImported: known.JoinedImported, Held: known.Held, Limit: known.Limit}
	return l.settle(tx, roster.Account{}, a, known, s, w)
}

// SetHash gives an imported account a password hash, an administrator's lock
// where the password was locked, and an end. It never lifts a lock. It reports
// false, and does nothing, when the account was not imported, when it is a
// provider's by now and has a hash or would get one that was locked or ended,
// and when there is nothing to change.
func (l *Ledger) SetHash(tx Tx, id, hash string, held bool, end time.Time) (Change, bool, error) {
	a, known, err := l.account(tx, id)
	if err != nil {
		return Change{}, false, err
	}
	if known.State != Imported && (!known.WasImported || a.Hash != "" || held || !end.IsZero()) {
		return Change{}, false, nil
	}
	before, s := a, known
	a.Hash = cmp.Or(hash, a.Hash)
	if known.State == Imported {
		s.Held = s.Held || held
		s.Limit = Earlier(s.Limit, end)
		a.Locked = a.Locked || s.locked(true, l.moment())
	}
	if a.Hash == before.Hash && a.Locked == before.Locked && same(known, s) {
		return Change{}, false, nil
	}
	return Change{before, a}, true, l.put(tx, before, &a, known, s)
}

// ImportGroup makes a group for a subject that no provider has yet, with
// accounts as members; the first SCIM group of that name takes it over. A GID
// of 0 is the next free one.
func (l *Ledger) ImportGroup(tx Tx, id, name string, gid uint32, accounts []string) (GroupChange, error) {
	if err := (GroupWish{Name: name, GID: gid}).check(); err != nil {
		return GroupChange{}, err
	}
	if name == "" {
		return GroupChange{}, refuse(Invalid, fieldGroupName, "is empty")
	}
	e := Entry{Subject: id, Name: name, Given: l.moment()}
	owner, err := tx.NameOwner(name)
	if err != nil {
		return GroupChange{}, err
	}
	if name == l.cfg.AdminGroup {
		return GroupChange{}, refuse(Taken, fieldGroupName, "%q is the name of the administrators' group: set admin-group", name)
	}
	if owner.Subject != "" && owner.Subject != id {
		return GroupChange{}, refuse(Taken, fieldGroupName, "%q is or was that of subject %s, since %s", name, owner.Subject, day(owner.Given))
	}
	if err := l.giveName(tx, name, e); err != nil {
		return GroupChange{}, err
	}
	if gid == 0 {
		if gid, err = l.giveNextGID(tx, e); err != nil {
			return GroupChange{}, err
		}
	} else if err := l.claimGID(tx, gid, e); err != nil {
		return GroupChange{}, err
	}
	g := roster.Group{ID: id, Name: name, GID: gid}
	err = errors.Join(
		tx.PutRow(roster.Row{Group: &g}),
		l.remember(tx, Subject{ID: id}, Subject{ID: id, State: Imported, Since: l.moment()}),
	)
	if err != nil {
		return GroupChange{}, err
	}
	_, err = l.ImportMembers(tx, id, accounts)
	return GroupChange{After: g}, err
}

// ImportMembers makes accounts members of an imported group, and returns those
// that were not.
func (l *Ledger) ImportMembers(tx Tx, group string, accounts []string) (added []string, err error) {
	for _, id := range accounts {
		switch member, err := Has(tx, roster.MemberKey(group, id)); {
		case err != nil:
			return nil, err
		case member:
			continue
		}
		known, err := tx.Subject(id)
		if err != nil {
			return nil, err
		}
		s := known
		s.JoinedImported = true
		if err := l.remember(tx, known, s); err != nil {
			return nil, err
		}
		if err := tx.PutRow(roster.Row{Member: &roster.Member{GroupID: group, AccountID: id}}); err != nil {
			return nil, err
		}
		added = append(added, id)
	}
	return added, nil
}

// importPrimary makes the group that an account brings along as its primary one.
// It is a subject of its own, named after its gid so that the next account finds
// the same.
func (l *Ledger) importPrimary(tx Tx, group string, gid uint32) error {
	id := fmt.Sprintf("gid-%d", gid)
	e := Entry{Subject: id, Given: l.moment()}
	name := group
	if err := l.checkOthers(tx, fieldGID, gid, group); err != nil {
		return err
	}
	if roster.CheckName(name) != nil {
		name = roster.GroupName(name)
	}
	owner, err := tx.NameOwner(name)
	if err != nil {
		return err
	}
	if owner.Subject == "" {
		err = l.giveName(tx, name, e) // also one of the host's: it is this very group
	} else {
		name, err = l.takeName(tx, name, e)
	}
	if err != nil {
		return err
	}
	e.Name = name
	if err := giveGID(tx, gid, e); err != nil { // what the host has under another name, too
		return err
	}
	if _, err = l.ImportGroup(tx, id, name, gid, nil); err != nil {
		return err
	}
	return l.markPrimary(tx, id)
}
