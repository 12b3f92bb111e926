package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"

	"pwb/roster"
)

// Recognize returns the id of the subject that a new user with this wish is:
// one who left and comes back, or whose account was imported. "" is a new one.
//
// Whoever left comes back when the userName is the same and the provider's own
// id is, too, or when an administrator said so: a userName alone may have been
// passed on to somebody else.
func (l *Ledger) Recognize(tx View, w Wish) (id string, err error) {
	if w.Folded != "" {
		err := tx.Departed(w.Folded, func(s Subject) error {
			if id == "" && (s.Readmit || w.ExternalID != "" && s.ExternalID == w.ExternalID) {
				id = s.ID
			}
			return nil
		})
		if err != nil || id != "" {
			return id, err
		}
	}
	name := cmp.Or(w.Name, l.UserName(w.UserName))
	owner, err := tx.NameOwner(name)
	if err != nil || owner.Subject == "" {
		return "", err
	}
	s, err := tx.Subject(owner.Subject)
	switch {
	case err != nil:
		return "", err
	case s.Readmit && s.UserName == "" && s.Account != nil && s.Account.Name == name: // nobody knows its userName any more
		return s.ID, nil
	case s.State != Imported:
		return "", nil
	}
	switch row, err := tx.Row(roster.AccountKey(s.ID)); {
	case errors.Is(err, ErrNotFound): // a group
		return "", nil
	case err != nil:
		return "", err
	case row.Account.Name != name: // one that it had before
		return "", nil
	}
	return s.ID, nil
}

// OpenAccount makes the account of a new user, or opens that of the subject
// whom Recognize found. It fails with a Refusal when the wish cannot be granted.
func (l *Ledger) OpenAccount(tx Tx, id string, w Wish) (Change, error) {
	if err := w.check(); err != nil {
		return Change{}, err
	}
	s, err := tx.Subject(id)
	if err != nil {
		return Change{}, err
	}
	if s.State != Present {
		return l.reopen(tx, s, w)
	}
	e := Entry{Subject: id, Given: l.moment()}
	a := roster.Account{ID: id, Home: w.Home, Shell: cmp.Or(w.Shell, l.cfg.Shell)}
	own := l.adoptable(w)
	if own != nil {
		ok, err := l.adopt(tx, &a, *own, w, e)
		if err != nil {
			return Change{}, err
		}
		if !ok {
			own = nil
		}
	}
	if own == nil {
		if err := l.nameAndNumber(tx, &a, w, e); err != nil {
			return Change{}, err
		}
	}
	a.Home = cmp.Or(a.Home, path.Join(l.cfg.HomeDir, a.Name))
	known := s
	s.WasImported = own != nil
	return l.settle(tx, roster.Account{}, a, known, s, w)
}

// nameAndNumber gives a new account its name, uid and gid.
func (l *Ledger) nameAndNumber(tx Tx, a *roster.Account, w Wish, e Entry) (err error) {
	if a.Name = w.Name; w.Name != "" {
		err = l.claimName(tx, fieldName, w.Name, e)
	} else {
		a.Name, err = l.deriveName(tx, w.UserName, e)
	}
	if err != nil {
		return err
	}
	e.Name = a.Name
	if a.UID = w.UID; w.UID != 0 {
		if err := l.claimUID(tx, w.UID, e); err != nil {
			return err
		}
	} else {
		if a.UID, err = l.giveNextUID(tx, e); err != nil {
			return err
		}
		if w.GID == 0 { // the number is free as a gid, too
			a.GID = a.UID
			if err := giveGID(tx, a.GID, e); err != nil {
				return err
			}
			return nil
		}
	}
	return l.primaryGroup(tx, a, w.GID, "", e)
}

// deriveName gives the subject the name that follows from the userName.
func (l *Ledger) deriveName(tx Tx, userName string, e Entry) (string, error) {
	name := l.UserName(userName)
	if roster.Protected(name) {
		return "", refuse(Invalid, fieldUserName, "%.100q would become the name %q, which belongs to the system: rename the user at the provider, or set posixUserName", userName, name)
	}
	return l.takeName(tx, name, e)
}

