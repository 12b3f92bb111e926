package main

import (
	"errors"

	"pwb/roster"
	"pwb/scimserver"
)

// owners answers an import what the ledger has. It implements transfer.Owners.
type owners struct{ scimserver.View }

// UID returns the name of who owns the uid.
func (o owners) UID(uid uint32) (string, error) {
	e, _, err := o.IDOwners(uid)
	if err != nil || e.Subject == "" {
		return "", err
	}
	return o.nameOf(e.Subject, e.Name)
}

// GID returns the name of who owns the gid.
func (o owners) GID(gid uint32) (string, error) {
	_, e, err := o.IDOwners(gid)
	if err != nil || e.Subject == "" {
		return "", err
	}
	return o.nameOf(e.Subject, e.Name)
}

// nameOf is the subject's present name, or failing all else the one it had when
// it was given the number.
func (o owners) nameOf(subject, given string) (string, error) {
	switch a, err := o.account(subject); {
	case err != nil:
		return "", err
	case a != nil:
		return a.Name, nil
	}
	switch g, err := o.group(subject); {
	case err != nil:
		return "", err
	case g != nil:
		return g.Name, nil
	}
	s, err := o.Subject(subject)
	if s.Account != nil {
		given = s.Account.Name
	}
	return given, err
}

// Name returns the numbers of who owns the name.
func (o owners) Name(name string) (uid, gid uint32, taken bool, err error) {
	e, err := o.NameOwner(name)
	if err != nil || e.Subject == "" {
		return 0, 0, false, err
	}
	a, err := o.account(e.Subject)
	if err != nil {
		return 0, 0, false, err
	}
	if a != nil {
		return a.UID, a.GID, true, nil
	}
	g, err := o.group(e.Subject)
	if err != nil {
		return 0, 0, false, err
	}
	if g != nil {
		return 0, g.GID, true, nil
	}
	s, err := o.Subject(e.Subject)
	switch {
	case err != nil:
		return 0, 0, false, err
	case s.Account != nil && s.Readmit: // a restore forgot it, an import brings it back
		return 0, 0, false, nil
	case s.Account != nil:
		return s.Account.UID, s.Account.GID, true, nil
	}
	return 0, 0, true, nil
}

// named returns the account that has the name now; nil: none.
func (o owners) named(name string) (*roster.Account, error) {
	e, err := o.NameOwner(name)
	if err != nil || e.Subject == "" {
		return nil, err
	}
	a, err := o.account(e.Subject)
	if a == nil || a.Name != name {
		return nil, err
	}
	return a, nil
}

// account returns the subject's account; nil: it has none.
func (o owners) account(subject string) (*roster.Account, error) {
	row, err := o.Row(roster.AccountKey(subject))
	if errors.Is(err, scimserver.ErrNotFound) {
		return nil, nil
	}
	return row.Account, err
}

// group returns the subject's group; nil: it has none.
func (o owners) group(subject string) (*roster.Group, error) {
	row, err := o.Row(roster.GroupKey(subject))
	if errors.Is(err, scimserver.ErrNotFound) {
		return nil, nil
	}
	return row.Group, err
}
