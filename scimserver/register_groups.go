package scimserver

import (
	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// reconcile makes the person a member of the groups in the claim and of no other
// group that registration made. A group has one who says who is in it: those
// that a provider pushes, that were imported or that an administrator made are
// passed over, so that no claim opens them and none closes them.
func (r *registrar) reconcile() error {
	wanted := map[string]bool{}
	for _, name := range r.Groups {
		id, err := r.claimedGroup(name)
		if err != nil {
			return err
		}
		if id == "" {
			r.done.Skipped = append(r.done.Skipped, name)
			continue
		}
		wanted[id] = true
	}
	var has []string
	if err := r.tx.Memberships(r.done.ID, func(g Ref) error {
		has = append(has, g.ID)
		return nil
	}); err != nil {
		return err
	}
	for _, id := range has {
		s, err := r.tx.Subject(id)
		if err != nil {
			return err
		}
		if s.Claimed && !wanted[id] {
			if err := r.edit(id, (*members).Remove); err != nil {
				return err
			}
		}
		delete(wanted, id)
	}
	for id := range wanted {
		if err := r.edit(id, (*members).Add); err != nil {
			return err
		}
	}
	return nil
}

// edit lets the person into a group, or out of it.
func (r *registrar) edit(id string, how func(*members, []string) (bool, error)) error {
	_, err := r.operation("groups", id).changeGroup(func(m *members, old scim.Resource) (scim.Resource, bool, error) {
		changed, err := how(m, []string{r.done.ID})
		return old, changed, err
	})
	return err
}

// claimedGroup returns the id of the group that a claim names, which it makes when
// there is none, or "" of one that no claim opens.
func (r *registrar) claimedGroup(displayName string) (id string, err error) {
	wish := ledger.GroupWish{DisplayName: displayName}
	if name := roster.GroupName(displayName); roster.Protected(name) || name == r.ledger.AdminGroup() {
		return "", nil
	}
	if _, err := r.tx.Find(KindGroup, Query{Name: scim.Fold(displayName), Limit: 1}, func(g Resource) error {
		id = g.ID
		return nil
	}); err != nil {
		return "", err
	}
	if id != "" {
		s, err := r.tx.Subject(id)
		if err != nil || !s.Claimed {
			return "", err
		}
		row, err := r.tx.Row(roster.GroupKey(id))
		if err != nil || roster.Protected(row.Group.Name) {
			return "", err
		}
		return id, nil
	}
	known, err := r.ledger.RecognizeGroup(r.tx, wish)
	if err != nil {
		return "", err
	}
	if known != "" {
		if s, err := r.tx.Subject(known); err != nil || s.State == ledger.Imported {
			return "", err
		}
	}
	out, err := r.operation("groups", "").createGroup(map[string]any{"displayName": displayName})
	if err != nil {
		return "", err
	}
	return out.resource.ID, r.ledger.SetClaimed(r.tx, out.resource.ID, true)
}