// primaryGroup gives an account its gid: the one that is wanted or, with 0, that
// of a private group with the uid's number where that is free. A gid that is a
// group's makes that group the primary one; one that is nobody's becomes the
// account's own group or, with a group name other than the account's, that group.
func (l *Ledger) primaryGroup(tx Tx, a *roster.Account, gid uint32, group string, e Entry) error {
	wanted := cmp.Or(gid, a.UID)
	_, owner, err := tx.IDOwners(wanted)
	if err != nil {
		return fmt.Errorf("look up who owns gid %d: %w", wanted, err)
	}
	free := owner.Subject == "" || owner.Subject == a.ID
	switch {
	case gid == 0 && !free:
		if wanted, err = l.next(tx, GroupSlot); err != nil {
			return err
		}
	case !free:
		shared, err := l.sharedGroup(tx, owner.Subject, gid)
		if err != nil {
			return err
		}
		if shared && gid != a.UID { // a gid like the uid is that of a private group
			a.GID = gid
			return l.markPrimary(tx, owner.Subject)
		}
		return refuse(Taken, fieldGID, "%d is or was the gid of %s (subject %s, since %s): choose another, or leave it out", gid, owner.Name, owner.Subject, day(owner.Given))
	case gid != 0 && owner.Subject == "":
		if err := CheckGivenID(int64(gid)); err != nil {
			return refuse(Invalid, fieldGID, "%v: choose another, or leave it out to be given one", err)
		}
		if group == "" || group == a.Name {
			if err := l.checkOthers(tx, fieldGID, gid, a.Name); err != nil {
				return err
			}
		}
	}
	a.GID = wanted
	if group != "" && group != a.Name && !a.PrivateGroup() {
		return l.importPrimary(tx, group, wanted)
	}
	if err := giveGID(tx, wanted, e); err != nil {
		return err
	}
	if a.PrivateGroup() {
		return nil
	}
	return tx.PutRow(roster.Row{Group: &roster.Group{ID: a.ID, Name: a.Name, GID: a.GID}})
}

// sharedGroup reports whether the subject is a group with that gid and not an
// account, whose own group is for nobody else.
func (l *Ledger) sharedGroup(tx View, subject string, gid uint32) (bool, error) {
	if account, err := Has(tx, roster.AccountKey(subject)); err != nil || account {
		return false, err
	}
	row, err := tx.Row(roster.GroupKey(subject))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && row.Group.GID == gid, err
}

// reopen opens the account of a subject that departed, is buried, or was
// imported: it keeps uid, gid, home and shell, and its name.
func (l *Ledger) reopen(tx Tx, s Subject, w Wish) (Change, error) {
	var before, a roster.Account
	switch row, err := tx.Row(roster.AccountKey(s.ID)); {
	case err == nil:
		before, a = *row.Account, *row.Account
	case errors.Is(err, ErrNotFound) && s.Account != nil:
		a = *s.Account
	default:
		return Change{}, fmt.Errorf("account of subject %s: %w", s.ID, err)
	}
	if w.UID != 0 && w.UID != a.UID {
		return Change{}, refuse(Taken, fieldUID, "%d is not %d, which the account %s has: leave it out, or change it with pwb-server user renumber", w.UID, a.UID, a.Name)
	}
	if w.GID != 0 && w.GID != a.GID {
		return Change{}, refuse(Taken, fieldGID, "%d is not %d, which the account %s has: leave it out, or change it with pwb-server user renumber", w.GID, a.GID, a.Name)
	}
	known := s
	s = Subject{ID: s.ID, WasImported: s.WasImported, JoinedImported: s.JoinedImported, Held: s.Held, Limit: s.Limit, Aliases: s.Aliases}
	if w.Name != "" && w.Name != a.Name {
		if err := l.claimName(tx, fieldName, w.Name, Entry{Subject: s.ID, Given: l.moment()}); err != nil {
			return Change{}, err
		}
		l.rename(&a, &s, w.Name)
	}
	a.Home, a.Shell = cmp.Or(w.Home, a.Home), cmp.Or(w.Shell, a.Shell)
	if a.GID != a.UID {
		// Its own group went with it when it was buried.
		_, owner, err := tx.IDOwners(a.GID)
		if err != nil {
			return Change{}, err
		}
		if owner.Subject == a.ID {
			if err := tx.PutRow(roster.Row{Group: &roster.Group{ID: a.ID, Name: a.Name, GID: a.GID}}); err != nil {
				return Change{}, err
			}
		}
	}
	return l.settle(tx, before, a, known, s, w)
}

