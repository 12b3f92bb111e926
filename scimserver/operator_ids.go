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
func (o *Operator) ImportAccounts(ctx context.Context, accounts []ledger.Import, done func(n int)) ([]roster.Account, error) {
	return batches(ctx, o, accounts, done, func(tx Tx, im ledger.Import, did func(Event) error) (a roster.Account, ok bool, err error) {
		owner, err := tx.NameOwner(im.Name)
		if err != nil {
			return a, false, err
		}
		if owner.Subject != "" {
			row, err := tx.Row(roster.AccountKey(owner.Subject))
			if err == nil && (row.Account.UID == im.UID || im.UID == 0) {
				return a, false, nil
			}
		}
		id, err := newID()
		if err != nil {
			return a, false, err
		}
		// One that a restore forgot is the same again.
		if s, err := tx.Subject(owner.Subject); err != nil {
			return a, false, err
		} else if s.Readmit && s.Account != nil && (im.UID == 0 || im.UID == s.Account.UID) {
			id, im.UID = s.ID, s.Account.UID
		}
		c, err := o.ledger.ImportAccount(tx, id, im)
		if err != nil {
			return a, false, fmt.Errorf("import %s: %w", im.Name, err)
		}
		return c.After, true, did(accountEvent("user.import", changes{}, c))
	})
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
func (o *Operator) ImportHashes(ctx context.Context, hashes []Hash, done func(n int)) ([]string, error) {
	return batches(ctx, o, hashes, done, func(tx Tx, h Hash, did func(Event) error) (string, bool, error) {
		owner, err := tx.NameOwner(h.Name)
		if err != nil {
			return "", false, err
		}
		if ok, err := ledger.Has(tx, roster.AccountKey(owner.Subject)); err != nil || !ok {
			return "", false, err
		}
		c, ok, err := o.ledger.SetHash(tx, owner.Subject, h.Hash, h.Locked, h.End)
		if err != nil {
			return "", false, fmt.Errorf("import the hash of %s: %w", h.Name, err)
		}
		if !ok {
			return "", false, nil
		}
		return h.Name, true, did(accountEvent("user.import-hash", changes{}, c))
	})
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
func (o *Operator) ImportGroups(ctx context.Context, groups []ImportedGroup, done func(n int)) ([]roster.Group, error) {
	return batches(ctx, o, groups, done, func(tx Tx, g ImportedGroup, did func(Event) error) (imported roster.Group, ok bool, err error) {
		owner, err := tx.NameOwner(g.Name)
		if err != nil {
			return imported, false, err
		}
		if owner.Subject != "" {
			row, err := tx.Row(roster.GroupKey(owner.Subject))
			if err == nil && (row.Group.GID == g.GID || g.GID == 0) {
				ok, err := o.addImportedMembers(tx, *row.Group, g.Members, did)
				if err != nil {
					err = fmt.Errorf("import the members of group %s: %w", g.Name, err)
				}
				return *row.Group, ok, err
			}
		}
		id, err := newID()
		if err != nil {
			return imported, false, err
		}
		accounts, err := accountsNamed(tx, g.Members)
		if err != nil {
			return imported, false, err
		}
		c, err := o.ledger.ImportGroup(tx, id, g.Name, g.GID, accounts)
		if err != nil {
			return imported, false, fmt.Errorf("import the group %s: %w", g.Name, err)
		}
		ch := changes{}
		ch.members(accounts, nil)
		return c.After, true, did(groupEvent("group.import", ch, c))
	})
}

// addImportedMembers gives an imported group the members that it lacks. It
// reports false when there are none, or the group is a provider's.
func (o *Operator) addImportedMembers(tx Tx, g roster.Group, names []string, did func(Event) error) (bool, error) {
	s, err := tx.Subject(g.ID)
	if err != nil || s.State != ledger.Imported {
		return false, err
	}
	accounts, err := accountsNamed(tx, names)
	if err != nil {
		return false, err
	}
	added, err := o.ledger.ImportMembers(tx, g.ID, accounts)
	if err != nil || len(added) == 0 {
		return false, err
	}
	ch := changes{}
	ch.members(added, nil)
	return true, did(groupEvent("group.import", ch, ledger.GroupChange{Before: g, After: g}))
}

func accountsNamed(v View, names []string) (ids []string, err error) {
	for _, name := range names {
		owner, err := v.NameOwner(name)
		if err != nil {
			return nil, err
		}
		ok, err := ledger.Has(v, roster.AccountKey(owner.Subject))
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

// batches has one bring each of the items in, many in a transaction, and returns
// what came of those that were brought in. It tells done how many there have
// been. What was committed before an error stays, and is returned.
func batches[In, Out any](ctx context.Context, o *Operator, items []In, done func(n int), one func(tx Tx, item In, did func(Event) error) (Out, bool, error)) (all []Out, err error) {
	const size = 200
	for from := 0; from < len(items); from += size {
		to := min(from+size, len(items))
		var some []Out
		err := o.deeds(ctx, o.actor, func(tx Tx, did func(Event) error) error {
			some = nil
			for _, item := range items[from:to] {
				out, ok, err := one(tx, item, did)
				if err != nil {
					return err
				}
				if ok {
					some = append(some, out)
				}
			}
			return nil
		})
		if err != nil {
			return all, err
		}
		all = append(all, some...)
		if done != nil {
			done(to)
		}
	}
	return all, nil
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

// NumbersIn counts the uids of a range that are somebody's, and were given for ever.
func (o *Operator) NumbersIn(ctx context.Context, first, last uint32) (n int64, err error) {
	err = o.store.View(ctx, func(v View) error {
		return v.Possessions("", func(p ledger.Possession) error {
			if p.UID >= first && p.UID <= last && p.UID != 0 {
				n++
			}
			return ctx.Err()
		})
	})
	return n, err
}
