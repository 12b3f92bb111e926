package scimserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
)

// Owner is a subject that has or had a number or name, and how its name and
// numbers went.
type Owner struct {
	// What is "uid", "gid" or "name".
	What    string    `json:"what"`
	Subject string    `json:"subject"`
	Given   time.Time `json:"given"`
	Name    string    `json:"name"` // when it was given
	History []History `json:"history,omitempty"`
}

// History returns who owns a number or name, which nobody else ever did, and
// what became of them. With at, of each history the entry that was true then.
func (o *Operator) History(ctx context.Context, key string, at time.Time) (owners []Owner, err error) {
	err = o.store.View(ctx, func(v View) error {
		add := func(what string, e ledger.Entry) error {
			if e.Subject == "" {
				return nil
			}
			all, err := historyOf(v, e.Subject)
			if err != nil {
				return err
			}
			if !at.IsZero() {
				all = then(all, at)
			}
			owners = append(owners, Owner{what, e.Subject, e.Given, e.Name, all})
			return nil
		}
		if n, err := strconv.ParseUint(key, 10, 32); err == nil {
			uid, gid, err := v.IDOwners(uint32(n))
			return errors.Join(err, add("uid", uid), add("gid", gid))
		}
		e, err := v.NameOwner(key)
		return errors.Join(err, add("name", e))
	})
	if err == nil && len(owners) == 0 {
		err = fmt.Errorf("%q is and was nobody's", key)
	}
	return owners, err
}

// then is the entry that was true at a moment.
func then(all []History, at time.Time) []History {
	var last []History
	for _, h := range all {
		if h.From.After(at) {
			break
		}
		last = []History{h}
	}
	return last
}

