package scimserver

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// createGroup is POST /Groups (RFC 7644 §3.3).
func (o *operation) createGroup(body map[string]any) (outcome, error) {
	group, ids, err := readGroup(body)
	if err != nil {
		return outcome{}, err
	}
	wish, err := groupWish(nil, group)
	if err != nil {
		return outcome{}, err
	}
	action := "group.create"
	return o.insert(group, func(v View) (string, error) {
		known, err := o.ledger.RecognizeGroup(v, wish)
		if known != "" {
			action = "group.adopt"
		}
		return known, err
	}, func(tx Tx, id string) (Event, error) {
		c, err := o.ledger.OpenGroup(tx, id, wish)
		if err != nil {
			return Event{}, err
		}
		m := &members{tx: tx, group: id}
		_, err = m.Add(ids)
		return m.event(action, attributeChanges(nil, group), c), err
	})
}

// replaceGroup is PUT /Groups/{id} (RFC 7644 §3.5.1). A body without members
// empties the group, as the RFC has it for every attribute that is left out.
func (o *operation) replaceGroup(body map[string]any) (outcome, error) {
	group, ids, err := readGroup(body)
	if err != nil {
		return outcome{}, err
	}
	return o.changeGroup(func(m *members, _ scim.Resource) (scim.Resource, bool, error) {
		changed, err := m.Replace(ids)
		return group, changed, err
	})
}

// patchGroup is PATCH /Groups/{id} (RFC 7644 §3.5.2). The answer needs no body,
// since the resource with all its members would be long; only senders that
// give operations without a path, which read the answer, get it.
func (o *operation) patchGroup(body map[string]any) (outcome, error) {
	ops, err := scim.ParsePatch(body)
	if err != nil {
		return outcome{}, err
	}
	out, err := o.changeGroup(func(m *members, old scim.Resource) (scim.Resource, bool, error) {
		return scim.Group.Patch(old, ops, m)
	})
	out.quiet = true
	for _, op := range ops {
		if op.Path == nil {
			out.quiet = false
		}
	}
	return out, err
}

// changeGroup stores what edit makes of the group and its members.
func (o *operation) changeGroup(edit func(m *members, old scim.Resource) (group scim.Resource, changed bool, err error)) (outcome, error) {
	var m *members
	return o.change(func(tx Tx, old scim.Resource) (scim.Resource, bool, error) {
		m = &members{tx: tx, group: o.id}
		return edit(m, old)
	}, func(tx Tx, old, group scim.Resource) (Event, error) {
		was, _ := groupWish(nil, old) // what an older version stored may be no wish
		wish, err := groupWish(old, group)
		if err != nil {
			return Event{}, err
		}
		c, err := o.ledger.UpdateGroup(tx, o.id, was, wish)
		if err == nil && o.provider { // who speaks of the group has it from now on
			err = o.ledger.SetClaimed(tx, o.id, false)
		}
		return m.event("group.update", attributeChanges(old, group), c), err
	})
}

// deleteGroup is DELETE /Groups/{id} (RFC 7644 §3.6). The gid is never given to
// another group.
func (o *operation) deleteGroup() (outcome, error) {
	return o.erase(func(tx Tx, r Resource) (Event, error) {
		m := &members{tx: tx, group: o.id}
		if _, err := m.Replace(nil); err != nil {
			return Event{}, err
		}
		c, err := o.ledger.CloseGroup(tx, o.id)
		return m.event("group.delete", changes{"displayName": {r.Name, nil}}, c), err
	})
}

// readGroup reads a whole group and its members.
func readGroup(body map[string]any) (group scim.Resource, ids []string, err error) {
	if group, err = scim.Group.Normalize(body); err != nil {
		return nil, nil, err
	}
	ids, _, err = scim.GroupMembers(body)
	return group, ids, err
}

// members edits the members of one group within an update: the membership and
// its row of the roster together. It is the scim.Members of PATCH.
type members struct {
	tx    Tx
	group string
	scans int
	// added and removed are those who came and went, for the audit log.
	added, removed []string
}

func (m *members) event(action string, c changes, ch ledger.GroupChange) Event {
	c.members(m.added, m.removed)
	return groupEvent(action, c, ch)
}

// Add refuses ids that are no user's: what is not known is never rendered, and
// the provider should know.
func (m *members) Add(ids []string) (changed bool, err error) {
	for _, id := range ids {
		added, err := m.tx.AddMember(m.group, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return false, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "members: no user has the id %.100q here", id)
		case err != nil:
			return false, fmt.Errorf("add %s to group %s: %w", id, m.group, err)
		case !added:
			continue
		}
		changed = true
		m.added = append(m.added, id)
		if err := m.tx.PutRow(roster.Row{Member: &roster.Member{GroupID: m.group, AccountID: id}}); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// Remove passes over ids that are not members.
func (m *members) Remove(ids []string) (changed bool, err error) {
	for _, id := range ids {
		removed, err := m.tx.RemoveMember(m.group, id)
		if err != nil {
			return false, fmt.Errorf("remove %s from group %s: %w", id, m.group, err)
		}
		if !removed {
			continue
		}
		changed = true
		m.removed = append(m.removed, id)
		if err := m.tx.DropRow(roster.MemberKey(m.group, id)); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// Replace touches those alone that are in one of the two sets.
func (m *members) Replace(ids []string) (changed bool, err error) {
	missing := make(map[string]bool, len(ids)) // of those wanted
	for _, id := range ids {
		missing[id] = true
	}
	removed, err := m.removeIf(func(r Ref) bool {
		wanted := missing[r.ID]
		delete(missing, r.ID)
		return !wanted
	})
	if err != nil {
		return false, err
	}
	added, err := m.Add(slices.Sorted(maps.Keys(missing)))
	return removed || added, err
}

// maxScans is how many times one request may have all members of a group looked
// at, each of which keeps other writers waiting.
const maxScans = 10

// RemoveMatching holds every member against match.
func (m *members) RemoveMatching(match func(map[string]any) bool) (changed bool, err error) {
	if m.scans++; m.scans > maxScans {
		return false, scim.Errorf(http.StatusBadRequest, scim.TooMany, "more than %d operations select members by something else than their value; select them by value, or in several requests", maxScans)
	}
	return m.removeIf(func(r Ref) bool {
		return match(map[string]any{"value": r.ID, "display": r.Display, "type": scim.User.Name})
	})
}

func (m *members) removeIf(match func(Ref) bool) (changed bool, err error) {
	var gone []string
	err = m.tx.Members(m.group, func(r Ref) error {
		if match(r) {
			gone = append(gone, r.ID)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("members of group %s: %w", m.group, err)
	}
	return m.Remove(gone)
}
