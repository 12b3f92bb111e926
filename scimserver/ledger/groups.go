package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"pwb/roster"
)

// GroupWish is what a provider or an administrator wants of a group.
type GroupWish struct {
	DisplayName string
	// Name and GID are posixGroupName and posixGroupId; zero says nothing.
	Name string
	GID  uint32
}

func (w GroupWish) check() error {
	if w.Name != "" {
		if err := roster.CheckName(w.Name); err != nil {
			return refuse(Invalid, fieldGroupName, "%v: choose another, or leave it out to be given one", err)
		}
	}
	if w.GID != 0 {
		if err := CheckGivenID(int64(w.GID)); err != nil {
			return refuse(Invalid, fieldGID, "%v: choose another, or leave it out to be given one", err)
		}
	}
	return nil
}

// since is Wish.since of a group.
func (w GroupWish) since(was GroupWish) GroupWish {
	if w.Name == was.Name {
		w.Name = ""
	}
	if w.GID == was.GID {
		w.GID = 0
	}
	return w
}

func (w GroupWish) name() string { return cmp.Or(w.Name, roster.GroupName(w.DisplayName)) }

// RecognizeGroup returns the id of the imported group, or of the one that a
// restore forgot, that a new group of this wish takes over, or "".
func (l *Ledger) RecognizeGroup(tx View, w GroupWish) (string, error) {
	owner, err := tx.NameOwner(w.name())
	if err != nil || owner.Subject == "" {
		return "", err
	}
	s, err := tx.Subject(owner.Subject)
	switch {
	case err != nil:
		return "", err
	case s.Readmit && s.Group != nil && s.Group.Name == w.name():
		return s.ID, nil
	case s.State != Imported:
		return "", nil
	}
	if account, err := Has(tx, roster.AccountKey(s.ID)); err != nil || account { // and its own group
		return "", err
	}
	return s.ID, nil
}

// OpenGroup makes the POSIX group of a new SCIM group, or takes over the one
// that RecognizeGroup found, without the members that it was imported with:
// from now on the provider says who they are.
func (l *Ledger) OpenGroup(tx Tx, id string, w GroupWish) (GroupChange, error) {
	if err := w.check(); err != nil {
		return GroupChange{}, err
	}
	known, err := tx.Subject(id)
	if err != nil {
		return GroupChange{}, err
	}
	if known.State == Buried && known.Group != nil {
		if err := tx.PutRow(roster.Row{Group: known.Group}); err != nil {
			return GroupChange{}, err
		}
		known.State = Imported
	}
	if known.State == Imported {
		return l.takeOver(tx, known, w)
	}
	e := Entry{Subject: id, Given: l.moment()}
	g := roster.Group{ID: id, Name: w.Name, GID: w.GID}
	if g.Name != "" {
		err = l.claimName(tx, fieldGroupName, g.Name, e)
	} else {
		g.Name, err = l.takeName(tx, w.name(), e)
	}
	if err != nil {
		return GroupChange{}, err
	}
	e.Name = g.Name
	if g.GID != 0 {
		if err := l.claimGID(tx, g.GID, e); err != nil {
			return GroupChange{}, err
		}
	} else if g.GID, err = l.giveNextGID(tx, e); err != nil {
		return GroupChange{}, err
	}
	return GroupChange{After: g}, tx.PutRow(roster.Row{Group: &g})
}

func (l *Ledger) takeOver(tx Tx, known Subject, w GroupWish) (GroupChange, error) {
	row, err := tx.Row(roster.GroupKey(known.ID))
	if err != nil {
		return GroupChange{}, fmt.Errorf("imported group %s: %w", known.ID, err)
	}
	g := *row.Group
	if w.GID != 0 && w.GID != g.GID {
		return GroupChange{}, refuse(Taken, fieldGID, "%d is not %d, which the imported group %s has: leave it out, or change it with pwb-server group set-gid", w.GID, g.GID, g.Name)
	}
	var keys []string
	err = tx.RowsUnder(roster.MemberKey(g.ID, ""), func(c roster.Change) error {
		keys = append(keys, c.Key)
		return nil
	})
	for _, key := range keys {
		err = errors.Join(err, tx.DropRow(key))
	}
	if err != nil {
		return GroupChange{}, fmt.Errorf("members of the imported group %s: %w", g.Name, err)
	}
	return GroupChange{Before: g, After: g}, l.remember(tx, known, Subject{ID: known.ID, Primary: known.Primary})
}