// ImportAccounts brings accounts in, in transactions of a few hundred; what is
// there already under the same name and uid is passed over. done hears how many
// there have been. An error names the account that it is about; those before
// stay, and the import can be repeated.
func (o *Operator) ImportAccounts(ctx context.Context, accounts []ledger.Import, done func(n int)) (imported []roster.Account, err error) {
	err = batches(len(accounts), done, func(from, to int) error {
		var some []roster.Account
		var events []Event
		err := o.store.Update(ctx, func(tx Tx) error {
			some, events = nil, nil
			for _, im := range accounts[from:to] {
				owner, err := tx.NameOwner(im.Name)
				if err != nil {
					return err
				}
				if owner.Subject != "" {
					row, err := tx.Row(roster.AccountKey(owner.Subject))
					if err == nil && (row.Account.UID == im.UID || im.UID == 0) {
						continue
					}
				}
				id, err := newID()
				if err != nil {
					return err
				}
				// One that a restore forgot is the same again.
				if s, err := tx.Subject(owner.Subject); err != nil {
					return err
				} else if s.Readmit && s.Account != nil && (im.UID == 0 || im.UID == s.Account.UID) {
					id, im.UID = s.ID, s.Account.UID
				}
				c, err := o.ledger.ImportAccount(tx, id, im)
				if err != nil {
					return fmt.Errorf("import %s: %w", im.Name, err)
				}
				e := accountEvent("user.import", changes{}, c)
				if err := record(tx, &e, o.actor, o.moment()); err != nil {
					return err
				}
				some, events = append(some, c.After), append(events, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		imported = append(imported, some...)
		o.logEvents(events)
		return nil
	})
	return imported, err
}

// Hash is the password hash of an imported account.
type Hash struct {
	Name, Hash string
	// Locked is whether the password was locked.
	Locked bool
	// End is when the account is to lock by itself; zero: never.
	End time.Time
}

// ImportHashes gives imported accounts their hashes, locks and ends; accounts that
// are unknown, that are a provider's and have a hash, or that have all of it
// already are passed over. It returns
// the names of those that were set.
func (o *Operator) ImportHashes(ctx context.Context, hashes []Hash, done func(n int)) (set []string, err error) {
	err = batches(len(hashes), done, func(from, to int) error {
		var some []string
		var events []Event
		err := o.store.Update(ctx, func(tx Tx) error {
			some, events = nil, nil
			for _, h := range hashes[from:to] {
				owner, err := tx.NameOwner(h.Name)
				if err != nil {
					return err
				}
				if ok, err := hasAccount(tx, owner.Subject); err != nil || !ok {
					if err != nil {
						return err
					}
					continue
				}
				c, ok, err := o.ledger.SetHash(tx, owner.Subject, h.Hash, h.Locked, h.End)
				if err != nil {
					return fmt.Errorf("import the hash of %s: %w", h.Name, err)
				}
				if !ok {
					continue
				}
				e := accountEvent("user.import-hash", changes{}, c)
				if err := record(tx, &e, o.actor, o.moment()); err != nil {
					return err
				}
				some, events = append(some, h.Name), append(events, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		set = append(set, some...)
		o.logEvents(events)
		return nil
	})
	return set, err
}

func hasAccount(v View, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	_, err := v.Row(roster.AccountKey(id))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ImportedGroup is a group with the names of its members.
type ImportedGroup struct {
	Name    string
	GID     uint32
	Members []string
}

// ImportGroups brings groups in; members that are no accounts, or have left, are left out. One
// that is there already under the same name and gid is passed over, but for
// members that it lacks while no provider says who they are.
func (o *Operator) ImportGroups(ctx context.Context, groups []ImportedGroup, done func(n int)) (imported []roster.Group, err error) {
	err = batches(len(groups), done, func(from, to int) error {
		var some []roster.Group
		var events []Event
		err := o.store.Update(ctx, func(tx Tx) error {
			some, events = nil, nil
			for _, g := range groups[from:to] {
				owner, err := tx.NameOwner(g.Name)
				if err != nil {
					return err
				}
				id := owner.Subject
				if id != "" {
					row, err := tx.Row(roster.GroupKey(id))
					if err == nil && (row.Group.GID == g.GID || g.GID == 0) {
						e, err := o.addImportedMembers(tx, *row.Group, g.Members)
						if err != nil {
							return fmt.Errorf("import the members of group %s: %w", g.Name, err)
						}
						if e.Action != "" {
							some, events = append(some, *row.Group), append(events, e)
						}
						continue
					}
				}
				if id, err = newID(); err != nil {
					return err
				}
				accounts, err := accountsNamed(tx, g.Members)
				if err != nil {
					return err
				}
				c, err := o.ledger.ImportGroup(tx, id, g.Name, g.GID, accounts)
				if err != nil {
					return fmt.Errorf("import the group %s: %w", g.Name, err)
				}
				ch := changes{}
				ch.members(accounts, nil)
				e := groupEvent("group.import", ch, c)
				if err := record(tx, &e, o.actor, o.moment()); err != nil {
					return err
				}
				some, events = append(some, c.After), append(events, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		imported = append(imported, some...)
		o.logEvents(events)
		return nil
	})
	return imported, err
}

// addImportedMembers gives an imported group the members that it lacks. The event
// has no action when there are none, or the group is a provider's.
func (o *Operator) addImportedMembers(tx Tx, g roster.Group, names []string) (e Event, err error) {
	s, err := tx.Subject(g.ID)
	if err != nil || s.State != ledger.Imported {
		return e, err
	}
	accounts, err := accountsNamed(tx, names)
	if err != nil {
		return e, err
	}
	added, err := o.ledger.ImportMembers(tx, g.ID, accounts)
	if err != nil || len(added) == 0 {
		return e, err
	}
	ch := changes{}
	ch.members(added, nil)
	e = groupEvent("group.import", ch, ledger.GroupChange{Before: g, After: g})
	return e, record(tx, &e, o.actor, o.moment())
}

func accountsNamed(v View, names []string) (ids []string, err error) {
	for _, name := range names {
		owner, err := v.NameOwner(name)
		if err != nil {
			return nil, err
		}
		ok, err := hasAccount(v, owner.Subject)
		if err != nil {
			return nil, err
		}
		s, err := v.Subject(owner.Subject)
		if err != nil {
			return nil, err
		}
		if ok && s.State != ledger.Departed {
			ids = append(ids, owner.Subject)
		}
	}
	return ids, nil
}

// batches calls do for parts of n, and tells done how many there have been.
func batches(n int, done func(n int), do func(from, to int) error) error {
	const size = 200
	for from := 0; from < n; from += size {
		to := min(from+size, n)
		if err := do(from, to); err != nil {
			return err
		}
		if done != nil {
			done(to)
		}
	}
	return nil
}

func (s *Server) logEvents(events []Event) {
	for _, e := range events {
		s.logEvent(e)
	}
}

// Audit calls yield for the events that match; user, if not empty, is a user's
// or group's name, number or id.
func (o *Operator) Audit(ctx context.Context, q EventQuery, subject string, yield func(Event) error) error {
	return o.store.View(ctx, func(v View) error {
		if subject != "" {
			id, err := o.findUser(v, subject)
			if err != nil {
				var other error
				if id, other = o.findGroup(v, subject); other != nil {
					return err
				}
			}
			q.Subject = id
		}
		return v.Events(q, yield)
	})
}
