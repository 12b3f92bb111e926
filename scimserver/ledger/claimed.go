package ledger

import "strings"

// SetClaimed says whether a user or group follows what is claimed at logins. It
// is no change where that is so already.
func (l *Ledger) SetClaimed(tx Tx, id string, claimed bool) error {
	known, err := tx.Subject(id)
	if err != nil {
		return err
	}
	s := known
	s.Claimed = claimed
	return l.remember(tx, known, s)
}

// Spells reports whether the whole userName, as the rewrite rule leaves it, is
// the name that is made of it, but for capitals of ASCII: nothing is dropped on the
// way, such as a domain that might be anybody's, and no letter becomes another, as the
// sign of Kelvin becomes a k.
func (l *Ledger) Spells(userName string) bool {
	whole, name := l.cfg.Rewrite.Apply(userName), l.UserName(userName)
	return len(whole) == len(name) && strings.EqualFold(whole, name) // letters beyond ASCII have more bytes
}

// TakesOver reports whether a new user with this wish would be given an account
// that is there already: one that was imported, or one of the server's own host.
func (l *Ledger) TakesOver(tx View, w Wish) (bool, error) {
	id, err := l.Recognize(tx, w)
	if err != nil {
		return false, err
	}
	if id != "" {
		s, err := tx.Subject(id)
		return s.State == Imported, err
	}
	own := l.adoptable(w)
	if own == nil {
		return false, nil
	}
	name, err := tx.NameOwner(own.name)
	if err != nil {
		return false, err
	}
	uid, _, err := tx.IDOwners(own.uid)
	return name.Subject == "" && uid.Subject == "", err
}

// AdminGroup is the name of the administrators' group, empty when there is none.
func (l *Ledger) AdminGroup() string { return l.cfg.AdminGroup }