// UpdateGroup follows a change of the group from one wish to another; the gid
// stays, and the name does unless another one follows.
func (l *Ledger) UpdateGroup(tx Tx, id string, was, w GroupWish) (GroupChange, error) {
	wanted, renamed := w.name(), w.Name != was.Name
	if w.Name == "" { // a name that was chosen once and is not spoken of stays
		renamed = wanted != roster.GroupName(was.DisplayName)
	}
	w = w.since(was)
	if err := w.check(); err != nil {
		return GroupChange{}, err
	}
	row, err := tx.Row(roster.GroupKey(id))
	if err != nil {
		return GroupChange{}, fmt.Errorf("group %s: %w", id, err)
	}
	before := *row.Group
	g := row.Group
	if w.GID != 0 && w.GID != g.GID {
		return GroupChange{}, refuse(Immutable, fieldGID, "is %d and is not changed by SCIM: leave it out, or run pwb-server group set-gid %s %d", g.GID, g.Name, w.GID)
	}
	e := Entry{Subject: id, Given: l.moment()}
	switch {
	case !renamed, wanted == g.Name:
		return GroupChange{before, *g}, nil
	case w.Name != "":
		g.Name, err = wanted, l.claimName(tx, fieldGroupName, wanted, e)
	default:
		g.Name, err = l.takeName(tx, wanted, e)
	}
	if err != nil {
		return GroupChange{}, err
	}
	return GroupChange{before, *g}, tx.PutRow(row)
}

// CloseGroup takes a group out of the roster; its members have gone before. Its
// gid and its name stay taken. One that is an account's primary group stays as
// one that was imported: without it no node would render the account.
func (l *Ledger) CloseGroup(tx Tx, id string) (GroupChange, error) {
	row, err := tx.Row(roster.GroupKey(id))
	if err != nil {
		return GroupChange{}, fmt.Errorf("group %s: %w", id, err)
	}
	known, err := tx.Subject(id)
	if err != nil {
		return GroupChange{}, err
	}
	if known.Primary {
		followers, err := accountsOf(tx, row.Group.GID)
		if err != nil {
			return GroupChange{}, err
		}
		if len(followers) > 0 {
			s := known
			s.State, s.Since = Imported, l.moment()
			l.log.Warn("a group was deleted that is the primary one of accounts; it stays, without members", "group", row.Group.Name, "gid", row.Group.GID, "accounts", len(followers))
			return GroupChange{*row.Group, *row.Group}, l.remember(tx, known, s)
		}
	}
	return GroupChange{Before: *row.Group}, tx.DropRow(roster.GroupKey(id))
}

// markPrimary remembers that a group is the primary one of an account.
func (l *Ledger) markPrimary(tx Tx, group string) error {
	known, err := tx.Subject(group)
	if err != nil {
		return err
	}
	s := known
	s.Primary = true
	return l.remember(tx, known, s)
}

// accountsOf returns the accounts whose primary group has the gid and is not
// a private one.
func accountsOf(tx View, gid uint32) (rows []roster.Row, err error) {
	here := fmt.Appendf(nil, `"gid":%d,`, gid)
	err = tx.RowsUnder("a/", func(c roster.Change) error {
		if !bytes.Contains(c.Line, here) { // most need not be decoded
			return nil
		}
		row, err := c.Row()
		if err == nil && row.Account.GID == gid && !row.Account.PrivateGroup() {
			rows = append(rows, row)
		}
		return err
	})
	return rows, err
}

// SetGID gives a group another gid: one that is nobody's, or with 0 the next. The
// old one stays taken. Accounts whose primary group it is follow.
func (l *Ledger) SetGID(tx Tx, id string, gid uint32) (GroupChange, error) {
	row, err := tx.Row(roster.GroupKey(id))
	if err != nil {
		return GroupChange{}, fmt.Errorf("group %s: %w", id, err)
	}
	before := *row.Group
	g := row.Group
	e := Entry{Subject: id, Name: g.Name, Given: l.moment()}
	if gid != 0 {
		err = l.claimGID(tx, gid, e)
	} else {
		gid, err = l.giveNextGID(tx, e)
	}
	if err != nil {
		return GroupChange{}, err
	}
	g.GID = gid
	if err := tx.PutRow(row); err != nil {
		return GroupChange{}, err
	}
	followers, err := accountsOf(tx, before.GID)
	if err != nil {
		return GroupChange{}, err
	}
	for _, f := range followers {
		if f.Account.UID == gid {
			return GroupChange{}, refuse(Taken, fieldGID, "%d is the uid of %s, whose primary group this is: choose another", gid, f.Account.Name)
		}
		f.Account.GID = gid
		err = errors.Join(err, tx.PutRow(f))
	}
	return GroupChange{before, *g}, err
}

// AdminGroupID is the subject of the group of administrators: the ledger's own,
// which no provider has.
const AdminGroupID = "admins"

// setAdmin makes an account a member of the administrators' group or takes it
// out; nil leaves it. The group is made when it first has a member.
func (l *Ledger) setAdmin(tx Tx, account string, admin *bool) error {
	if admin == nil {
		return nil
	}
	if !*admin || l.cfg.AdminGroup == "" {
		return tx.DropRow(roster.MemberKey(AdminGroupID, account))
	}
	there, err := Has(tx, roster.GroupKey(AdminGroupID))
	if err != nil {
		return err
	}
	if !there {
		if _, err := l.OpenGroup(tx, AdminGroupID, GroupWish{Name: l.cfg.AdminGroup}); err != nil {
			return fmt.Errorf("make the administrators' group: %w", err)
		}
	}
	return tx.PutRow(roster.Row{Member: &roster.Member{GroupID: AdminGroupID, AccountID: account}})
}
