package scimserver

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"pwb/roster"
	"pwb/scimserver/scim"
)

// The ledger gives each subject its numbers and names and never gives any of
// them to another. What a subject has now stands in its row of the roster; what
// it ever had, in the store's ledger.

func checkLedgerConfig(c *Config) error {
	if c.StartUID < roster.MinID {
		return fmt.Errorf("user-provisioning-start-uid is %d: below %d lie the system's own accounts", c.StartUID, roster.MinID)
	}
	if r, ok := roster.Reserved(c.StartUID); ok {
		return fmt.Errorf("user-provisioning-start-uid is %d: %v is reserved for the system", c.StartUID, r)
	}
	if !path.IsAbs(c.HomeDir) || path.Clean(c.HomeDir) != c.HomeDir || roster.CheckField(c.HomeDir) != nil {
		return fmt.Errorf("user-homedir-path %q is not an absolute path in its shortest form", c.HomeDir)
	}
	if !path.IsAbs(c.Shell) || roster.CheckField(c.Shell) != nil {
		return fmt.Errorf("user-shell %q is not an absolute path", c.Shell)
	}
	return nil
}

// errExhausted: every number that could be given is owned or ruled out.
var errExhausted = errors.New("no uid is free any more above user-provisioning-start-uid")

// nextNumber finds the least number that no subject owns or owned as uid or
// gid, and moves the cursor behind it: numbers only ever become taken, so that
// what was passed once need not be looked at again.
func (s *Server) nextNumber(tx Tx) (uint32, error) {
	for n := max(tx.Cursor(), s.cfg.StartUID); ; n++ {
		if r, ok := roster.Reserved(n); ok {
			if r.Last == 1<<32-1 {
				return 0, errExhausted
			}
			n = r.Last
			continue
		}
		if s.cfg.Local.numbers[n] {
			continue
		}
		switch _, err := tx.IDOwner(n); {
		case errors.Is(err, ErrNotFound):
			tx.SetCursor(n + 1)
			return n, nil
		case err != nil:
			return 0, fmt.Errorf("look up who owns id %d: %w", n, err)
		}
	}
}

// takeName gives the subject the name or, when that is taken, a numbered form of
// it: one that is free while the form before it is taken. A name that was the
// subject's before is free for it.
//
// The search doubles its steps and then halves them, so that the ten-thousandth
// user of a name costs a few looks more than the second, not ten thousand.
func (s *Server) takeName(tx Tx, name string, e Entry) (string, error) {
	form := func(n int) string {
		if n == 1 {
			return name
		}
		return roster.NumberedName(name, n)
	}
	taken, free := 0, 1
	for {
		ok, err := s.nameIsFree(tx, form(free), e.Subject)
		if err != nil {
			return "", err
		}
		if ok {
			break
		}
		if taken = free; free < 1<<30 {
			free *= 2
		} else {
			free++ // who owns all powers of two meets no overflow
		}
	}
	for free-taken > 1 {
		middle := (taken + free) / 2
		ok, err := s.nameIsFree(tx, form(middle), e.Subject)
		if err != nil {
			return "", err
		}
		if ok {
			free = middle
		} else {
			taken = middle
		}
	}
	e.Name = form(free)
	if err := tx.GiveName(e.Name, e); err != nil {
		return "", fmt.Errorf("give %s the name %s: %w", e.Subject, e.Name, err)
	}
	return e.Name, nil
}

// nameIsFree reports whether the subject may have the name.
func (s *Server) nameIsFree(tx Tx, name, subject string) (bool, error) {
	if s.cfg.Local.names[name] {
		return false, nil
	}
	owner, err := tx.NameOwner(name)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look up who owns the name %s: %w", name, err)
	}
	return owner.Subject == subject, nil
}

