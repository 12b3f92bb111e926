package scimserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// Operator does for an administrator what providers cannot, and what they can:
// by the same rules, in the same transactions, and with the same audit log.
// Users and groups are named by their POSIX name, number, userName or
// displayName, or id. Its errors are for people.
type Operator struct {
	*Server
	actor string
}

// Operator returns an operator whose deeds the audit log writes to actor.
func (s *Server) Operator(actor string) *Operator { return &Operator{s, actor} }

// operation is what a request of SCIM would be.
func (o *Operator) operation(ctx context.Context, h *handlers, id string) *operation {
	return &operation{Server: o.Server, ctx: ctx, h: h, actor: o.actor, id: id}
}

// update runs fn in the store and records its event.
func (o *Operator) update(ctx context.Context, fn func(tx Tx) (Event, error)) error {
	return told(o.operation(ctx, nil, "").update(fn))
}

// told is an error as a person reads it, without the protocol's numbers.
func told(err error) error {
	var e *scim.Error
	if errors.As(err, &e) {
		return errors.New(e.Detail)
	}
	return err
}

// errUnknown is for what an administrator mistyped.
func errUnknown(what, key string) error {
	return fmt.Errorf("no %s has the name, number or id %.100q: pwb-server %s list shows those there are", what, key, what)
}

// findUser returns the subject of a user, also of one who is buried: by the name
// that the account has now, its uid, userName or id, and failing all these by a
// name that it had before.
func (o *Operator) findUser(v View, key string) (string, error) {
	if key == "" {
		return "", errUnknown("user", key)
	}
	owner, err := v.NameOwner(key)
	if err != nil {
		return "", err
	}
	var named, former, provided, numbered string
	if owner.Subject != "" {
		ok, err := hasName(v, owner.Subject, key)
		if err != nil {
			return "", err
		}
		if former = owner.Subject; ok {
			named = owner.Subject
		}
	}
	if _, err := v.Find(KindUser, Query{Name: scim.Fold(key), Limit: 1}, func(r Resource) error { provided = r.ID; return nil }); err != nil {
		return "", err
	}
	if named != "" && provided != "" && named != provided {
		return "", fmt.Errorf("%q is the login name of one user (id %s) and the userName of another (id %s): give the uid or the id", key, named, provided)
	}
	if n, err := strconv.ParseUint(key, 10, 32); err == nil {
		uid, _, err := v.IDOwners(uint32(n))
		if err != nil {
			return "", err
		}
		numbered = uid.Subject
	}
	for _, id := range []string{numbered, named, provided, key, former} {
		if id == "" {
			continue
		}
		ok, err := isUser(v, id)
		if err != nil || ok {
			return id, err
		}
	}
	return "", errUnknown("user", key)
}

// hasName reports whether an account has, or when it was buried had, the name.
func hasName(v View, id, name string) (bool, error) {
	row, err := v.Row(roster.AccountKey(id))
	switch {
	case err == nil:
		return row.Account.Name == name || slices.Contains(row.Account.Aliases, name), nil
	case !errors.Is(err, ErrNotFound):
		return false, err
	}
	s, err := v.Subject(id)
	return s.Account != nil && s.Account.Name == name, err
}

func isUser(v View, id string) (bool, error) {
	if roster.CheckID(id) != nil {
		return false, nil
	}
	if there, err := ledger.Has(v, roster.AccountKey(id)); err != nil || there {
		return there, err
	}
	s, err := v.Subject(id)
	return s.Account != nil, err
}

// findGroup returns the subject of a group that is there.
func (o *Operator) findGroup(v View, key string) (string, error) {
	if key == "" {
		return "", errUnknown("group", key)
	}
	var candidates []string
	if n, err := strconv.ParseUint(key, 10, 32); err == nil {
		_, gid, err := v.IDOwners(uint32(n))
		if err != nil {
			return "", err
		}
		candidates = append(candidates, gid.Subject)
	}
	owner, err := v.NameOwner(key)
	if err != nil {
		return "", err
	}
	candidates = append(candidates, owner.Subject)
	found := ""
	if _, err := v.Find(KindGroup, Query{Name: scim.Fold(key), Limit: 1}, func(r Resource) error { found = r.ID; return nil }); err != nil {
		return "", err
	}
	for _, id := range append(candidates, found, key) {
		if roster.CheckID(id) != nil {
			continue
		}
		if there, err := ledger.Has(v, roster.GroupKey(id)); err != nil || there {
			return id, err
		}
	}
	return "", errUnknown("group", key)
}

// Check looks for what is not as it must be: see ledger.Check. It also holds
// resources, rows and the digest of the roster against each other.
func (o *Operator) Check(ctx context.Context) (found []ledger.Finding, err error) {
	err = o.store.View(ctx, func(v View) error {
		if found, err = ledger.Check(v); err != nil {
			return err
		}
		more, err := checkRows(v)
		found = append(found, more...)
		return err
	})
	return found, err
}

// checkRows holds the resources against the rows that follow from them.
func checkRows(v View) (found []ledger.Finding, err error) {
	at, err := v.Position()
	if err != nil {
		return nil, err
	}
	var sum roster.Sum
	rows := map[string]bool{}
	members := map[string]int{} // by group
	err = v.Snapshot(func(c roster.Change) error {
		sum.Add(c.Line)
		if rest, ok := strings.CutPrefix(c.Key, "m/"); ok {
			group, _, _ := strings.Cut(rest, "/")
			members[group]++
			return nil
		}
		rows[c.Key] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	const advice = "restore a backup from before this"
	if sum != at.Sum {
		found = append(found, ledger.Finding{Problem: "the roster's digest is not that of its rows", Advice: advice})
	}
	_, err = v.Find(KindUser, Query{Limit: -1}, func(r Resource) error {
		if !rows[roster.AccountKey(r.ID)] {
			found = append(found, ledger.Finding{Subject: r.ID, Problem: fmt.Sprintf("user %s has no account", r.Name), Advice: advice})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = v.Find(KindGroup, Query{Limit: -1}, func(r Resource) error {
		if !rows[roster.GroupKey(r.ID)] {
			found = append(found, ledger.Finding{Subject: r.ID, Problem: fmt.Sprintf("group %s has no row", r.Name), Advice: advice})
		}
		n := 0
		err := v.Members(r.ID, func(ref Ref) error {
			switch there, err := ledger.Has(v, roster.MemberKey(r.ID, ref.ID)); {
			case err == nil && !there:
				found = append(found, ledger.Finding{Subject: r.ID, Problem: fmt.Sprintf("%s is a member of group %s and has no row there", ref.ID, r.Name), Advice: advice})
			case err != nil:
				return err
			}
			n++
			return nil
		})
		if n < members[r.ID] {
			found = append(found, ledger.Finding{Subject: r.ID, Problem: fmt.Sprintf("group %s has rows of %d members and %d members", r.Name, members[r.ID], n), Advice: advice})
		}
		return err
	})
	return found, err
}