// UpdateAccount follows a change of the user from one wish to another. What the
// new wish does not say, or says as the old one did, stays; the uid and the gid
// do in any case. It fails with a Refusal when the wish cannot be granted.
func (l *Ledger) UpdateAccount(tx Tx, id string, was, w Wish) (Change, error) {
	wanted, renamed := w.Name, w.Name != was.Name
	if w.Name == "" { // a name that was chosen once and is not spoken of stays
		wanted = l.UserName(w.UserName)
		renamed = wanted != l.UserName(was.UserName)
	}
	if w.Admin == nil && was.Admin != nil { // it was taken back
		w.Admin = new(bool)
	}
	w = w.since(was)
	if err := w.check(); err != nil {
		return Change{}, err
	}
	a, s, err := l.account(tx, id)
	if err != nil {
		return Change{}, err
	}
	before, known := a, s
	switch {
	case w.UID != 0 && w.UID != a.UID:
		return Change{}, refuse(Immutable, fieldUID, "is %d and is not changed by SCIM: leave it out, or run pwb-server user renumber %s %d", a.UID, a.Name, w.UID)
	case w.GID != 0 && w.GID != a.GID:
		return Change{}, refuse(Immutable, fieldGID, "is %d and is not changed by SCIM: leave it out, or run pwb-server user renumber %s --gid %d", a.GID, a.Name, w.GID)
	}
	e := Entry{Subject: id, Given: l.moment()}
	switch {
	case !renamed, wanted == a.Name:
	case w.Name != "":
		if err := l.claimName(tx, fieldName, w.Name, e); err != nil {
			return Change{}, err
		}
		l.rename(&a, &s, w.Name)
	default:
		name, err := l.deriveName(tx, w.UserName, e)
		if err != nil {
			return Change{}, err
		}
		l.rename(&a, &s, name)
	}
	a.Home, a.Shell = cmp.Or(w.Home, a.Home), cmp.Or(w.Shell, a.Shell)
	return l.settle(tx, before, a, known, s, w)
}

// account returns what the roster and the ledger know of a subject.
func (l *Ledger) account(tx View, id string) (roster.Account, Subject, error) {
	row, err := tx.Row(roster.AccountKey(id))
	if err != nil {
		return roster.Account{}, Subject{}, fmt.Errorf("account of user %s: %w", id, err)
	}
	s, err := tx.Subject(id)
	return *row.Account, s, err
}

// maxAliases is the most former names that work at once; the oldest give way.
const maxAliases = 5

// rename gives the account another name; the old one works for a while.
func (l *Ledger) rename(a *roster.Account, s *Subject, name string) {
	old := a.Name
	if name == old {
		return
	}
	a.Name = name
	s.Aliases = slices.DeleteFunc(slices.Clone(s.Aliases), func(al Alias) bool { return al.Name == name || al.Name == old })
	if l.cfg.AliasTime > 0 {
		s.Aliases = append(s.Aliases, Alias{Name: old, Until: l.moment().Add(l.cfg.AliasTime)})
		s.Aliases = s.Aliases[max(0, len(s.Aliases)-maxAliases):]
	}
}

// settle stores an account and what is known of its subject.
func (l *Ledger) settle(tx Tx, before, a roster.Account, known, s Subject, w Wish) (Change, error) {
	s.End = w.End
	a.Gecos = w.Gecos
	a.Hash = cmp.Or(w.Hash, a.Hash)
	a.Keys = w.Keys
	a.Locked = s.locked(w.Active, l.moment())
	if err := l.put(tx, before, &a, known, s); err != nil {
		return Change{}, err
	}
	return Change{before, a}, l.setAdmin(tx, a.ID, w.Admin)
}

// put stores an account, its own group, and what is known of its subject, where
// they changed.
func (l *Ledger) put(tx Tx, before roster.Account, a *roster.Account, known, s Subject) error {
	a.Aliases, a.Expire = s.names(), expireDay(s.Ends())
	if err := l.remember(tx, known, s); err != nil {
		return fmt.Errorf("remember subject %s: %w", s.ID, err)
	}
	if before.ID != "" && before.Name != a.Name && !a.PrivateGroup() {
		row, err := tx.Row(roster.GroupKey(a.ID))
		if err == nil {
			row.Group.Name = a.Name
			err = tx.PutRow(row)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return tx.PutRow(roster.Row{Account: a})
}