// openAccount makes the account of a new user. hash is empty without password.
func (s *Server) openAccount(tx Tx, id string, user scim.Resource, hash string) error {
	e := Entry{Subject: id, Given: s.now()}
	userName, _ := user["userName"].(string)
	name, err := s.takeName(tx, roster.UserName(userName), e)
	if err != nil {
		return err
	}
	number, err := s.nextNumber(tx)
	if err != nil {
		return err
	}
	e.Name = name
	if err := errors.Join(tx.GiveUID(number, e), tx.GiveGID(number, e)); err != nil {
		return fmt.Errorf("give %s the id %d: %w", name, number, err)
	}
	return tx.PutRow(roster.Row{Account: &roster.Account{
		ID:     id,
		Name:   name,
		UID:    number,
		GID:    number,
		Gecos:  gecos(user),
		Home:   path.Join(s.cfg.HomeDir, name),
		Shell:  s.cfg.Shell,
		Hash:   hash,
		Locked: !active(user),
	}})
}

// updateAccount follows a change of the user. The uid and the home stay what
// they are, and the name does unless another one follows from the new userName.
// hash replaces the password's when it is not empty.
func (s *Server) updateAccount(tx Tx, id string, old, user scim.Resource, hash string) error {
	return s.changeAccount(tx, id, func(a *roster.Account) error {
		was, _ := old["userName"].(string)
		userName, _ := user["userName"].(string)
		if want := roster.UserName(userName); want != roster.UserName(was) {
			name, err := s.takeName(tx, want, Entry{Subject: id, Given: s.now()})
			if err != nil {
				return err
			}
			a.Name = name
		}
		a.Gecos = gecos(user)
		a.Hash = cmp.Or(hash, a.Hash)
		a.Locked = !active(user)
		return nil
	})
}

// closeAccount locks the account of a user who is deleted: name and uid stay
// resolvable, so that the files that remain have an owner.
func (s *Server) closeAccount(tx Tx, id string) error {
	return s.changeAccount(tx, id, func(a *roster.Account) error {
		a.Locked = true
		return nil
	})
}

func (s *Server) changeAccount(tx Tx, id string, change func(*roster.Account) error) error {
	row, err := tx.Row(roster.AccountKey(id))
	if err != nil {
		return fmt.Errorf("account of user %s: %w", id, err)
	}
	if err := change(row.Account); err != nil {
		return err
	}
	return tx.PutRow(row)
}

// openGroup makes the POSIX group of a new SCIM group.
func (s *Server) openGroup(tx Tx, id, displayName string) error {
	e := Entry{Subject: id, Given: s.now()}
	name, err := s.takeName(tx, roster.GroupName(displayName), e)
	if err != nil {
		return err
	}
	number, err := s.nextNumber(tx)
	if err != nil {
		return err
	}
	e.Name = name
	if err := tx.GiveGID(number, e); err != nil {
		return fmt.Errorf("give %s the id %d: %w", name, number, err)
	}
	return tx.PutRow(roster.Row{Group: &roster.Group{ID: id, Name: name, GID: number}})
}

// updateGroup follows a change of displayName; the gid stays, and the name does
// unless another one follows.
func (s *Server) updateGroup(tx Tx, id, was, displayName string) error {
	want := roster.GroupName(displayName)
	if want == roster.GroupName(was) {
		return nil
	}
	row, err := tx.Row(roster.GroupKey(id))
	if err != nil {
		return fmt.Errorf("group %s: %w", id, err)
	}
	row.Group.Name, err = s.takeName(tx, want, Entry{Subject: id, Given: s.now()})
	if err != nil {
		return err
	}
	return tx.PutRow(row)
}

// active is whether the user may log in; it is so unless the provider says no.
func active(user scim.Resource) bool {
	on, given := user["active"].(bool)
	return on || !given
}

// gecos is the user's full name, or failing all else the userName.
func gecos(user scim.Resource) string {
	str := func(v any) string { s, _ := v.(string); return s }
	name, _ := user["name"].(map[string]any)
	for _, s := range []string{
		str(user["displayName"]),
		str(name["formatted"]),
		strings.TrimSpace(str(name["givenName"]) + " " + str(name["familyName"])),
		str(user["userName"]),
	} {
		if clean := roster.CleanGecos(s); clean != "" {
			return clean
		}
	}
	return ""
}
